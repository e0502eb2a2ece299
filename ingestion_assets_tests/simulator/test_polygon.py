"""The simulated Polygon: the vendor's own client gets along with it, and files hold what REST says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
import requests

from ingestion_assets.simulator import Fault, Simulator

massive = pytest.importorskip("massive", reason="the vendor's own client: pip install massive")
NOW = "2024-07-09T18:00:30"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(now=NOW) as running:
        yield running


@pytest.fixture
def client(simulator: Simulator):
    return massive.RESTClient("any-key", base=simulator.url, retries=0)


def test_the_vendors_own_client_pages_through_a_week_of_minutes(client):
    bars = list(client.list_aggs("AAPL", 1, "minute", "2024-07-01", "2024-07-07", adjusted=False, limit=500))
    assert len(bars) > 3 * 390 + 210
    stamps = [bar.timestamp for bar in bars]
    assert stamps == sorted(set(stamps))
    whole = client.get_aggs("AAPL", 1, "minute", "2024-07-01", "2024-07-07", adjusted=False, limit=50_000)
    assert whole == bars
    assert all(bar.low <= bar.open <= bar.high and bar.volume > 0 and bar.transactions > 0 for bar in bars)


def test_days_agree_with_their_minutes_and_closed_ones_have_none(client):
    days = client.get_aggs("AAPL", 1, "day", "2024-07-01", "2024-07-07", adjusted=False)
    assert len(days) == 4
    minutes = client.get_aggs("AAPL", 1, "minute", "2024-07-03", "2024-07-03", adjusted=False, limit=50_000)
    assert days[2].volume == sum(bar.volume for bar in minutes)
    assert (days[2].open, days[2].close) == (minutes[0].open, minutes[-1].close)
    assert days[2].timestamp == 1_719_979_200_000


def test_prices_before_a_split_are_a_multiple_of_adjusted_ones(client):
    span = ("NVDA", 1, "day", "2024-06-06", "2024-06-11")
    raw = [bar.close for bar in client.get_aggs(*span, adjusted=False)]
    adjusted = [bar.close for bar in client.get_aggs(*span, adjusted=True)]
    ratios = [round(left / right, 6) for left, right in zip(raw, adjusted, strict=True)]
    assert ratios == [10, 10, 1, 1]
    splits = list(client.list_splits("NVDA", limit=1))
    assert [(s.execution_date, s.split_to) for s in splits] == [("2024-06-10", 10), ("2021-07-20", 4)]


def test_snapshots_and_descriptions_are_what_the_client_reads(client):
    one = client.get_snapshot_ticker("stocks", "AAPL")
    assert one.ticker == "AAPL"
    assert one.day.low <= one.last_trade.price <= one.day.high
    assert one.last_quote.bid_price < one.last_quote.ask_price
    some = client.get_snapshot_all("stocks", ["AAPL", "MSFT", "NOPE"])
    assert [s.ticker for s in some] == ["AAPL", "MSFT"]
    assert client.get_ticker_details("TWTR").delisted_utc == "2022-10-28T04:00:00Z"
    assert client.get_market_status().market == "open"


def test_keys_are_looked_at(simulator):
    url = f"{simulator.url}/v1/marketstatus/now"
    assert requests.get(url, timeout=5).status_code == 401
    wrong = requests.get(url, headers={"Authorization": "Bearer wrong"}, timeout=5)
    assert (wrong.status_code, wrong.json()["error"]) == (401, "Unknown API Key")
    with pytest.raises(massive.exceptions.BadResponse, match="Unknown API Key"):
        massive.RESTClient("wrong", base=simulator.url, retries=0).get_market_status()


def test_quiet_shares_skip_minutes_and_an_outage_takes_some_out(simulator, client):
    day = ("2024-07-02", "2024-07-02")
    quiet = client.get_aggs("ZZZ", 1, "minute", *day, adjusted=False, limit=50_000)
    assert 100 < len(quiet) < 500
    before = client.get_aggs("MSFT", 1, "minute", *day, adjusted=False, limit=50_000)
    fault = simulator.faults.add(
        Fault("outage", symbol="MSFT", start="2024-07-02T15:00", end="2024-07-02T16:00", times=None)
    )
    after = client.get_aggs("MSFT", 1, "minute", *day, adjusted=False, limit=50_000)
    simulator.faults.remove(fault)
    assert len(before) - len(after) == 60


def test_a_days_file_appears_the_next_morning(simulator):
    boto3 = pytest.importorskip("boto3")
    s3 = boto3.client(
        "s3",
        endpoint_url=simulator.url,
        aws_access_key_id="any",
        aws_secret_access_key="any",
        region_name="us-east-1",
    )

    def there(day: date) -> bool:
        key = f"us_stocks_sip/minute_aggs_v1/{day:%Y/%m/%Y-%m-%d}.csv.gz"
        try:
            return s3.get_object(Bucket="flatfiles", Key=key)["Body"].read(2) == b"\x1f\x8b"
        except s3.exceptions.NoSuchKey:
            return False

    days = [date(2024, 7, day) for day in (3, 4, 5, 6, 8, 9)]
    assert [there(day) for day in days] == [True, False, True, False, True, False]
