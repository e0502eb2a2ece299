"""What `ingest doctor` looks at, one function for each; a function yields findings, or raises."""

from __future__ import annotations

import asyncio
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path

from ingestion_assets.cli import environment
from ingestion_assets.cli.errors import text_of
from ingestion_assets.cli.output import duration, number, plural
from ingestion_assets.registry import Status
from ingestion_assets.seeds import seeds, unreadable
from ingestion_assets.settings import SettingsError
from ingestion_assets.sources.errors import GeoBlocked, SourceError
from ingestion_assets.stores.catalog import CatalogError
from ingestion_assets.stores.objects import StoreError
from ingestion_assets.workbench import Workbench

OK, WARN, FAIL = "ok", "warn", "fail"

_SKEW_BORNE = timedelta(seconds=2)
_STUCK_AFTER = timedelta(hours=6)
_PARTITIONS_BORNE = 75_000
_LITTLE_SPACE, _NO_SPACE = 5 << 30, 500 << 20
_SECRET = re.compile(r"KEY|SECRET|PASSWORD|TOKEN|URL", re.IGNORECASE)
_PLACEHOLDER = re.compile(
    r"change.?me|your[_-]|^<.*>$|^x{3,}$|placeholder|example|todo|:password@", re.IGNORECASE
)


@dataclass(frozen=True)
class Finding:
    name: str
    status: str
    text: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Everything, in an order in which a later finding may follow from an earlier one."""
    try:
        settings = environment.settings()
        bench = Workbench(settings)
    except SettingsError as error:
        yield Finding(
            "settings", FAIL, str(error), "Correct the variable or the line of .env, then run this again."
        )
        return
    yield Finding("settings", OK, f"PROFILE={settings.profile}")
    for name, examination in _EXAMINATIONS.items():
        try:
            yield from examination(bench)
        except (SourceError, StoreError, CatalogError, SettingsError, ValueError, OSError) as error:
            yield Finding(name, FAIL, text_of(error))


def keys(bench: Workbench) -> Iterator[Finding]:
    given = bench.settings.exchange_api_key is not None
    if given != (bench.settings.exchange_api_secret is not None):
        lacking = "EXCHANGE_API_SECRET" if given else "EXCHANGE_API_KEY"
        yield Finding("keys", WARN, f"{lacking} is missing", "Set both, or neither: candles need no key.")
    else:
        yield Finding("keys", OK, "given" if given else "none given, and candles need none")


def vendors(bench: Workbench) -> Iterator[Finding]:
    """Those that need a key: without it their series are not ingested, which matters when there are some."""
    try:
        entries = bench.registry.series(enabled_only=True)
    except CatalogError:  # told by its own examination
        entries = []
    for kind in bench.vendors:
        if not kind.needs:
            continue
        wanted = [series.id for series in entries if series.source == kind.serves]
        names = [name for name in (kind.needs, kind.secret) if name]
        lacking = [name.upper() for name in names if getattr(bench.settings, name) is None]
        others = [one.name for one in bench.vendors if one.serves == kind.serves and bench.keyed(one)]
        if bench.keyed(kind):
            text = f"simulated, so without {lacking[0]}" if lacking else "its key is given"
            yield Finding(kind.name, OK, text)
        elif wanted and not others:
            text = (
                f"{lacking[0]} is missing, so {plural(len(wanted), 'series', 'series')} cannot be asked for"
            )
            yield Finding(kind.name, WARN, text, f"Set {' and '.join(lacking)}, or disable the series.")
        else:
            instead = f", and {others[0]} gives what it can" if wanted else ""
            yield Finding(kind.name, OK, f"not used; it would need {' and '.join(lacking)}{instead}")


def budgets(bench: Workbench) -> Iterator[Finding]:
    """What was spent with vendors that charge."""
    for account in bench.accounts():
        status = WARN if account.exhausted else OK
        variable = "X_SPEND_PER_DAY_USD" if account.vendor == "x" else "VENDOR_BUDGETS"
        remedy = f"Nothing more is asked in {account.period}; {variable} says how much may be spent."
        yield Finding(f"{account.vendor} budget", status, account.text, remedy if account.exhausted else "")


def dotenv(bench: Workbench) -> Iterator[Finding]:
    from dotenv import dotenv_values

    path = environment.dotenv()
    if path is None:
        yield Finding(".env", WARN, "there is none", "`ingest setup` writes it, unless DAGSTER_HOME is set.")
        return
    values = {name: value for name, value in dotenv_values(path).items() if value}
    bad = [name for name, value in values.items() if _SECRET.search(name) and _PLACEHOLDER.search(value)]
    if bad:
        yield Finding(
            ".env",
            WARN,
            f"placeholders stand in {', '.join(bad)}",
            "Put the real values there, or take the lines out.",
        )
    secrets = [name for name in values if _SECRET.search(name)]
    if secrets and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        yield Finding(
            ".env", WARN, f"others may read {path}, which holds {', '.join(secrets)}", f"chmod 600 {path}"
        )
    if not bad:
        yield Finding(".env", OK, str(path))


def catalog(bench: Workbench) -> Iterator[Finding]:
    count = len(bench.registry.entries())
    bench.ledger.open()
    yield Finding("catalog", OK, f"{bench.catalog.place}, {plural(count, 'series', 'series')}")


def lake(bench: Workbench) -> Iterator[Finding]:
    from ingestion_assets.cli.world import mixed_worlds

    started = time.monotonic()
    bench.lake.objects.probe()
    took = duration(time.monotonic() - started)
    yield Finding("lake", OK, f"{bench.lake.objects.location} can be written, {took} for a small file")
    problem = mixed_worlds(bench)
    if problem:
        yield Finding("lake", FAIL, problem)


def space(bench: Workbench) -> Iterator[Finding]:
    state = bench.settings.ingest_state_dir.expanduser()
    places = [state]
    if "://" not in bench.settings.data_lake_path:
        places.append(Path(bench.settings.data_lake_path))
    for place in places:
        there = next(p for p in (place, *place.parents) if p.exists())
        free = shutil.disk_usage(there).free
        status = FAIL if free < _NO_SPACE else WARN if free < _LITTLE_SPACE else OK
        remedy = "" if status == OK else "Free space: a year of 1m candles of one series takes about 30 MB."
        yield Finding("disk", status, f"{free / 2**30:,.1f} GB are free at {place}", remedy)


def redis(bench: Workbench) -> Iterator[Finding]:
    if bench.settings.redis_url is None:
        yield Finding("redis", OK, "REDIS_URL is not set: `ingest up` brings its own")
        return
    from redis import Redis, RedisError

    try:
        with Redis.from_url(
            bench.settings.redis_url.get_secret_value(), socket_timeout=5, socket_connect_timeout=5
        ) as client:
            client.ping()
            policy = str(client.info("memory").get("maxmemory_policy", ""))
    except (RedisError, ValueError) as error:
        yield Finding(
            "redis",
            FAIL,
            f"{type(error).__name__}: {error}",
            "Start the server, correct REDIS_URL, or leave it out.",
        )
        return
    if policy.startswith("allkeys"):
        yield Finding(
            "redis",
            WARN,
            f"maxmemory-policy is {policy}: budgets may vanish",
            "Set it to noeviction or volatile-ttl.",
        )
    else:
        yield Finding("redis", OK, "answers")


def first_series(bench: Workbench) -> Iterator[Finding]:
    """Whether each of the settings' markets stands for a series; that it exists is its vendor's to say."""
    problems = unreadable(bench.settings)
    for entry, error in problems.items():
        yield Finding("first series", FAIL, f"{entry}: {error}", "Correct the entry; the others count.")
    if not problems:
        yield Finding("first series", OK, ", ".join(seeds(bench.settings)))


def exchanges(bench: Workbench) -> Iterator[Finding]:
    try:
        used = {series.source for series in bench.registry.series("market", enabled_only=True)}
    except CatalogError:  # told by its own examination
        used = set()
    if not used:
        markets = [name for name in seeds(bench.settings) if bench.canonical(name) is None]
        used = {name.partition(".")[0] for name in markets}
    quick = Workbench(bench.settings.model_copy(update={"http_attempts": 2, "http_timeout_sec": 10.0}))
    for name in sorted(used):
        yield _exchange(quick, name)


def _exchange(bench: Workbench, name: str) -> Finding:
    async def ask() -> tuple[timedelta, timedelta]:
        async with bench.source(name) as source:
            asked, started = datetime.now(UTC), time.monotonic()
            theirs = await source.now()
            trip = timedelta(seconds=time.monotonic() - started)
            return theirs - (asked + trip / 2), trip

    place = bench.settings.vendor_urls.get(name, "its public address")
    try:
        skew, trip = asyncio.run(ask())
    except GeoBlocked as error:
        return Finding(
            name,
            FAIL,
            str(error),
            "Ingest another exchange, or set BINANCE_URL or EXCHANGE_URLS to a host that serves you.",
        )
    except (SourceError, ValueError) as error:
        return Finding(
            name, FAIL, text_of(error), "Check the network and the proxy, or set PROFILE=simulator."
        )
    took, apart = trip.total_seconds() * 1000, abs(skew.total_seconds())
    told = f"{place} answers within {took:.0f} ms, clocks differ by {apart:.1f} s"
    if abs(skew) > _SKEW_BORNE + trip / 2:
        return Finding(
            name, WARN, told, "Let this machine's clock follow a time server (timedatectl set-ntp true)."
        )
    return Finding(name, OK, told)


def dagster(bench: Workbench) -> Iterator[Finding]:
    versions = {name: metadata.version(name) for name in ("dagster", "dagster-webserver", "dagster-graphql")}
    core = versions["dagster"].split(".")
    # The libraries' numbers follow Dagster's: 1.13.27 goes with 0.29.27.
    library = ".".join(["0", str(int(core[1]) + 16), *core[2:]])
    odd = [f"{n} {v}" for n, v in versions.items() if v != versions["dagster"]]
    for name in ("dagster-postgres", "dagster-aws"):
        version = metadata.version(name)
        if version != library:
            odd.append(f"{name} {version} (should be {library})")
    if odd:
        yield Finding(
            "dagster", FAIL, f"{versions['dagster']} with {', '.join(odd)}", "rm -r .venv && make setup"
        )
    else:
        yield Finding(
            "dagster", OK, f"{versions['dagster']}, libraries {library}, home {environment.dagster_home()}"
        )


def partitions(bench: Workbench) -> Iterator[Finding]:
    from ingestion_assets.intervals import Window, month_window, months
    from ingestion_assets.partitions import FIRST_MONTH

    count = len(bench.registry.entries("market"))
    span = len(list(months(Window(month_window(FIRST_MONTH).start, datetime.now(UTC)))))
    total = count * span
    text = f"{count} series × {span} months = {number(total)} of {number(_PARTITIONS_BORNE)}"
    if total > _PARTITIONS_BORNE:
        yield Finding(
            "partitions",
            WARN,
            text,
            "Dagster's UI becomes slow: raise FIRST_MONTH in partitions.py, or split the registry.",
        )
    else:
        yield Finding("partitions", OK, text)


def series(bench: Workbench) -> Iterator[Finding]:
    environment.release_lost(bench)
    now = datetime.now(UTC)
    entries = bench.registry.entries()
    bad = [entry for entry in entries if entry.status == Status.ERROR]
    stuck = [e for e in entries if e.status == Status.RUNNING and now - e.updated_at > _STUCK_AFTER]
    for entry in bad:
        name = entry.series.id
        yield Finding(
            name,
            WARN,
            f"its last run failed: {(entry.error_message or '').splitlines()[0]}",
            f"`ingest backfill {name} --here` tries again.",
        )
    for entry in stuck:
        yield Finding(
            entry.series.id,
            WARN,
            f"running for {duration(now - entry.updated_at)} by {entry.status_owner}",
            "Look at that run in the UI, and cancel it there.",
        )
    if not bad and not stuck:
        yield Finding("series", OK, f"none of {len(entries)} failed or is stuck")


_EXAMINATIONS: dict[str, Callable[[Workbench], Iterator[Finding]]] = {
    ".env": dotenv,
    "keys": keys,
    "catalog": catalog,
    "lake": lake,
    "disk": space,
    "redis": redis,
    "first series": first_series,
    "exchanges": exchanges,
    "vendors": vendors,
    "budgets": budgets,
    "dagster": dagster,
    "partitions": partitions,
    "series": series,
}
