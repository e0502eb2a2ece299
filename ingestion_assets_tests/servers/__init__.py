"""Real servers for tests, as context managers: PostgreSQL, S3, a webhook receiver, a faulty line.

Each takes a free port on loopback and a temporary folder, so that many run side by side. `conftest`
turns them into fixtures. Not here: Redis (`ingestion_assets.embedded`) and vendors (the simulator).
"""

from ingestion_assets_tests.servers.postgres import NOBODY, PostgresServer
from ingestion_assets_tests.servers.proxy import FaultyProxy
from ingestion_assets_tests.servers.s3 import S3Server
from ingestion_assets_tests.servers.webhook import WebhookReceiver

__all__ = ["NOBODY", "FaultyProxy", "PostgresServer", "S3Server", "WebhookReceiver"]
