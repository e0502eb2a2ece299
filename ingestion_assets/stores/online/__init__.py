"""The online feature store on Redis: keys (the contract), values (JSON), line (protocol), writing, store."""

from ingestion_assets.stores.online.errors import OnlineError
from ingestion_assets.stores.online.keys import Place, online_id
from ingestion_assets.stores.online.store import OnlineStore, Written

__all__ = ["OnlineError", "OnlineStore", "Place", "Written", "online_id"]
