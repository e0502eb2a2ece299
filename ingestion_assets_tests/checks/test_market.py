"""Asset checks over a real lake: complete, fresh, promises, like_the_venue."""

import random
from datetime import UTC, datetime, timedelta

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ingestion_assets.checks.complete import GAP_CHECKS, GapCheckConfig, gap_audits
from ingestion_assets.checks.fresh import FRESH_CHECKS, freshness_result, judge_lateness
from ingestion_assets.checks.promises import PROMISE_CHECKS
from ingestion_assets.checks.venue import RECONCILE_CHECKS, reconcile
from ingestion_assets.ingestion import slices_of
from ingestion_assets.ingestion.audit import Lateness
from ingestion_assets.intervals import Window, micros
from ingestion_assets.registry import Series, Strategy
from ingestion_assets.simulator import Fault
from ingestion_assets.tables import DERIVED
from ingestion_assets.tables.derivatives import FUNDING_RATES
from ingestion_assets_tests.market_world import M1, M5, asset_key, utc

BTC, ETH, SOL, ADA = (f"binance.{base}-USDT" for base in ("BTC", "ETH", "SOL", "ADA"))
H1 = DERIVED["1h"]
EVENING = {"since": utc(2024, 1, 31, 18), "until": utc(2024, 2, 1)}
JANUARY = "2024-01"


def minutes(series: str, last: datetime, count: int = 1) -> pa.Table:
    """Bars of one price that end with the one that opens at `last`."""
    opens = [micros(last - timedelta(minutes=n)) for n in reversed(range(count))]
    same = dict.fromkeys(("open", "high", "low", "close", "volume"), [1.0] * count)
    rest = {"close_time": pa.array([t + 59_999_000 for t in opens]), "source": ["rest"] * count}
    return M1.conform(pa.table(same | rest | {"time": pa.array(opens), "known_at": pa.array(opens)}))


def hold(world, series: str, last: datetime) -> None:
    world.bench.lake.merge(M1, series, f"{last:%Y-%m}", minutes(series, last), notes={})


def doctor(world, table, series: str, column: str, change) -> None:
    """Write a month again with other values in a column, as a bad disk or a bad program would."""
    from ingestion_assets.stores.lake_file import encode

    window = Window(utc(2024, 1, 1), utc(2024, 2, 1))
    rows = world.bench.lake.read(table, series, window)
    place = rows.schema.get_field_index(column)
    rows = rows.set_column(place, rows.schema.field(place), change(rows.column(place)))
    world.file(table, f"{JANUARY}|{series}").write_bytes(encode(table, rows, {}))


