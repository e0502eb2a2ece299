"""The newest features of on-chain metrics, posts and news in Redis: tables.DOMAIN_FEATURES, one asset each.

What the series are called there is in stores/online/names.py. Of texts there is, beside each series' rows,
what all series of a platform together give: `features:social:twitter:1h:…`.
"""

from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from ingestion_assets.computed import online_asset
from ingestion_assets.features.texts import text_features
from ingestion_assets.intervals import Window, floor, month_window, periods
from ingestion_assets.io_managers.online import Upload
from ingestion_assets.partitions import month_by_series, parts_of
from ingestion_assets.stores.online import OnlineStore, Place
from ingestion_assets.stores.online.names import can_be_read, metric_of, platform_of, topic_of
from ingestion_assets.stores.texts import judged_texts, series_of
from ingestion_assets.tables import DOMAIN_FEATURES, Table
from ingestion_assets.tables.domain_features import BUCKETS, ONCHAIN_1D, domain_of
from ingestion_assets.workbench import Workbench


def domain_online_asset(table: Table) -> dg.AssetsDefinition:
    domain = domain_of(table)
    text = f"the domain's TTL after its end (FEATURE_TTL_OVERRIDES), as `features:{domain}:…`."
    put = partial(_metrics if table is ONCHAIN_1D else _texts, table)
    return online_asset(table, month_by_series(domain), text, put)


def _metrics(table: Table, bench: Workbench, store: OnlineStore, keys: list[str]) -> Generator[Upload]:
    for key, window in _windows(store, table, keys).items():
        month, series = parts_of(key)
        looked_at = Window(min(window.start, month_window(month).start), window.end)
        held = bench.lake.read(table, series, looked_at, ["component"]).column("component")
        names = [name for name in pc.unique(held.cast(pa.string())).to_pylist() if can_be_read(name)]
        for component in sorted(names):
            yield Upload(
                key,
                Place("onchain", *metric_of(series, component)),
                table,
                partial(_online, table, window, partial(_part, bench, series, component)),
                partial(_version, bench, table, series, window),
            )


def _part(bench: Workbench, series: str, component: str, window: Window) -> pa.Table:
    rows = bench.lake.read(ONCHAIN_1D, series, window)
    return rows.filter(pc.equal(rows.column("component").cast(pa.string()), component))


def _texts(table: Table, bench: Workbench, store: OnlineStore, keys: list[str]) -> Generator[Upload]:
    """Each series, and once for each month its platform, with the last of the platform's series."""
    windows, timeframe = _windows(store, table, keys), table.name.partition("_")[2]
    together: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        month, series = parts_of(key)
        together.setdefault((month, platform_of(series)), []).append(key)
    for key, window in windows.items():
        month, series = parts_of(key)
        platform, place = platform_of(series), Place(domain_of(table), topic_of(series), timeframe)
        version = partial(_version, bench, table, series, window)
        own = partial(bench.lake.read, table, series)
        yield Upload(key, place, table, partial(_online, table, window, own), version)
        others = together[month, platform]
        if others[-1] == key:
            window = Window(min(windows[other].start for other in others), window.end)
            whole = partial(_together, bench, table, series.partition(".")[0])
            place = Place(place.domain, platform, timeframe)
            yield Upload(key, place, table, partial(_online, table, window, whole), version)


def _together(bench: Workbench, table: Table, source: str, window: Window) -> pa.Table:
    _, texts, sentiment = BUCKETS[table.name]
    ended = max(window.start, min(window.end, floor(datetime.now(UTC), table.grain)))
    names = series_of(bench.lake, texts, source)
    rows = judged_texts(bench.lake, texts, sentiment, names, window)
    return text_features(rows, table, Window(window.start, ended))


def _online(table: Table, window: Window, load: Callable[[Window], pa.Table]) -> pa.Table:
    return load(window) if window.start < window.end else table.empty()


def _windows(store: OnlineStore, table: Table, keys: list[str]) -> dict[str, Window]:
    """By key what may be online up to its month's end, from where an earlier key of its series leaves off.

    So the first of them reaches back over months that are not asked for: what Redis has lost of them, and
    nothing of theirs is new, comes back with the next run.
    """
    grain = int(table.grain.total_seconds())
    life = timedelta(seconds=store.life(domain_of(table), "", grain))
    oldest = floor(datetime.now(UTC) - life, table.grain) + table.grain
    found: dict[str, Window] = {}
    reached: dict[str, datetime] = {}
    for key in sorted(keys):
        month, series = parts_of(key)
        end = month_window(month).end
        found[key] = Window(min(max(oldest, reached.get(series, oldest)), end), end)
        reached[series] = end
    return {key: found[key] for key in keys}


def _version(bench: Workbench, table: Table, series: str, window: Window) -> object:
    """By what to tell that the lake's files are others than before."""
    return [bench.lake.footer(table, series, month) for month in periods(window, table.cut)]


ASSETS = [domain_online_asset(table) for table in DOMAIN_FEATURES.values()]
