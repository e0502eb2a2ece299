"""In: one file per vendor and domain, fetch then normalise into rows of a Table. No Dagster here."""
