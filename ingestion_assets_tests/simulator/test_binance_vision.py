"""The archive: its files hold what the REST vendor answers, appear late, and can be faulty in known ways."""

import csv
import hashlib
import io
import zipfile

import pytest

from ingestion_assets.simulator import Fault
from ingestion_assets.simulator.clock import to_ms

UM = "/data/futures/um"
DAY_MS = 86_400_000
MAY = to_ms("2025-05-01T00:00")
TRADES = f"{UM}/daily/aggTrades/LINKUSDT/LINKUSDT-aggTrades-2025-05-05.zip"
METRICS = f"{UM}/daily/metrics/BTCUSDT/BTCUSDT-metrics-2025-05-05.zip"
FUNDING = f"{UM}/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2025-05.zip"


def klines(when, rhythm="daily", symbol="BTCUSDT"):
    return f"{UM}/{rhythm}/klines/{symbol}/1m/{symbol}-1m-{when}.zip"


@pytest.fixture
def lines(get):
    """A file's CSV, after its checksum has been compared."""

    def read(path):
        answer = get(path)
        assert answer.status_code == 200, answer.text
        digest, name = get(f"{path}.CHECKSUM").text.split()
        assert name == path.rpartition("/")[2]
        assert digest == hashlib.sha256(answer.content).hexdigest()
        with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
            (inside,) = file.namelist()
            assert inside == name.replace(".zip", ".csv")
            return list(csv.reader(io.StringIO(file.read(inside).decode())))

    return read


def test_candles_are_those_of_the_api(lines, get):
    header, *rows = lines(klines("2025-05-05"))
    assert header[0] == "open_time"
    assert len(rows) == 1_440
    start = to_ms("2025-05-05T00:00")
    told = get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", startTime=start, limit=1500).json()[:1_440]
    assert [[float(v) for v in row] for row in rows] == [[float(v) for v in row] for row in told]


def test_a_month_is_its_days(lines):
    month = lines(klines("2025-05", "monthly"))[1:]
    assert len(month) == 31 * 1_440
    assert month[4 * 1_440 : 5 * 1_440] == lines(klines("2025-05-05"))[1:]


def test_trades_are_those_of_the_api(lines, get):
    header, *rows = lines(TRADES)
    start = to_ms("2025-05-05T00:00")
    told = get("/fapi/v1/aggTrades", symbol="LINKUSDT", startTime=start, limit=1000).json()
    assert header[0] == "agg_trade_id"
    assert len(rows) == 1_440 * 60
    for row, trade in zip(rows, told, strict=False):
        number, price, quantity, first, last, at, maker = row
        assert (int(number), int(first), int(last), int(at)) == tuple(trade[n] for n in "aflT")
        assert (float(price), float(quantity)) == (float(trade["p"]), float(trade["q"]))
        assert maker == ("true" if trade["m"] else "false")


def test_metrics_go_from_five_past_to_midnight_and_agree_with_the_api(simulator, lines, get):
    simulator.clock.set("2025-05-20")
    header, *rows = lines(METRICS)
    assert header[:3] == ["create_time", "symbol", "sum_open_interest"]
    assert (len(rows), rows[0][0], rows[-1][0]) == (288, "2025-05-05 00:05:00", "2025-05-06 00:00:00")
    query = {"symbol": "BTCUSDT", "period": "5m", "limit": 500, "startTime": to_ms("2025-05-05T00:05")}
    told = get("/futures/data/openInterestHist", **query).json()[:288]
    assert [(row[2], row[3]) for row in rows] == [
        (e["sumOpenInterest"], e["sumOpenInterestValue"]) for e in told
    ]


def test_funding_is_that_of_the_api(lines, get):
    header, *rows = lines(FUNDING)
    told = get("/fapi/v1/fundingRate", symbol="BTCUSDT", startTime=MAY, limit=93).json()
    assert header == ["calc_time", "funding_interval_hours", "last_funding_rate"]
    assert rows == [[str(e["fundingTime"]), "8", e["fundingRate"]] for e in told]


def test_old_files_have_no_header(lines):
    assert lines(klines("2021-12-31"))[0][0].isdigit()
    assert lines(klines("2022-01-01"))[0][0] == "open_time"


def test_files_appear_some_hours_after_their_end(simulator, get):
    simulator.clock.set("2025-05-06T05:59")
    assert get(klines("2025-05-05")).status_code == 404
    simulator.clock.set("2025-05-06T06:01")
    assert get(klines("2025-05-05")).status_code == 200
    simulator.clock.set("2025-06-02T11:59")
    assert get(FUNDING).status_code == 404
    simulator.clock.set("2025-06-02T12:01")
    assert get(FUNDING).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        klines("2025-02-30"),
        klines("2025-05-05", symbol="NOPEUSDT"),
        klines("2019-01-01"),
        f"{UM}/monthly/metrics/BTCUSDT/BTCUSDT-metrics-2025-05.zip",
        f"{UM}/daily/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2025-05-05.zip",
        f"{UM}/daily/klines/BTCUSDT/1m/ETHUSDT-1m-2025-05-05.zip",
        f"{UM}/daily/klines/BTCUSDT/1m/BTCUSDT-5m-2025-05-05.zip",
    ],
)
def test_what_is_not_there_is_a_404(get, path):
    assert get(path).status_code == 404
    assert get(f"{path}.CHECKSUM").status_code == 404


def test_archive_missing(simulator, get):
    simulator.faults.add(Fault("archive_missing", start="2025-05-05", end="2025-05-06", path=f"{UM}/daily"))
    assert get(klines("2025-05-05")).status_code == 404
    assert get(klines("2025-05-06")).status_code == 200
    assert get(klines("2025-05", "monthly")).status_code == 200


def test_archive_lacks_until_it_is_restated(simulator, lines, get):
    whole, etag = lines(TRADES), get(TRADES).headers["ETag"]
    fault = simulator.faults.add(Fault("archive_lacks", start="2025-05-05T03:00", end="2025-05-05T04:00"))
    assert len(lines(TRADES)) == len(whole) - 3_600
    assert get(TRADES).headers["ETag"] != etag
    simulator.faults.remove(fault)
    assert lines(TRADES) == whole
    assert get(TRADES).headers["ETag"] == etag


def test_archive_checksum(simulator, get):
    simulator.faults.add(Fault("archive_checksum", symbol="LINKUSDT"))
    digest = get(f"{TRADES}.CHECKSUM").text.split()[0]
    assert len(digest) == 64
    assert digest != hashlib.sha256(get(TRADES).content).hexdigest()
    honest = get(f"{METRICS}.CHECKSUM").text.split()[0]
    assert honest == hashlib.sha256(get(METRICS).content).hexdigest()


def test_archive_micros(simulator, lines):
    plain = lines(TRADES)
    simulator.faults.add(Fault("archive_micros"))
    assert [row[5] for row in lines(TRADES)[1:]] == [row[5] + "000" for row in plain[1:]]
