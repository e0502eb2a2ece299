"""The steps of `ingest demo`. Each says what it does, shows its figures, and fails when they are wrong."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingestion_assets.cli import demonstration_feeds, environment, output
from ingestion_assets.cli.errors import Failed
from ingestion_assets.intervals import Window, bars, iso, micros, month_of, month_window
from ingestion_assets.settings import ROOT, Settings

if TYPE_CHECKING:
    import dagster as dg

    from ingestion_assets.simulator import Simulator
    from ingestion_assets.workbench import Workbench

MARKETS = ("binance.BTC-USDT", "binance.ETH-USDT", "binance.SOL-USDT")
_DERIVED = ("1h", "1d")
_HOLE = timedelta(hours=6)


class Demonstration:
    def __init__(self, folder: Path, simulator: Simulator) -> None:
        self.folder, self.simulator = folder, simulator
        self.months = _two_closed_months(datetime.now(UTC))
        self.window = Window(month_window(self.months[0]).start, month_window(self.months[-1]).end)
        self.number = 0
        self.started = time.monotonic()

    def run(self) -> None:
        with self._step("A folder of its own for lake, catalog and Dagster's instance"):
            bench = self._prepare()
        with self._step(f"Register {len(MARKETS)} markets of the simulated exchange"):
            self._register(bench)
        with self._step(f"Plan {self.months[0]} and {self.months[-1]}"):
            expected = self._plan(bench)
        with self._step("Materialise the partitions in Dagster, and hourly and daily candles from them"):
            self._materialise(bench, expected)
        with self._step("Delete a file and look for gaps"):
            self._break(bench)
        with self._step("Materialise what is missing"):
            self._heal(bench)
        with self._step(
            "Perpetuals, their trades, open interest and funding: the archive first, then the API"
        ):
            demonstration_feeds.perpetuals(bench, self._say, self._expect)
        with self._step("A share: minute bars from flat files and by REST, its splits, a snapshot"):
            demonstration_feeds.shares(bench, self._say, self._expect)
        with self._step("What providers show of a coin and of an index, and their histories"):
            demonstration_feeds.providers(bench, self._say, self._expect)
        with self._step("News: a search and a feed, and how they sound"):
            demonstration_feeds.news(bench, self._say, self._expect)
        with self._step("Chains: a metric, what an address sent and received, what it holds"):
            demonstration_feeds.chains(bench, self._say, self._expect)
        with self._step("Posts on X, up to a ceiling in dollars, and on Reddit"):
            demonstration_feeds.posts(bench, self._say, self._expect)
        with self._step("Ask DuckDB"):
            self._query(bench)

    def _prepare(self) -> Workbench:
        from ingestion_assets.cli.setup import prepare
        from ingestion_assets.resources import workbench

        home, state = self.folder / "dagster", self.folder / "state"
        home.mkdir()
        shutil.copy(ROOT / "dagster.yaml", home / "dagster.yaml")
        for name in Settings.model_fields:
            environment.remove(name.upper(), name)
        environment.apply(
            DAGSTER_HOME=str(home),
            INGEST_STATE_DIR=str(state),
            DATA_LAKE_PATH=str(self.folder / "lake"),
            PROFILE="simulator",
            SIMULATOR_PORT=str(self.simulator.port),
            DAGSTER_DISABLE_TELEMETRY="1",
            LOG_LEVEL="ERROR",
        )
        Settings.model_config["env_file"] = None  # this process lives in the demo's world alone
        prepare(environment.settings())
        self._say(f"{self.folder}, with {self.simulator.url} as the exchange")
        return workbench()

    def _register(self, bench: Workbench) -> None:
        from ingestion_assets.cli.stack_preparation import add_partitions

        for name in MARKETS:
            series = replace(bench.describe(name, datetime.now(UTC)), backfill_from=self.window.start)
            bench.registry.add(series)
            self._say(f"{series.id}, listed {iso(series.listed_at) if series.listed_at else '?'}")
        with environment.instance() as instance:
            add_partitions(instance, list(MARKETS))

    def _plan(self, bench: Workbench) -> int:
        from ingestion_assets.cli.plan import show_plan
        from ingestion_assets.cli.planning import plan_work, totals
        from ingestion_assets.cli.selection import work
        from ingestion_assets.cli.table_choice import Choice
        from ingestion_assets.ingestion import Options

        works = work(bench, MARKETS, Choice(), iso(self.window.start), iso(self.window.end))
        planned = plan_work(bench, works, Options(), whole_months=True)
        show_plan(planned)
        return int(totals(planned)["bars"])

    def _materialise(self, bench: Workbench, expected: int) -> None:
        from ingestion_assets.tables import DERIVED, INGESTED

        seconds = self._dagster(["1m", *_DERIVED], MARKETS[0], MARKETS[-1], self.months)
        rows = {name: self._rows(bench, name) for name in ("1m", *_DERIVED)}
        self._say(f"{output.number(rows['1m'])} candles in {output.duration(seconds)}")
        self._expect(rows["1m"] == expected, f"{expected} candles were planned, {rows['1m']} are in the lake")
        for name in _DERIVED:
            made = len(MARKETS) * bars([self.window], DERIVED[name].grain)
            self._say(f"{output.number(rows[name])} candles of {name}")
            self._expect(rows[name] == made, f"{made} candles of {name} should be there, {rows[name]} are")
        size = sum(
            path.stat().st_size for path in Path(bench.settings.data_lake_path).rglob("ohlcv_1m/**/*.parquet")
        )
        self._say(f"{size / max(1, rows['1m']):.0f} bytes for each candle of {INGESTED['1m'].path} on disk")

    def _break(self, bench: Workbench) -> None:
        from ingestion_assets.tables import INGESTED

        table, name, month = INGESTED["1m"], MARKETS[1], self.months[-1]
        held = bench.lake.read(table, name, month_window(month))
        start = month_window(month).start + timedelta(days=10)
        hole = Window(start, start + _HOLE)
        keys = table.keys(held)
        kept = held.filter((keys < micros(hole.start)) | (keys >= micros(hole.end)))
        bench.lake.merge(table, name, month, kept, notes={"run": "demo"}, replace=[month_window(month)])
        self._say(f"{output.duration(_HOLE)} of {name} from {iso(hole.start)} on are taken out")
        Path(bench.lake.url(table, MARKETS[2], month)).unlink()
        self._say(f"the file of {MARKETS[2]} for {month} is deleted")
        lacking = self._lacking(bench)
        self._say(f"the audit finds {output.number(lacking)} missing candles:")
        for gap in bench.ledger.open(table.path):
            self._say(f"  {gap.series} {gap.window} {gap.reason}: {gap.evidence}")
        wanted = bars([hole], table.grain) + bars([month_window(month)], table.grain)
        self._expect(lacking == wanted, f"{wanted} candles were taken out, {lacking} are found missing")

    def _heal(self, bench: Workbench) -> None:
        from ingestion_assets.tables import INGESTED

        seconds = self._dagster(["1m"], MARKETS[1], MARKETS[2], [self.months[-1]])
        lacking = self._lacking(bench)
        self._say(f"healed in {output.duration(seconds)}; missing now: {lacking}")
        healed = [
            gap
            for name in MARKETS
            for gap in bench.ledger.story(INGESTED["1m"].path, name, self.window)
            if gap.reason == "healed"
        ]
        for gap in healed:
            self._say(f"  {gap.series} {gap.window}: was {gap.was}, healed by {gap.run}")
        self._expect(lacking == 0, f"{lacking} candles are still missing")
        self._expect(len(healed) == 2, f"the ledger should tell of 2 healed gaps, it tells of {len(healed)}")

    def _query(self, bench: Workbench) -> None:
        from ingestion_assets.cli.lake_views import connect
        from ingestion_assets.cli.sql import run, show

        query = (
            "select series, count(*) as candles, min(low) as low, max(high) as high, "
            "round(sum(quote_volume) / 1e6) as million_usdt from market.ohlcv_1m group by series order by 1"
        )
        self._say(query)
        rows = run(connect(bench), query)
        if rows is None:
            raise Failed("the query gave nothing")
        show(rows)
        self._expect(rows.column("series").to_pylist() == list(MARKETS), "not every series is in the lake")

    def _dagster(self, names: list[str], first: str, last: str, months: list[str]) -> float:
        """A real run of the assets over a range of partitions, in this process."""
        import dagster as dg

        from ingestion_assets.definitions import defs
        from ingestion_assets.partitions import RANGE_END, RANGE_START, key_of

        tags = {RANGE_START: key_of(months[0], first), RANGE_END: key_of(months[-1], last)}
        keys = {dg.AssetKey(["market", f"ohlcv_{name}"]) for name in names}
        # Without the checks, which look at the open month too.
        job = defs.resolve_implicit_global_asset_job_def().get_subset(
            asset_selection=keys, asset_check_selection=set()
        )
        quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
        started = time.monotonic()
        with environment.instance() as instance:
            result = job.execute_in_process(
                instance=instance, tags=tags, run_config=quiet, raise_on_error=False
            )
            self._expect(result.success, "the run failed: " + _failure(result))
            events = sum(len(result.asset_materializations_for_node(f"market__ohlcv_{n}")) for n in names)
        self._say(f"run {result.run_id}: {output.plural(events, 'materialisation')} recorded")
        return time.monotonic() - started

    def _rows(self, bench: Workbench, timeframe: str) -> int:
        from ingestion_assets.tables import DERIVED, INGESTED

        table = (INGESTED | DERIVED)[timeframe]
        footers = (bench.lake.footer(table, name, month) for name in MARKETS for month in self.months)
        return sum(footer.rows for footer in footers if footer)

    def _lacking(self, bench: Workbench) -> int:
        """What an audit of the two months finds missing."""
        from ingestion_assets.ingestion.audit import audit
        from ingestion_assets.tables import INGESTED

        table, end = INGESTED["1m"], self.window.end
        many = bench.registry.series("market")
        audits = [audit(table, one, bench.lake, bench.ledger, end, grace=timedelta()) for one in many]
        return sum(one.absent + one.pending for one in audits)

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        self.number += 1
        seconds = output.duration(time.monotonic() - self.started)
        output.out().print(f"\n{self.number}. {title}  [{seconds}]", style="bold", markup=False)
        yield

    def _say(self, text: str) -> None:
        output.out().print(f"   {text}", markup=False)

    def _expect(self, true: bool, otherwise: str) -> None:
        if not true:
            raise Failed(f"step {self.number} of the demo is not as expected: {otherwise}")


def _failure(result: dg.ExecuteInProcessResult) -> str:
    said: list[Any] = [event.step_failure_data.error for event in result.get_step_failure_events()]
    return "; ".join(error.message.strip() for error in said if error)


def _two_closed_months(now: datetime) -> list[str]:
    last = month_window(month_of(now)).start - timedelta(days=1)
    before = month_window(month_of(last)).start - timedelta(days=1)
    return [month_of(before), month_of(last)]
