"""The leak check: silent about what is honest, loud about a look ahead, and in the way of what follows."""

import random

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from ingestion_assets.automation.jobs import AT_ONCE
from ingestion_assets.automation.online import online_sensors
from ingestion_assets.checks import leak
from ingestion_assets.checks.leak import LEAK_CHECKS, leaks
from ingestion_assets.features.market import market_features
from ingestion_assets.settings import load_settings
from ingestion_assets.tables import FEATURES, STATISTICS
from ingestion_assets_tests.features.test_market import market_of
from ingestion_assets_tests.market_world import M1, asset_key, utc
from ingestion_assets_tests.tables.candles import span

BTC = "binance.BTC-USDT"
F1 = FEATURES["1m"]


def honest(bars, window):
    return market_features(bars, F1, window)


def looking_ahead(name):
    """Features of which one column tells the mean of a window that is centred on its row."""

    def compute(bars, window):
        made = market_features(bars, F1, window)
        close = made.column("close").to_numpy()
        ahead = np.convolve(np.pad(close, 2, mode="edge"), np.full(5, 0.2), mode="valid")
        place = made.schema.get_field_index(name)
        return made.set_column(place, made.schema.field(place), pa.array(ahead))

    return compute


def normalised_by_all(bars, window):
    """A scale that is taken from the whole window, as a scaler does that was fitted on everything."""
    made = market_features(bars, F1, window)
    place = made.schema.get_field_index("volume")
    volume = made.column("volume").to_numpy()
    return made.set_column(place, made.schema.field(place), pa.array(volume / volume.mean()))


class TestLeaks:
    bars = market_of(range(1_500), 7)
    window = span(1_200, 1_500)

    def found(self, compute, cuts=10):
        return leaks(compute, self.bars, self.window, cuts, random.Random(1))

    def test_honest_features_have_none(self):
        assert self.found(honest) == []

    def test_a_centred_window_is_found_and_named(self):
        assert len(self.found(looking_ahead("ema_20"))) == 10
        assert all(line.endswith(": ema_20") for line in self.found(looking_ahead("ema_20")))

    def test_a_scale_fitted_on_everything_is_found(self):
        assert any("volume" in line for line in self.found(normalised_by_all))

    def test_a_row_that_needs_the_next_one_is_found(self):
        assert self.found(lambda bars, window: honest(bars, window)[:-1])


def derive(world, *paths):
    job = world.repository.get_job("derive_market").get_subset(
        asset_selection={dg.AssetKey(path.split("/")) for path in paths},
        asset_check_selection={
            key for check in LEAK_CHECKS for key in check.check_keys if "/".join(key.asset_key.path) in paths
        },
    )
    return job.execute_in_process(
        instance=world.instance, partition_key=f"2024-01|{BTC}", raise_on_error=False
    )


@pytest.fixture
def ingested(world):
    world.register(BTC, since=utc(2024, 1, 30), until=utc(2024, 2, 1))
    assert world.run(M1, f"2024-01|{BTC}").success
    return world


def test_runs_with_the_features_and_is_content(ingested):
    run = derive(ingested, *AT_ONCE["1m"])
    assert run.success
    evaluation = ingested.evaluation(F1, "no_leak")
    assert evaluation.passed
    assert evaluation.blocking
    assert evaluation.description == "1 series: no leak"


def test_a_leak_keeps_features_from_going_online(ingested, monkeypatch):
    monkeypatch.setattr(leak, "market_features", lambda b, t, w: looking_ahead("ema_50")(b, w))
    run = derive(ingested, *AT_ONCE["1m"])
    assert not run.success
    evaluation = ingested.evaluation(F1, "no_leak")
    assert not evaluation.passed
    assert f"the future is in rows of {BTC}" in evaluation.description
    assert not [event for event in run.all_events if event.is_step_start and "online" in event.step_key]


def test_what_is_held_back_does_not_go_online_by_catching_up_either(ingested, monkeypatch, redis_url):
    ingested.setenv(REDIS_URL=redis_url)
    catch_up = next(s for s in online_sensors(load_settings()) if s.name == "online_catch_up")
    assert derive(ingested, F1.path).success
    cursor = ingested.tick(catch_up).cursor
    with monkeypatch.context() as patch:
        patch.setattr(leak, "market_features", lambda b, t, w: looking_ahead("ema_50")(b, w))
        assert not derive(ingested, F1.path).success
    held = ingested.tick(catch_up, cursor)
    assert held.run_requests == []
    assert derive(ingested, F1.path).success  # mended: what was held back is caught up with
    assert len(ingested.tick(catch_up, held.cursor).run_requests) == 1


def test_all_that_is_computed_bar_by_bar_is_watched():
    watched = {key.asset_key for check in LEAK_CHECKS for key in check.check_keys}
    tables = [*FEATURES.values(), STATISTICS["market_snapshot"], STATISTICS["roi_statistics"]]
    assert watched == {asset_key(table) for table in tables}