class TestComplete:
    def scan(self, world):
        run = world.run("gap_scan", run_config={"ops": {"market__ohlcv_1m_complete": {"config": ALL}}})
        assert run.success
        return world.evaluation(M1, "complete")

    def test_finds_what_is_gone_and_names_it(self, world):
        world.register(BTC, ETH, SOL, ADA, **EVENING)
        gap_audits(world.bench, M1, datetime.now(UTC), None)  # as when the series are registered
        world.run(M1, f"{JANUARY}|{BTC}", f"{JANUARY}|{ADA}")
        world.file(M1, f"{JANUARY}|{BTC}").unlink()
        world.punch(M1, ETH, Window(utc(2024, 1, 31, 20), utc(2024, 1, 31, 20, 30)))
        world.file(M1, f"{JANUARY}|{SOL}").write_bytes(b"PAR1 no more")
        found = self.scan(world)
        facts = {name: value.value for name, value in found.metadata.items()}
        assert not found.passed
        assert found.severity == dg.AssetCheckSeverity.WARN
        assert (facts["series"], facts["missing_count"], facts["coverage"]) == (4, 360 + 30 + 360, 0.0)
        assert facts["longest_minutes"] == 360
        assert set(facts["gaps"]) == {BTC, ETH, SOL}
        assert facts["gaps"][ETH] == ["2024-01-31T20:00Z … 2024-01-31T20:30Z"]
        assert facts["unreadable_files"] == [str(world.file(M1, f"{JANUARY}|{SOL}"))]
        assert found.description == "750 bars are absent in 3 of 4 series"
        missing = [gap for gap in world.bench.ledger.open(M1.path) if gap.reason == "missing"]
        assert {gap.series for gap in missing} == {BTC, ETH, SOL}

    def test_does_not_fail_for_history_that_nobody_has_asked_for_yet(self, world):
        world.register(BTC, **EVENING)
        found = self.scan(world)
        assert found.passed
        assert found.metadata["pending_count"].value == 360

    def test_does_not_look_for_what_was_not_listed_or_is_not_followed(self, world):
        world.register(BTC, **EVENING)
        world.register(ETH, since=utc(2024, 1, 1), enabled=False)
        world.register(SOL, since=utc(2024, 1, 1), strategy=Strategy.STREAM)
        world.register(ADA, since=utc(2024, 1, 1), timeframes=("5m",))
        world.run(M1, f"{JANUARY}|{BTC}")
        found = self.scan(world)
        assert found.passed
        assert (found.metadata["series"].value, found.metadata["coverage"].value) == (1, 1.0)

    def test_of_events_it_counts_the_time_that_nobody_asked_for(self, world):
        day = {"backfill_from": utc(2024, 1, 30), "delisted_at": utc(2024, 1, 31)}
        name = "binance.BTC-USDT-PERP"
        world.bench.registry.add(Series(name, "derivatives", "binance", "BTC/USDT:USDT", **day))
        gap_audits(world.bench, FUNDING_RATES, datetime.now(UTC), None)
        series = world.bench.registry.series("derivatives")
        pieces = slices_of(series, Window(*day.values()), FUNDING_RATES.cut)
        assert [one.error for one in world.bench.ingest(FUNDING_RATES, list(pieces), run="r")] == [None]
        world.file(FUNDING_RATES, f"{JANUARY}|{name}").unlink()
        every = {"ops": {"derivatives__funding_rates_complete": {"config": ALL}}}
        assert world.run("gap_scan", run_config=every).success
        found = world.evaluation(FUNDING_RATES, "complete")
        assert found.description == "24 h were not asked for in 1 of 1 series"

    def test_looks_at_two_months_unless_told_otherwise(self, world):
        now = utc(2024, 4, 2)
        world.register(BTC, since=utc(2024, 2, 29))
        spans = {recent: gap_audits(world.bench, M1, now, recent)[0].window.start for recent in (1, 2, None)}
        assert spans == {1: utc(2024, 4, 1), 2: utc(2024, 3, 1), None: utc(2024, 2, 29)}
        assert GapCheckConfig().recent_months == 2


ALL = {"recent_months": None}


