"""Kept: the lake (Parquet) and the catalog (SQL: registry, gap ledger, alerts). No Dagster here."""
