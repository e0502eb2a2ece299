"""Feature assets as runs: borders of months, holes, revisions, and only what is outdated made again."""

from datetime import timedelta

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ingestion_assets.features.market import market_features
from ingestion_assets.intervals import Window, month_window
from ingestion_assets.tables import FEATURES
from ingestion_assets_tests.market_world import M1, M5, failure_text, utc

BTC, ETH = "binance.BTC-USDT", "binance.ETH-USDT"
F1, F5 = FEATURES["1m"], FEATURES["5m"]
BOUNDS = {"since": utc(2024, 1, 30), "until": utc(2024, 2, 2)}
JANUARY, FEBRUARY = f"2024-01|{BTC}", f"2024-02|{BTC}"


def features(world, *keys, **config):
    run = world.run(F1, keys[0], keys[-1], config=config or None)
    assert run.success
    return [row for key in keys for row in world.rows(F1, key)]


def of_all_bars(world, series=BTC):
    """What one computation over everything that is held gives."""
    everything = Window(utc(2024, 1, 1), utc(2024, 3, 1))
    return market_features(world.bench.lake.read(M1, series, everything), F1, everything).to_pylist()


def numbers(rows):
    return [{name: v for name, v in row.items() if name not in ("known_at", "source")} for row in rows]


def test_a_month_s_first_bars_look_back_into_the_month_before(world):
    world.register(BTC, **BOUNDS)
    assert world.run(M1, JANUARY, FEBRUARY).success
    rows = features(world, FEBRUARY)
    assert len(rows) == 1_440
    assert rows[0]["time"] == utc(2024, 2, 1)
    assert rows[0]["minutes_since_gap"] == 1_023
    assert None not in rows[0].values()
    assert features(world, JANUARY, FEBRUARY) == of_all_bars(world)


def test_a_market_s_first_bars_have_what_there_is_of_them(world):
    world.register(BTC, **BOUNDS)
    assert world.run(M1, JANUARY).success
    rows = features(world, JANUARY)
    assert rows[0]["is_gap"] is True
    assert rows[0]["ret_1"] is None
    assert [row["ret_60"] is None for row in rows[59:62]] == [True, False, False]
    assert rows[60]["coverage"] == 1.0


def test_again_writes_nothing(world):
    world.register(BTC, **BOUNDS)
    world.run(M1, JANUARY, FEBRUARY)
    features(world, JANUARY, FEBRUARY)
    before = world.lake_files()
    features(world, JANUARY, FEBRUARY)
    features(world, JANUARY, FEBRUARY, full_refresh=True)
    assert world.lake_files() == before


def change(world, name, moment, series=BTC):
    """One bar of the lake gets another value, as when the venue restates it."""
    key = f"{moment:%Y-%m}"
    rows = world.bench.lake.read(M1, series, month_window(key))
    place = (moment - rows["time"][0].as_py()) // M1.grain
    values = rows[name].to_numpy().copy()
    values[place] *= 1.0001 if name != "low" else 0.9999
    row = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), [values])
    assert world.bench.lake.merge(M1, series, key, row.slice(place, 1), notes={}).changed == 1


@pytest.mark.parametrize(
    "happens",
    [
        lambda w: change(w, "high", utc(2024, 2, 1, 5)),
        lambda w: change(w, "low", utc(2024, 1, 31, 23, 50)),
        lambda w: change(w, "volume", utc(2024, 1, 31, 12)),
        lambda w: w.punch(M1, BTC, Window(utc(2024, 1, 31, 22), utc(2024, 1, 31, 22, 7))),
        lambda w: w.punch(M1, BTC, Window(utc(2024, 2, 1), utc(2024, 2, 1, 0, 1))),
        lambda w: w.punch(M1, BTC, Window(utc(2024, 2, 1, 23, 50), utc(2024, 2, 2))),
    ],
    ids=[
        "high",
        "low of the month before",
        "volume",
        "hole in the month before",
        "hole at the border",
        "end",
    ],
)
def test_what_is_outdated_is_made_as_if_all_were_made_again(world, happens):
    world.register(BTC, **BOUNDS)
    world.run(M1, JANUARY, FEBRUARY)
    features(world, JANUARY, FEBRUARY)
    happens(world)
    assert numbers(features(world, JANUARY, FEBRUARY)) == numbers(of_all_bars(world))