class TestFresh:
    NOW = datetime(2024, 6, 15, 12, 0, tzinfo=UTC)

    def look(self, world, now=NOW):
        found = freshness_result(world.bench, M1, now)
        return found, {name: value.value for name, value in found.metadata.items()}

    def test_is_by_the_time_of_the_data(self, world):
        """A series that stopped is late however much is fetched of its past."""
        world.register(BTC, ETH, since=utc(2024, 1, 1))
        hold(world, BTC, self.NOW - timedelta(minutes=1))
        hold(world, ETH, self.NOW - timedelta(minutes=61))
        hold(world, ETH, utc(2024, 1, 31))
        found, facts = self.look(world)
        assert not found.passed
        assert found.severity == dg.AssetCheckSeverity.ERROR
        assert facts["late"] == {ETH: {"minutes": 59, "last": "2024-06-15T10:59Z"}}
        assert facts["late_venues"] == {}
        assert facts["worst_minutes"] == 59

    def test_tells_the_cause_when_it_is_known(self, world):
        world.register(BTC, since=utc(2024, 1, 1))
        hold(world, BTC, self.NOW - timedelta(hours=1))
        world.bench.registry.finish(BTC, "VendorDown: HTTP 502")
        _, facts = self.look(world)
        assert facts["late"][BTC]["cause"] == "VendorDown: HTTP 502"

    def test_says_nothing_of_series_that_are_not_followed_or_no_more(self, world):
        world.register(BTC, since=utc(2024, 1, 1))
        hold(world, BTC, self.NOW - timedelta(minutes=1))
        world.register(ETH, since=utc(2024, 1, 1), enabled=False)
        world.register(SOL, since=utc(2024, 1, 1), until=utc(2024, 6, 1))
        world.register(ADA, since=utc(2024, 1, 1), strategy=Strategy.STREAM)
        found, facts = self.look(world)
        assert found.passed
        assert facts["series"] == 1

    def test_does_not_call_a_series_late_that_was_registered_a_moment_ago(self, world):
        world.register(BTC, ETH, SOL, since=utc(2020, 1, 1))
        now = datetime.now(UTC)
        assert self.look(world, now)[0].passed
        found, facts = self.look(world, now + timedelta(minutes=30))
        assert list(facts["late_venues"]) == ["binance"]
        assert not found.passed

    def test_runs_as_a_check_too(self, world):
        world.register(BTC, since=utc(2024, 1, 1))
        hold(world, BTC, utc(2024, 6, 1))
        key = dg.AssetCheckKey(asset_key(M1), "fresh")
        job = world.repository.get_implicit_global_asset_job_def()
        job = job.get_subset(asset_selection=set(), asset_check_selection={key})
        assert job.execute_in_process(instance=world.instance).success
        assert not world.evaluation(M1, "fresh").passed


def states(venue: str, late: int, fine: int) -> list[Lateness]:
    made = []
    for number in range(late + fine):
        series = Series(f"{venue}.S{number}-USDT", "market", venue, f"S{number}/USDT")
        made.append(Lateness(series, utc(2024, 1, 1), timedelta(hours=1 if number < late else 0)))
    return made


LIMIT = timedelta(minutes=15)


@pytest.mark.parametrize(
    ("late", "fine", "venue"),
    [(50, 0, True), (25, 25, True), (24, 26, False), (3, 0, True), (2, 0, False), (3, 4, False)],
)
def test_half_of_a_venue_is_the_venue(late, fine, venue):
    alone, venues = judge_lateness(states("binance", late, fine), LIMIT)
    assert (list(venues) == ["binance"]) == venue
    assert len(alone) == (0 if venue else late)


def test_a_venue_that_is_down_hides_no_late_series_of_another():
    alone, venues = judge_lateness(states("binance", 10, 0) + states("kraken", 1, 9), LIMIT)
    assert venues == {"binance": "10 of 10 series of binance are late"}
    assert [state.series.id for state in alone] == ["kraken.S0-USDT"]


def test_a_series_is_called_late_a_little_after_its_venue_would_be():
    behind = [Lateness(s.series, s.last, timedelta(minutes=16)) for s in states("binance", 3, 0)]
    assert judge_lateness(behind, LIMIT)[1]
    fine = [Lateness(s.series, s.last, timedelta(0)) for s in states("binance", 0, 20)]
    assert judge_lateness([behind[0], *fine], LIMIT) == ([], {})


