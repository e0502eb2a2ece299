"""The environment as one typed object. Nobody else reads os.environ.

Every setting is a line in fields.py; values.py says how their texts are read, jobs.py what MARKET_JOBS may
hold, other_names.py what says the same in other words, loading.py how one that is wrong is told.
"""

from ingestion_assets.settings.fields import ROOT, SIMULATED, Settings
from ingestion_assets.settings.jobs import MarketJob
from ingestion_assets.settings.loading import SettingsError, load_settings

__all__ = ["ROOT", "SIMULATED", "MarketJob", "Settings", "SettingsError", "load_settings"]
