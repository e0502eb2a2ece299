"""`python -m ingestion_assets.cli` is `ingest`."""

from ingestion_assets.cli import main

main()