class TestPromises:
    def scan(self, world, table=M1):
        assert world.run("quality_scan").success
        return world.evaluation(table, "promises")

    def test_hold_for_what_was_landed_and_break_for_what_was_doctored(self, world):
        world.register(BTC, ETH, **EVENING)
        world.run(M1, f"{JANUARY}|{BTC}", f"{JANUARY}|{ETH}")
        found = self.scan(world)
        assert found.passed
        assert found.metadata["rows"].value == 720
        doctor(world, M1, ETH, "high", lambda values: pc.multiply(values, 0.5))
        found = self.scan(world)
        assert not found.passed
        assert found.severity == dg.AssetCheckSeverity.ERROR
        broken = found.metadata["broken"].value
        assert list(broken) == [f"{JANUARY}|{ETH}"]
        assert "360 rows: high is at least open and close" in broken[f"{JANUARY}|{ETH}"]

    def test_name_a_file_that_cannot_be_read_and_go_on(self, world):
        world.register(BTC, ETH, **EVENING)
        world.run(M1, f"{JANUARY}|{BTC}", f"{JANUARY}|{ETH}")
        world.file(M1, f"{JANUARY}|{BTC}").write_bytes(b"PAR1 no more")
        found = self.scan(world)
        assert list(found.metadata["broken"].value) == [f"{JANUARY}|{BTC}"]
        assert found.metadata["rows"].value == 360


class TestLikeTheVenue:
    @pytest.fixture
    def derived(self, world):
        world.register(BTC, **EVENING)
        world.run(M1, f"{JANUARY}|{BTC}")
        world.run(H1, f"{JANUARY}|{BTC}")
        return world

    def scan(self, world):
        assert world.run("quality_scan").success
        return world.evaluation(H1, "like_the_venue")

    def test_passes_on_what_is_true_and_finds_a_bar_that_was_doctored(self, derived):
        found = self.scan(derived)
        assert found.passed
        assert found.metadata["compared"].value == 6
        doctor(derived, H1, BTC, "volume", lambda values: pc.multiply(values, 1.001))
        found = self.scan(derived)
        assert not found.passed
        assert found.severity == dg.AssetCheckSeverity.WARN
        different = found.metadata["different"].value
        assert next(iter(different)) == f"{BTC} 2024-01-31T18:00Z"
        assert "volume: " in different[f"{BTC} 2024-01-31T18:00Z"]

    def test_leaves_out_bars_of_which_a_part_was_missing(self, derived):
        derived.punch(M1, BTC, Window(utc(2024, 1, 31, 20), utc(2024, 1, 31, 20, 30)))
        derived.run(H1, f"{JANUARY}|{BTC}")
        found = self.scan(derived)
        assert (found.passed, found.metadata["compared"].value) == (True, 5)

    def test_says_so_when_the_venue_cannot_be_asked(self, derived):
        derived.simulator.faults.add(Fault("server_error", times=None, status=502))
        found = self.scan(derived)
        assert not found.passed
        assert "502" in found.metadata["unreachable"].value[BTC]

    def test_names_a_file_that_cannot_be_read(self, derived):
        derived.file(H1, f"{JANUARY}|{BTC}").write_bytes(b"PAR1 no more")
        assert "CorruptFile" in self.scan(derived).metadata["unreachable"].value[BTC]

    def test_compares_only_what_the_venue_still_serves(self, derived, monkeypatch):
        """Kraken serves its last 720 bars and nothing before."""
        import asyncio

        from ingestion_assets.sources.market.binance import Binance

        monkeypatch.setattr(Binance, "horizon", lambda *_: utc(2024, 1, 31, 22, 30))
        series = derived.bench.registry.require(BTC).series
        count, bad = asyncio.run(reconcile(derived.bench, H1, series, 24, random.Random(1)))
        assert (count, bad) == (1, {})


def test_every_table_is_checked():
    definitions = [*GAP_CHECKS, *FRESH_CHECKS, *PROMISE_CHECKS, *RECONCILE_CHECKS]
    keys = [key for definition in definitions for key in definition.check_keys]
    names = {(key.asset_key.to_user_string(), key.name) for key in keys}
    for path in ("market/ohlcv_1m", "market/ohlcv_5m"):
        assert {(path, name) for name in ("complete", "fresh", "promises")} <= names
    for table in DERIVED.values():
        assert (table.path, "promises") in names
    assert (M5.path, "like_the_venue") not in names
