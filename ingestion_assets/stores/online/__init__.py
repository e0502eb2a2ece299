"""The online feature store on Redis: keys, values, line (protocol), writing, sweeping, store."""

from ingestion_assets.stores.online.errors import OnlineError
from ingestion_assets.stores.online.keys import Place, online_id
from ingestion_assets.stores.online.store import OnlineStore, Written
from ingestion_assets.stores.online.sweeping import Audit, Swept

__all__ = ["Audit", "OnlineError", "OnlineStore", "Place", "Swept", "Written", "online_id"]
