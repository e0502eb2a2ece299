"""Lake, registry, ledger and vendors, made from the settings once and shared by whoever works.

The Dagster resource and the command line stand on this; it knows neither. bench.py is the one object that
callers hold. What it does is beside it: access (who can be asked), opening (addresses, keys, options),
accounts (what may be spent), naming, describing and adopting (what a name stands for, what its vendor says
of it, a series of ours from then on), known_names (what settings may name), ingesting (fetch and land).
"""

from ingestion_assets.workbench.bench import Workbench

__all__ = ["Workbench"]
