"""Lake, registry, ledger and sources, made from the settings once and shared by whoever works.

The Dagster resource and the command line stand on this; it knows neither.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import gc
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from importlib import metadata
from typing import TYPE_CHECKING

from ingestion_assets.ingestion import Fetched, Landed, Options, Slice, fetch, land, land_computed, unlanded
from ingestion_assets.ingestion.audit import Audit, audit
from ingestion_assets.ingestion.candles import CandleDesk
from ingestion_assets.ingestion.feeds import FeedDesk
from ingestion_assets.ingestion.fetch import Desk
from ingestion_assets.ingestion.progress import Progress
from ingestion_assets.ingestion.spending import CatalogPurse
from ingestion_assets.intervals import TIMEFRAMES, Window, floor, month_window
from ingestion_assets.registry import Series, Strategy, check_id, parse_id, series_id
from ingestion_assets.settings import Settings, load_settings
from ingestion_assets.sources.errors import AuthError, SourceError
from ingestion_assets.sources.feeds import Feed, Vendor, feeds_of, vendors
from ingestion_assets.sources.market import CandleSource, Market, SourceOptions, open_source
from ingestion_assets.stores.budgets import Account, Budgets, period_of
from ingestion_assets.stores.cache import MarketCache
from ingestion_assets.stores.catalog import Catalog, CatalogError
from ingestion_assets.stores.gap_ledger import GapLedger
from ingestion_assets.stores.lake import Lake
from ingestion_assets.stores.objects import StoreError
from ingestion_assets.stores.online import OnlineStore, online_id
from ingestion_assets.stores.registry_table import Registry
from ingestion_assets.tables import FETCHED, INGESTED, Table

if TYPE_CHECKING:
    import pyarrow as pa
    from pydantic import SecretStr


@atexit.register
def _end_at_once() -> None:
    """A process that ends leaves its memory to the system.

    Without this Python first looks through every object for rings to break: a tenth of a second with what
    is imported here, more with Dagster. DuckDB's binding wants to see its objects go, or complains.
    """
    if "duckdb" not in sys.modules:
        gc.freeze()


class Workbench:
    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or load_settings()
        self._simulator_guard = threading.Lock()

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

    def source(self, exchange: str) -> CandleSource:
        """How to ask an exchange, as the settings say."""
        s = self.settings
        own = exchange == s.exchange_name.strip().lower()
        return open_source(
            exchange,
            self._options(
                exchange,
                fallback_url=s.binance_fallback_url if exchange == "binance" else None,
                # The keys are those of EXCHANGE_NAME: no other venue is to see them.
                api_key=s.exchange_api_key if own else None,
                api_secret=s.exchange_api_secret if own else None,
            ),
        )

    def vendor(self, kind: type[Vendor]) -> Vendor:
        """A vendor with the key that it needs, as the settings say."""
        key, secret = self._key(kind, kind.needs), self._key(kind, kind.secret)
        options = self._options(kind.name, api_key=key, api_secret=secret)
        return kind(dataclasses.replace(options, purse=self._purse(kind)))

    def accounts(self) -> list[Account]:
        """What was spent in the present period with each vendor that charges and can be asked."""
        found = []
        for kind in self.vendors:
            if kind.allowance is None or not self.keyed(kind):
                continue
            period = period_of(datetime.now(UTC), kind.allowance.per)
            limit = self.settings.budget(kind.name, kind.allowance.limit)
            spent = self.budgets.spent(kind.name, period)
            found.append(Account(kind.name, period, spent, limit, kind.allowance.unit))
        return found

    def _purse(self, kind: type[Vendor]) -> CatalogPurse | None:
        """The account of a vendor that charges, which all processes share."""
        if kind.allowance is None:
            return None
        limit = self.settings.budget(kind.name, kind.allowance.limit)
        remedy = "raise X_SPEND_PER_DAY_USD" if kind.name == "x" else f"raise {kind.name} in VENDOR_BUDGETS"
        return CatalogPurse(self.budgets, kind.name, dataclasses.replace(kind.allowance, limit=limit), remedy)

    def _key(self, kind: type[Vendor], field: str | None) -> SecretStr | None:
        """What the settings hold; the simulated vendor takes any key."""
        from pydantic import SecretStr

        key: SecretStr | None = getattr(self.settings, field) if field else None
        if key is not None or field is None:
            return key
        if self._simulated(kind.name):
            return SecretStr("simulated")
        raise AuthError(f"{kind.name} needs a key: set {field.upper()}")

    def _simulated(self, name: str) -> bool:
        s = self.settings
        address = f"http://127.0.0.1:{s.simulator_port}"
        return (s.profile == "simulator" or name == "mock") and s.vendor_urls.get(name) == address

    def keyed(self, kind: type[Vendor]) -> bool:
        """Whether there is all that it takes to ask a vendor."""
        told = all(getattr(self.settings, name) is not None for name in (kind.needs, kind.secret) if name)
        return told or self._simulated(kind.name)

    def askable(self, table: Table, series: Series) -> bool:
        """Whether somebody can be asked for a table of a series: one key of several ways is enough."""
        keyed = (kind for kind in self.vendors if self.keyed(kind))
        return table in INGESTED.values() or bool(feeds_of(table, series, keyed))

    def feeds(self, table: Table, series: Series) -> list[tuple[type[Vendor], Feed]]:
        """Who is asked for a table of a series, in that order."""
        return feeds_of(table, series, self._able(table, series.source))

    def _able(self, table: Table, source: str) -> list[type[Vendor]]:
        """Who of a source gives a table and can be asked; without any key all of them, to say so."""
        gives = [
            kind
            for kind in self.vendors
            if kind.serves == source and any(one.table.path == table.path for one in kind.feeds)
        ]
        return [kind for kind in gives if self.keyed(kind)] or gives

    @cached_property
    def vendors(self) -> list[type[Vendor]]:
        return vendors()

    def _options(
        self,
        name: str,
        *,
        fallback_url: str | None = None,
        api_key: SecretStr | None = None,
        api_secret: SecretStr | None = None,
    ) -> SourceOptions:
        """What the settings say about a venue; the simulated one is brought up if need be."""
        s = self.settings
        base_url = s.vendor_urls.get(name)
        simulated = self._simulated(name)
        if simulated:
            self._ensure_simulator()
        return SourceOptions(
            base_url=base_url,
            fallback_url=fallback_url,
            redis_url=s.redis_url.get_secret_value() if s.redis_url else None,
            api_key=api_key.get_secret_value() if api_key else None,
            api_secret=api_secret.get_secret_value() if api_secret else None,
            origin="simulator" if simulated else "rest",
            settle=timedelta(seconds=s.settle_seconds),
            timeout=s.http_timeout_sec,
            attempts=s.http_attempts,
            concurrency=s.http_concurrency,
            held=self.lake,
            folder=s.ingest_state_dir.expanduser() / "answers",
        )

    def ingest(
        self,
        table: Table,
        slices: Iterable[Slice],
        *,
        run: str,
        options: Options | None = None,
        refused: Iterable[tuple[str, Exception]] = (),
    ) -> Generator[Landed]:
        """Fetch and land; the registry tells meanwhile who works on what, and afterwards how it ended.

        `refused` are partition keys whose series could not even be looked up; they come out as failed.
        """
        pieces = list(slices)
        for key, error in refused:
            yield unlanded(table, Fetched.refused(table, key, error), error)
        dry = options is not None and options.dry_run
        progress = Progress(None if dry else self.registry, pieces, run)
        progress.begin()
        try:
            with contextlib.closing(self._fetch_and_land(table, pieces, run, options)) as stream:
                for landed in stream:
                    progress.landed(landed)
                    yield landed
        except BaseException as error:
            progress.interrupted(error)
            raise

    def _fetch_and_land(
        self, table: Table, slices: Iterable[Slice], run: str, options: Options | None
    ) -> Generator[Landed]:
        # Made here, by one thread: the landing threads share them.
        lake, ledger, options = self.lake, self.ledger, options or Options()

        def open_desk(source: str) -> Desk:
            if table in INGESTED.values():
                return CandleDesk(table, lake, ledger, self.source(source), options)
            return FeedDesk(table, lake, ledger, self._able(table, source), self.vendor, options)

        landing = partial(self._land, table, run, options)
        return fetch(table, slices, open_desk, landing, self.settings.http_concurrency)

    def _land(self, table: Table, run: str, options: Options | None, fetched: Fetched) -> Landed:
        version = self.code_version
        try:
            landed = land(
                table, fetched, self.lake, self.ledger, run=run, code_version=version, options=options
            )
            if fetched.delisted_at is not None and not (options and options.dry_run):
                self._note_delisting(fetched.slice.series.id, fetched.delisted_at)
            return landed
        except (StoreError, CatalogError) as error:
            return unlanded(table, fetched, fetched.error or error)

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
        month, _, name = key.partition("|")
        series = Series(name, "market", name.partition(".")[0], name)
        piece = Slice(series, month, window or month_window(month))
        return land_computed(table, piece, compute, self.lake, run=run, code_version=self.code_version)

    def adopt(
        self, ids: Iterable[str], now: datetime, domain: str | None = None
    ) -> tuple[dict[str, Series], dict[str, Exception]]:
        """Series by id; one that is not registered yet is looked up at its vendor and registered.

        With a domain, one that belongs to another is refused.
        """
        known = {series.id: series for series in self.registry.series()}
        found: dict[str, Series] = {}
        refused: dict[str, Exception] = {}
        for name in ids:
            try:
                if name not in known:
                    source, _, rest = check_id(name).partition(".")
                    given = self._giver(source, rest)
                    canonical = given[1] if given else _market_id(name)[0]
                    if canonical != name:
                        raise ValueError(f"series id {name!r} is an alias: name the partition {canonical}")
                    described = self.describe(name, now)
                    _check_domain(described, domain)
                    self.registry.add_missing([described])
                    known[name] = self.registry.require(name).series
                    self.expect([known[name]], now)
                _check_domain(known[name], domain)
                found[name] = known[name]
            except (SourceError, ValueError) as error:
                refused[name] = error
        return found, refused

    def expect(self, newcomers: Iterable[Series], now: datetime) -> None:
        """Note in the ledger what the lake should hold of new series and nobody has fetched yet."""
        for series in newcomers:
            for table in FETCHED.values():
                if series.follows(table):
                    self.audit(table, series, now)

    def audit(self, table: Table, series: Series, now: datetime, since: datetime | None = None) -> Audit:
        """What the lake lacks of a series, noted in the ledger; what may still come in time is no gap."""
        grace = self.patience(table)
        return audit(table, series, self.lake, self.ledger, now, grace=grace, since=since)

    def patience(self, table: Table) -> timedelta:
        """How far behind the present a table may be: FRESHNESS_MINUTES, or more where rows come late."""
        usual = timedelta(minutes=self.settings.freshness_minutes)
        return max(usual, table.late_after or usual)

    async def look_up(self, exchange: str, symbol: str) -> Market:
        """The market at the venue; raises NotFound with the nearest names."""
        async with self.source(exchange) as source:
            return await source.market(symbol)

    def describe(self, text: str, now: datetime, timeframes: Sequence[str] = ("1m",)) -> Series:
        """A series for a canonical id or an alias, as its vendor describes it; not registered yet."""
        import asyncio

        source, _, rest = text.strip().partition(".")
        kind, name, symbol = self._giver(source.lower(), rest) or (None, *_market_id(text))
        exchange = source.lower()
        if kind is None:
            market = asyncio.run(self.look_up(exchange, symbol))
            if lacking := [one for one in timeframes if one not in market.timeframes]:
                offered = ", ".join(one for one in TIMEFRAMES if one in market.timeframes)
                raise ValueError(
                    f"timeframe {lacking[0]!r}: {exchange} offers {offered or 'none'} of {symbol}"
                )
        else:
            market = asyncio.run(self._listed(kind, symbol))
        lookback = floor(now - timedelta(days=self.settings.ingestion_lookback_days), timedelta(days=1))
        return Series(
            id=name,
            domain=kind.domain if kind else "market",
            source=exchange,
            symbol=symbol,
            strategy=kind.strategy if kind else Strategy.FLATPACK_API,
            timeframes=() if kind else tuple(timeframes),
            listed_at=market.listed_at,
            delisted_at=market.delisted_at,
            backfill_from=max(filter(None, (lookback, market.listed_at))),
            metadata={"tables": [table.name for table in kind.usual]} if kind and kind.usual else {},
        )

    def canonical(self, text: str) -> str | None:
        """The id of a series of another domain than candles, if that is what the text names."""
        source, _, rest = text.strip().partition(".")
        giver = self._giver(source.lower(), rest) if rest else None
        return giver[1] if giver else None

    def _giver(self, source: str, rest: str) -> tuple[type[Vendor], str, str] | None:
        """The vendor of another domain than candles whose series this is, with its id and symbol."""
        for kind in sorted(self.vendors, key=lambda one: not one.lists()):
            named = kind.named(rest) if kind.serves == source else None
            if named is not None:
                return (kind, *named)
        return None

    async def _listed(self, kind: type[Vendor], symbol: str) -> Market:
        if not kind.lists():
            return Market(symbol, None, None, trading=True, timeframes=frozenset())
        async with self.vendor(kind) as vendor:
            return await vendor.look_up(symbol)

    def _note_delisting(self, series: str, moment: datetime) -> None:
        import dataclasses

        entry = self.registry.get(series)
        if entry is not None and entry.series.delisted_at != moment:
            self.registry.update(dataclasses.replace(entry.series, delisted_at=moment))

    def _ensure_simulator(self) -> None:
        """The simulated world is the same whoever shows it, so without one running this process shows it."""
        import socket

        port = self.settings.simulator_port
        with self._simulator_guard:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            from ingestion_assets.simulator import Simulator

            try:
                Simulator(port=port, seed=self.settings.simulator_seed).start()
            except OSError:  # another process was faster to show it on this port
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) != 0:
                        raise


def _check_domain(series: Series, domain: str | None) -> None:
    if domain is not None and series.domain != domain:
        raise ValueError(f"series {series.id!r} belongs to {series.domain}, not to {domain}: use its assets")


def _market_id(text: str) -> tuple[str, str]:
    """Canonical id and symbol of a market."""
    exchange, symbol = parse_id(text)
    return series_id(exchange, symbol), symbol