def test_bars_that_come_late_fill_their_hole(world):
    hole = Window(utc(2024, 1, 31, 23, 40), utc(2024, 1, 31, 23, 45))
    world.register(BTC, **BOUNDS)
    world.run(M1, JANUARY, FEBRUARY)
    whole = features(world, JANUARY, FEBRUARY)
    held = world.bench.lake.read(M1, BTC, hole)
    world.punch(M1, BTC, hole)
    assert numbers(features(world, JANUARY, FEBRUARY)) != numbers(whole)
    assert world.rows(F1, FEBRUARY)[0]["minutes_since_gap"] == 15
    world.bench.lake.merge(M1, BTC, "2024-01", held, notes={})
    assert numbers(features(world, JANUARY, FEBRUARY)) == numbers(whole)


def test_a_few_new_bars_cost_a_few_new_rows(world):
    """Nothing that is held is computed again, and nothing of it changes."""
    world.register(BTC, **BOUNDS)
    world.run(M1, JANUARY)
    last = Window(utc(2024, 1, 31, 23, 55), utc(2024, 2, 1))
    newest = world.bench.lake.read(M1, BTC, last)
    world.punch(M1, BTC, last)
    before = features(world, JANUARY)
    world.bench.lake.merge(M1, BTC, "2024-01", newest, notes={})
    after = features(world, JANUARY)
    assert world.materialized(F1)[JANUARY]["fetched_rows"] == 5
    assert world.materialized(F1)[JANUARY]["new_rows"] == 5
    assert after[: len(before)] == before
    assert after == of_all_bars(world)


def test_a_restated_bar_s_features_are_known_from_then_on(world):
    world.register(BTC, **BOUNDS)
    world.run(M1, JANUARY)
    before = features(world, JANUARY)
    moment = utc(2024, 1, 31, 12)
    change(world, "high", moment)
    after = {row["time"]: row for row in features(world, JANUARY)}
    restated = [row["time"] for row in before if after[row["time"]]["known_at"] != row["known_at"]]
    assert restated[0] == moment
    assert after[moment]["known_at"].year > 2024
    assert after[moment - timedelta(minutes=1)]["known_at"].year == 2024


def test_one_series_that_cannot_be_read_fails_alone(world):
    world.register(BTC, ETH, **BOUNDS)
    world.run(M1, JANUARY, f"2024-01|{ETH}")
    world.file(M1, JANUARY).write_bytes(b"PAR1 no more")
    run = world.run(F1, JANUARY, f"2024-01|{ETH}")
    assert not run.success
    assert f"- {BTC}: CorruptFile" in failure_text(run)
    assert list(world.materialized(F1)) == [f"2024-01|{ETH}"]
    assert world.rows(F1, f"2024-01|{ETH}") == of_all_bars(world, ETH)


def test_a_file_of_features_that_cannot_be_read_is_made_anew(world):
    world.register(BTC, **BOUNDS)
    world.run(M1, JANUARY)
    honest = features(world, JANUARY)
    world.file(F1, JANUARY).write_bytes(b"PAR1 no more")
    assert features(world, JANUARY) == honest


def test_features_as_an_older_version_stated_them_are_made_anew(world):
    world.register(BTC, **BOUNDS)
    world.run(M1, JANUARY)
    honest = features(world, JANUARY)
    path = world.file(F1, JANUARY)
    rows = pq.read_table(path, partitioning=None)
    place = rows.schema.get_field_index("rsi_14")
    rows = rows.set_column(place, rows.schema.field(place), pc.divide(rows.column(place), 100))
    notes = rows.schema.metadata | {b"ingestion_assets.schema_version": b"0"}
    pq.write_table(rows.replace_schema_metadata(notes), path)
    assert numbers(features(world, JANUARY)) == numbers(honest)


def test_five_minutes_too(world):
    world.register(BTC, timeframes=("1m", "5m"), since=utc(2024, 1, 20), until=utc(2024, 2, 2))
    assert world.run(M5, JANUARY, FEBRUARY).success
    assert world.run(F5, JANUARY, FEBRUARY).success
    rows = world.rows(F5, FEBRUARY)
    assert len(rows) == 288
    assert rows[0]["minutes_since_gap"] == 5_115
    assert np.isfinite([value for value in rows[0].values() if isinstance(value, float)]).all()
