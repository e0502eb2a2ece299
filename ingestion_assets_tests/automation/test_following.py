"""What follows ingestion: asked for exactly where bars changed."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from ingestion_assets.automation import following as module
from ingestion_assets.automation.following import following
from ingestion_assets.automation.jobs import AT_ONCE, CAUSE, HOURLY
from ingestion_assets.intervals import Window, iso, month_window
from ingestion_assets.partitions import RANGE_END, RANGE_START
from ingestion_assets.simulator import Fault
from ingestion_assets.tables import DERIVED, FEATURES
from ingestion_assets_tests.market_world import M1, M5, asset_key, utc

BTC, ETH, SOL = "binance.BTC-USDT", "binance.ETH-USDT", "binance.SOL-USDT"
ALL_OF_1M = {*HOURLY, *AT_ONCE["1m"]}


def asked(outcome) -> list[tuple[str, str, set[str]]]:
    """First and last partition of each request, and the assets that it asks for."""
    return [
        (r.tags[RANGE_START], r.tags[RANGE_END], {"/".join(key.path) for key in r.asset_selection})
        for r in outcome.run_requests
        if RANGE_START in r.tags
    ]


class TestDerive:
    """Aggregates and features are asked for exactly where bars changed."""

    @pytest.fixture
    def ingested(self, world):
        world.register(BTC, ETH, SOL, since=utc(2024, 1, 31), until=utc(2024, 2, 10))
        world.run(M1, f"2024-01|{BTC}", f"2024-02|{SOL}")
        return world

    def test_follows_what_changed_and_then_rests(self, ingested):
        outcome = ingested.tick("derive")
        assert asked(outcome) == [(f"2024-01|{BTC}", f"2024-02|{SOL}", ALL_OF_1M)]
        assert {request.job_name for request in outcome.run_requests[1:]} == {
            "report_coverage", "gap_scan", "quality_scan",
        }  # fmt: skip
        assert ingested.tick("derive", outcome.cursor).skip_message == "nothing new"
        ingested.run(M1, f"2024-01|{BTC}", f"2024-02|{SOL}")
        unchanged = ingested.tick("derive", outcome.cursor)
        assert unchanged.run_requests == []
        assert int(unchanged.cursor) > int(outcome.cursor)

    def test_follows_one_series_and_not_its_neighbours(self, ingested):
        cursor = ingested.tick("derive").cursor
        ingested.punch(M1, ETH, Window(utc(2024, 1, 31, 5), utc(2024, 1, 31, 6)))
        ingested.run(M1, f"2024-01|{BTC}", f"2024-01|{SOL}")
        outcome = ingested.tick("derive", cursor)
        assert asked(outcome) == [
            (f"2024-01|{ETH}", f"2024-01|{ETH}", ALL_OF_1M),
            (f"2024-02|{ETH}", f"2024-02|{ETH}", {*AT_ONCE["1m"]}),  # whose first features look back
        ]

    def test_days_of_a_week_that_opened_in_the_month_before_change_that_month_too(self, ingested):
        cursor = ingested.tick("derive").cursor
        ingested.punch(M1, BTC, Window(utc(2024, 2, 3), utc(2024, 2, 4)))
        ingested.run(M1, f"2024-02|{BTC}")
        outcome = ingested.tick("derive", cursor)
        assert asked(outcome) == [(f"2024-01|{BTC}", f"2024-02|{BTC}", ALL_OF_1M)]
        later = outcome.cursor
        ingested.punch(M1, BTC, Window(utc(2024, 2, 8), utc(2024, 2, 9)))
        ingested.run(M1, f"2024-02|{BTC}")
        assert asked(ingested.tick("derive", later)) == [(f"2024-02|{BTC}", f"2024-02|{BTC}", ALL_OF_1M)]

    def test_waits_while_the_last_aggregation_is_at_work_and_forgets_nothing(self, ingested):
        run = ingested.pretend("derive_market", dg.DagsterRunStatus.STARTED, **{CAUSE: "derive"})
        waiting = ingested.tick("derive")
        assert "still at work" in waiting.skip_message
        assert not waiting.cursor
        ingested.instance.report_run_canceled(run)
        assert asked(ingested.tick("derive"))[0][:2] == (f"2024-01|{BTC}", f"2024-02|{SOL}")

    def test_one_series_that_fails_does_not_hold_up_the_tables_of_the_others(self, world):
        world.register(BTC, ETH, since=utc(2024, 1, 31), until=utc(2024, 2, 1))
        world.simulator.faults.add(Fault("server_error", path="/api/v3/klines", symbol="ETHUSDT", times=None))
        assert not world.run(M1, f"2024-01|{BTC}", f"2024-01|{ETH}").success
        outcome = world.tick("derive")
        assert asked(outcome)[0][:2] == (f"2024-01|{BTC}", f"2024-01|{BTC}")
        assert all(run.success for run in world.execute(outcome.run_requests[:1]))
        assert all(
            len(world.rows(DERIVED[name], f"2024-01|{BTC}")) == n for name, n in (("1h", 24), ("1d", 1))
        )

    def test_bars_of_five_minutes_have_features_of_their_own(self, world):
        world.register(BTC, timeframes=("1m", "5m"), since=utc(2024, 1, 20), until=utc(2024, 1, 21))
        world.run(M5, f"2024-01|{BTC}")
        outcome = world.tick("derive")
        assert asked(outcome)[0] == (f"2024-01|{BTC}", f"2024-01|{BTC}", {*AT_ONCE["5m"]})
        assert all(run.success for run in world.execute(outcome.run_requests[:1]))
        assert len(world.rows(FEATURES["5m"], f"2024-01|{BTC}")) == 288

    def test_more_news_than_are_taken_at_once_come_in_turns_and_none_is_left_out(self, world, monkeypatch):
        monkeypatch.setattr(module, "FOLLOWED_AT_ONCE", 2)
        world.register(BTC, ETH, SOL, timeframes=("1m", "5m"), since=utc(2024, 1, 5), until=utc(2024, 1, 6))
        world.run(M1, f"2024-01|{BTC}", f"2024-01|{SOL}")
        world.run(M5, f"2024-01|{BTC}", f"2024-01|{SOL}")
        world.run(M1, f"2024-01|{BTC}")
        cursor, found = None, []
        while not (outcome := world.tick("derive", cursor)).skip_message:
            cursor = outcome.cursor
            found += [
                (name, path)
                for first, last, paths in asked(outcome)
                for name in (BTC, ETH, SOL)
                if first <= f"2024-01|{name}" <= last
                for path in paths
            ]
        paths = {*ALL_OF_1M, *AT_ONCE["5m"]}
        assert sorted(found) == sorted((name, path) for name in (BTC, ETH, SOL) for path in paths)


def record(key: str, **figures) -> dg.EventLogRecord:
    """A materialisation of minutes with these figures, as it is read back."""
    with dg.DagsterInstance.ephemeral() as instance:
        shown = {name: value for name, value in figures.items() if value is not None}
        instance.report_runless_asset_event(
            dg.AssetMaterialization(asset_key(M1), partition=key, metadata=shown)
        )
        return instance.fetch_materializations(asset_key(M1), limit=1).records[0]


ALL, FEW = (*AT_ONCE["1m"], *HOURLY), AT_ONCE["1m"]


@pytest.mark.parametrize(
    ("touched", "last", "expected"),
    [
        ("2024-05-15T13:55Z", "2024-05-15T13:58Z", {"2024-05": FEW}),
        ("2024-05-15T13:55Z", "2024-05-15T13:59Z", {"2024-05": ALL}),
        ("2024-05-15T13:55Z", "2024-05-15T14:03Z", {"2024-05": ALL}),
        (None, "2024-05-15T14:03Z", {}),
        ("2024-05-05T23:59Z", "2024-05-06T00:03Z", {"2024-05": ALL, "2024-04": ALL}),
        ("2024-05-06T00:00Z", "2024-05-06T01:03Z", {"2024-05": ALL}),
        ("2024-05-31T06:55Z", "2024-05-31T06:55Z", {"2024-05": FEW}),
        ("2024-05-31T06:56Z", "2024-05-31T06:56Z", {"2024-05": FEW, "2024-06": FEW}),
        ("2024-05-10T00:00Z", "2024-05-31T23:59Z", {"2024-05": ALL, "2024-06": FEW}),
    ],
)
def test_which_partitions_a_change_of_minutes_makes_out_of_date(touched, last, expected):
    found = following("1m", record(f"2024-05|{BTC}", new_rows=5, touched_from=touched, last=last))
    assert dict(found) == {f"{month}|{BTC}": assets for month, assets in expected.items()}


def test_the_month_that_has_not_begun_is_not_asked_for():
    month = f"{datetime.now(UTC):%Y-%m}"
    end = month_window(month).end
    last = iso(end - timedelta(minutes=1))
    found = following("1m", record(f"{month}|{BTC}", new_rows=5, touched_from=last, last=last))
    assert f"{end:%Y-%m}|{BTC}" not in dict(found)


def test_a_materialisation_that_somebody_reported_by_hand_counts_as_a_change():
    found = dict(following("1m", record(f"2024-05|{BTC}")))
    assert found == {f"2024-05|{BTC}": ALL, f"2024-06|{BTC}": FEW, f"2024-04|{BTC}": ALL}
