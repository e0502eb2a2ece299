"""The workbench: what the settings say, made when it is first needed, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING

from ingestion_assets.ingestion import Landed, Options, Slice
from ingestion_assets.ingestion.audit import Audit, audit
from ingestion_assets.intervals import Window
from ingestion_assets.registry import Series
from ingestion_assets.settings import Settings, load_settings
from ingestion_assets.sources.feeds import Feed, Vendor, feeds_of, vendors
from ingestion_assets.sources.market import CandleSource
from ingestion_assets.stores.budgets import Account, Budgets
from ingestion_assets.stores.cache import MarketCache
from ingestion_assets.stores.catalog import Catalog
from ingestion_assets.stores.gap_ledger import GapLedger
from ingestion_assets.stores.lake import Lake
from ingestion_assets.stores.online import OnlineStore, online_id
from ingestion_assets.stores.registry_table import Registry
from ingestion_assets.tables import INGESTED, Table
from ingestion_assets.workbench import (
    access,
    accounts,
    adopting,
    describing,
    ending,
    ingesting,
    naming,
    opening,
)
from ingestion_assets.workbench.known_names import check_names

if TYPE_CHECKING:
    import pyarrow as pa

ending.without_a_last_look()


class Workbench:
    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or load_settings()
        check_names(self.settings)

    @cached_property
    def lake(self) -> Lake:
        s = self.settings
        storage = s.fsspec_storage_options
        client = storage.get("client_kwargs", {})
        secret = s.aws_secret_access_key.get_secret_value() if s.aws_secret_access_key else None
        token = s.aws_session_token.get_secret_value() if s.aws_session_token else None
        options = {
            "access_key": storage.get("key") or s.aws_access_key_id,
            "secret_key": storage.get("secret") or secret,
            "session_token": storage.get("token") or token,
            "region": client.get("region_name") or s.aws_default_region,
            "endpoint_url": client.get("endpoint_url") or storage.get("endpoint_url") or s.aws_endpoint_url,
        }
        return Lake(s.data_lake_path, options, {"market": s.market_path} if s.market_path else None)

    @cached_property
    def catalog(self) -> Catalog:
        return Catalog(self.settings.catalog_url)

    @cached_property
    def registry(self) -> Registry:
        return Registry(self.catalog)

    @cached_property
    def ledger(self) -> GapLedger:
        return GapLedger(self.catalog)

    @cached_property
    def budgets(self) -> Budgets:
        return Budgets(self.catalog)

    @cached_property
    def online(self) -> OnlineStore | None:
        """The newest features in Redis; None without REDIS_URL."""
        s = self.settings
        if s.redis_url is None:
            return None
        return OnlineStore(s.redis_url.get_secret_value(), ttl=s.feature_ttl, timeout=s.redis_timeout_sec)

    @cached_property
    def cache(self) -> MarketCache:
        """Newest rows of each market; in this process's memory without REDIS_URL."""
        return MarketCache(self.online.lines if self.online else None, self.settings.cache_ttl_seconds)

    def online_id(self, series: str) -> str:
        """What a series is called in Redis."""
        return online_id(series, self.settings.exchange_name)

    @cached_property
    def code_version(self) -> str:
        return metadata.version("ingestion-assets")

    # Who can be asked

    @cached_property
    def vendors(self) -> list[type[Vendor]]:
        return vendors()

    def keyed(self, kind: type[Vendor]) -> bool:
        """Whether there is all that it takes to ask a vendor."""
        return access.keyed(self.settings, kind)

    def able(self, table: Table, source: str) -> list[type[Vendor]]:
        """Who of a source gives a table and can be asked; without any key all of them, to say so."""
        return access.able(self.settings, self.vendors, table, source)

    def askable(self, table: Table, series: Series) -> bool:
        """Whether somebody can be asked for a table of a series: one key of several ways is enough."""
        keyed = (kind for kind in self.vendors if self.keyed(kind))
        return table in INGESTED.values() or bool(feeds_of(table, series, keyed))

    def followed(self, table: Table) -> list[Series]:
        """The series that the table should have: enabled, wanted in it, and with the key that it takes."""
        series = self.registry.series(table.domain, enabled_only=True)
        return [s for s in series if s.follows(table) and self.askable(table, s)]

    def unkeyed(self, table: Table, series: Series) -> str | None:
        """Which key is missing, where that alone keeps a table of a series from being asked for."""
        kinds = dict.fromkeys(kind for kind, _ in feeds_of(table, series, self.vendors))
        return access.unkeyed(self.settings, kinds)

    def feeds(self, table: Table, series: Series) -> list[tuple[type[Vendor], Feed]]:
        """Who is asked for a table of a series, in that order."""
        return feeds_of(table, series, self.able(table, series.source))

    def accounts(self, now: datetime | None = None) -> list[Account]:
        """What was spent in the present period with each vendor that charges and can be asked."""
        return accounts.accounts(self, now)

    def source(self, exchange: str) -> CandleSource:
        """How to ask an exchange, as the settings say."""
        return opening.exchange(self, exchange)

    def vendor(self, kind: type[Vendor]) -> Vendor:
        """A vendor with the key that it needs, as the settings say."""
        return opening.vendor(self, kind)

    # Series

    def canonical(self, text: str) -> str | None:
        """The id of a series of another domain than candles, if that is what the text names."""
        found = naming.fed(text, self.vendors)
        return found.id if found else None

    def describe(self, text: str, now: datetime, timeframes: Sequence[str] = ("1m",)) -> Series:
        """A series for a canonical id or an alias, as its vendor describes it; not registered yet."""
        return describing.describe(self, text, now, timeframes)

    def adopt(
        self, ids: Iterable[str], now: datetime, domain: str | None = None
    ) -> tuple[dict[str, Series], dict[str, Exception]]:
        """Series by id; one that is not registered yet is looked up at its vendor and registered.

        With a domain, one that belongs to another is refused.
        """
        return adopting.adopt(self, ids, now, domain)

    def forget(self, series: Series, drop: Callable[[], None]) -> None:
        """Take a series out of the registry; `drop` deletes its partition. What the lake holds stays."""
        adopting.forget(self, series, drop)

    def expect(self, newcomers: Iterable[Series], now: datetime) -> None:
        """Note in the ledger what the lake should hold of new series and nobody has fetched yet."""
        adopting.expect(self, newcomers, now)

    def audit(self, table: Table, series: Series, now: datetime, since: datetime | None = None) -> Audit:
        """What the lake lacks of a series, noted in the ledger; what may still come in time is no gap."""
        grace = self.patience(table)
        return audit(table, series, self.lake, self.ledger, now, grace=grace, since=since)

    def patience(self, table: Table) -> timedelta:
        """How far behind the present a table may be: FRESHNESS_MINUTES, or more where rows come late."""
        usual = timedelta(minutes=self.settings.freshness_minutes)
        return max(usual, table.late_after or usual)

    # Work

    def ingest(
        self,
        table: Table,
        slices: Iterable[Slice],
        *,
        run: str,
        options: Options | None = None,
        refused: Iterable[tuple[str, Exception]] = (),
        unasked: Iterable[tuple[Slice, str]] = (),
    ) -> Generator[Landed]:
        """Fetch and land; the registry tells meanwhile who works on what, and afterwards how it ended.

        `refused` are partition keys whose series could not even be looked up; they come out as failed.
        `unasked` are slices about which nobody is to be asked, with why; they come out as they are held.
        """
        return ingesting.ingest(self, table, slices, run, options or Options(), refused, unasked)

    def land_computed(
        self,
        table: Table,
        key: str,
        compute: Callable[[], pa.Table],
        *,
        run: str,
        window: Window | None = None,
    ) -> Landed:
        """Rows of a partition, computed from other tables, in place of what its window held."""
        return ingesting.land_computed(self, table, key, compute, run, window)
