"""What an address did and held, against its own words; what is not known is not told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.features.addresses import address_readings
from ingestion_assets.features.onchain import metric_features
from ingestion_assets.intervals import Window
from ingestion_assets.tables.domain_features import ADDRESS_COMPONENTS, ONCHAIN_1D
from ingestion_assets.tables.onchain import BALANCES, TRANSACTIONS

ME, OTHER = f"0x{'ab' * 20}", f"0x{'cd' * 20}"
START = datetime(2024, 8, 1, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
TEN = Window(START, START + 10 * DAY)


def transactions(rows: list[dict]) -> pa.Table:
    usual = {"block": 1, "source": "rest", "successful": True, "from_address": ME, "to_address": OTHER}
    usual |= {"value": "0", "fees_paid": "0"}
    full = [
        usual | {"hash": str(n), "known_at": row["time"] + timedelta(minutes=15)} | row
        for n, row in enumerate(rows)
    ]
    columns = {f.name: pa.array([row.get(f.name) for row in full], f.type) for f in TRANSACTIONS.schema}
    return TRANSACTIONS.in_order(pa.table(columns, TRANSACTIONS.schema))


def balances(rows: list[dict]) -> pa.Table:
    usual = {"measured_at": START, "balance": "1", "source": "rest"}
    full = [usual | {"contract": str(n), "known_at": row["time"] + HOUR} | row for n, row in enumerate(rows)]
    columns = {f.name: pa.array([row.get(f.name) for row in full], f.type) for f in BALANCES.schema}
    return BALANCES.in_order(pa.table(columns, BALANCES.schema))


def told(readings: pa.Table) -> dict[tuple[int, str], float]:
    rows = readings.to_pylist()
    found = {((row["time"] - START).days, row["component"]): row["value"] for row in rows}
    assert len(found) == len(rows)
    assert {name for _, name in found} <= set(ADDRESS_COMPONENTS)
    return found


@given(
    st.lists(
        st.tuples(
            st.integers(0, 239),
            st.integers(0, 2**256 - 1),
            st.sampled_from([(ME, OTHER), (OTHER, ME), (ME, ME), (ME, None), (OTHER, OTHER)]),
            st.sampled_from([True, False, None]),
        ),
        max_size=30,
    ),
    st.sets(st.integers(0, 9)),
)
def test_days_are_summed_exactly_and_only_those_that_are_held(rows, unknown):
    table = transactions(
        [
            {"time": START + hour * HOUR, "value": str(value), "fees_paid": str(value // 7)}
            | {"from_address": a, "to_address": b, "successful": fine}
            for hour, value, (a, b), fine in rows
        ]
    )
    known = [Window(START + n * DAY, START + (n + 1) * DAY) for n in range(10) if n not in unknown]
    found = told(address_readings(ME, table, known, BALANCES.empty()))
    assert {day for day, _ in found} == set(range(10)) - unknown
    for day in set(range(10)) - unknown:
        mine = [row for row in rows if row[0] // 24 == day]
        sums = {"sent": 0, "received": 0, "fees": 0}
        for _, value, (a, b), fine in mine:
            sums["sent"] += value if a == ME and fine is not False else 0
            sums["received"] += value if b == ME and fine is not False else 0
            sums["fees"] += value // 7 if a == ME else 0
        assert found[day, "transactions"] == len(mine)
        for name, units in sums.items():
            assert found[day, name] == float(Fraction(units, 10**18)), name


def test_a_day_with_a_stretch_that_nobody_fetched_is_not_told():
    known = [Window(START + HOUR, START + 2 * DAY + HOUR), Window(START + 2 * DAY + 2 * HOUR, TEN.end)]
    found = told(address_readings(ME, transactions([]), known, BALANCES.empty()))
    assert {day for day, _ in found} == {1, 3, 4, 5, 6, 7, 8, 9}
    assert set(found.values()) == {0.0}, "nothing happened on days that are known"


def test_a_day_is_known_when_its_last_blocks_are():
    late = transactions([{"time": START, "known_at": START + 3 * DAY}])
    rows = address_readings(ME, late, [Window(START, START + 2 * DAY)], BALANCES.empty()).to_pylist()
    assert {row["known_at"] for row in rows if row["time"] == START} == {START + 3 * DAY}
    assert {row["known_at"] for row in rows if row["time"] > START} == {
        START + 2 * DAY + timedelta(minutes=15)
    }


def test_a_balance_is_what_has_a_price():
    held = balances(
        [
            {"time": START, "quote": 2.5},
            {"time": START, "quote": None},
            {"time": START, "quote": 4.0, "known_at": START + 5 * HOUR},
            {"time": START + DAY, "quote": None},
        ]
    )
    readings = address_readings(ME, transactions([]), [], held)
    assert told(readings) == {(0, "balance_usd"): 6.5}
    assert readings.column("known_at").to_pylist() == [START + 5 * HOUR]


def test_of_other_chains_only_the_count_is_told():
    """Their coins have other units."""
    readings = address_readings("bc1qxy", transactions([{"time": START}]), [TEN], BALANCES.empty())
    assert {name for _, name in told(readings)} == {"transactions"}


def test_features_are_those_of_metrics():
    table = transactions([{"time": START + n * 6 * HOUR, "value": str(10**18)} for n in range(16)])
    readings = address_readings(ME, table, [TEN], balances([{"time": START, "quote": 8.0}]))
    rows, broken = ONCHAIN_1D.examine(metric_features(readings, TEN))
    assert broken.num_rows == 0
    found = {((row["time"] - START).days, row["component"]): row for row in rows.to_pylist()}
    assert found[3, "sent"]["value"] == 4.0
    assert found[4, "sent"]["change_1d"] == -4.0
    assert found[4, "transactions"]["pct_1d"] == pytest.approx(-1)
    assert found[6, "sent"]["mean_7d"] == pytest.approx(16 / 7)
    assert found[0, "balance_usd"]["value"] == 8.0
