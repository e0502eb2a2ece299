"""The archive: its real file, and every way in which its files are known to differ or to be broken."""

from __future__ import annotations

import csv
import dataclasses
import io
import zipfile
from datetime import timedelta

import pytest

from ingestion_assets.intervals import Window, moment_of
from ingestion_assets.sources.derivatives.binance_vision import BinanceVision
from ingestion_assets.sources.errors import MalformedAnswer
from ingestion_assets.sources.feeds import Absent, Page
from ingestion_assets.tables.derivatives import AGG_TRADES_UM, FUNDING_RATES, OPEN_INTEREST_5M, PERP_1M
from ingestion_assets_tests.sources.derivatives.asking import (
    BTC,
    ask,
    at,
    covered,
    filed,
    rows_of,
    window,
    zipped,
)

UM = "/data/futures/um"
TRADES = f"{UM}/daily/aggTrades/BTCUSDT"
METRICS = f"{UM}/daily/metrics/BTCUSDT"
KLINES = f"{UM}/daily/klines/BTCUSDT/1m"
FUNDING = f"{UM}/monthly/fundingRate/BTCUSDT"
METRICS_HEADER = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)
TRADES_HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
DAY = window("2024-08-01", "2024-08-02")
MIDNIGHT = 1_722_470_400_000
LINK = dataclasses.replace(BTC, id="binance.LINK-USDT-PERP", symbol="LINK/USDT:USDT")
FEBRUARY = window("2023-02", "2023-03")


def trade(number: int, ms: int, seller_takes: str = "true") -> str:
    return f"{number},100.5,0.25,{number * 2},{number * 2 + 1},{ms},{seller_takes}\n"


def metric(time: str, amount: str = "10") -> str:
    return f"{time},BTCUSDT,{amount},250.5,1.1,1.4,0.9,0.8\n"


class TestTheRecordedFile:
    def answers(self, recordings):
        folder = recordings / "binance_vision_usdm"
        path = f"{UM}/monthly/klines/LINKUSDT/1m/LINKUSDT-1m-2023-02.zip"
        return {
            path: (folder / "LINKUSDT-1m-2023-02.zip").read_bytes(),
            f"{path}.CHECKSUM": (folder / "LINKUSDT-1m-2023-02.zip.CHECKSUM").read_bytes(),
        }

    def test_gives_exactly_its_rows(self, recordings):
        pages, asked = ask(BinanceVision, PERP_1M, self.answers(recordings), FEBRUARY, LINK)
        rows = rows_of(PERP_1M, pages)
        with zipfile.ZipFile(recordings / "binance_vision_usdm" / "LINKUSDT-1m-2023-02.zip") as file:
            given = list(csv.reader(io.StringIO(file.read("LINKUSDT-1m-2023-02.csv").decode())))[1:]
        assert covered(pages) == [FEBRUARY]
        assert rows.num_rows == len(given) == 28 * 1_440
        for name, place in (("open", 1), ("high", 2), ("low", 3), ("close", 4), ("volume", 5)):
            assert rows.column(name).to_pylist() == [float(row[place]) for row in given]
        for name, place in (("quote_volume", 7), ("taker_buy_volume", 9), ("taker_buy_quote_volume", 10)):
            assert rows.column(name).to_pylist() == [float(row[place]) for row in given]
        assert rows.column("trades").to_pylist() == [int(row[8]) for row in given]
        assert rows.column("time").to_pylist() == [moment_of(int(row[0]) * 1_000) for row in given]
        assert rows.column("close_time").to_pylist() == [moment_of(int(row[6]) * 1_000) for row in given]
        assert {row["source"] for row in rows.select(["source"]).slice(0, 3).to_pylist()} == {"bulk"}
        assert len(asked) == 2

    def test_a_part_of_it_is_a_part_of_its_rows(self, recordings):
        part = window("2023-02-03T12:00", "2023-02-09T12:00")
        rows = rows_of(PERP_1M, ask(BinanceVision, PERP_1M, self.answers(recordings), part, LINK)[0])
        assert rows.num_rows == 6 * 1_440
        assert rows.column("time")[0].as_py() == part.start

    def test_cut_short_it_is_refused_by_its_checksum(self, recordings):
        answers = self.answers(recordings)
        path = next(path for path in answers if path.endswith(".zip"))
        answers[path] = answers[path][:-1_000]
        pages, _ = ask(BinanceVision, PERP_1M, answers, FEBRUARY, LINK)
        assert covered(pages) == []


def test_a_day_of_trades_with_and_without_header_in_ms_and_in_us():
    ends = MIDNIGHT + 86_400_000 - 1
    plain = trade(7, MIDNIGHT) + trade(8, MIDNIGHT + 5, "false") + trade(9, ends)
    micro = plain.replace(str(MIDNIGHT + 5), f"{MIDNIGHT + 5}000").replace(
        f",{MIDNIGHT},", f",{MIDNIGHT}000,"
    )
    micro = micro.replace(str(ends), f"{ends}000")
    found = []
    for text, header in ((plain, ""), (plain, TRADES_HEADER), (micro, TRADES_HEADER)):
        answers = zipped("BTCUSDT-aggTrades-2024-08-01", text, header=header, path=TRADES)
        pages, _ = ask(BinanceVision, AGG_TRADES_UM, answers, DAY)
        assert covered(pages) == [DAY]
        found.append(rows_of(AGG_TRADES_UM, pages).to_pylist())
    assert found[0] == found[1] == found[2]
    first, second, last = found[0]
    assert (first["id"], first["time"], first["buyer_is_maker"]) == (7, DAY.start, True)
    assert (second["price"], second["quantity"], second["buyer_is_maker"]) == (100.5, 0.25, False)
    assert (first["first_trade_id"], first["last_trade_id"]) == (14, 15)
    assert last["time"] == DAY.end - timedelta(milliseconds=1)


def test_columns_are_found_by_the_header_wherever_they_stand():
    header = "is_buyer_maker,transact_time,agg_trade_id,quantity,price,new_one,last_trade_id,first_trade_id"
    text = f"false,{MIDNIGHT},3,0.5,99,x,8,7\n"
    answers = zipped("BTCUSDT-aggTrades-2024-08-01", text, header=header, path=TRADES)
    (row,) = rows_of(AGG_TRADES_UM, ask(BinanceVision, AGG_TRADES_UM, answers, DAY)[0]).to_pylist()
    assert (row["id"], row["price"], row["quantity"]) == (3, 99.0, 0.5)
    assert (row["first_trade_id"], row["last_trade_id"], row["buyer_is_maker"]) == (7, 8, False)


def test_the_minutes_in_which_the_numbers_of_trades_leap_are_not_covered():
    seconds = ((1, 10), (2, 130), (9, 250), (10, 300))
    text = "".join(trade(number, MIDNIGHT + second * 1_000) for number, second in seconds)
    answers = zipped("BTCUSDT-aggTrades-2024-08-01", text, header=TRADES_HEADER, path=TRADES)
    pages, _ = ask(BinanceVision, AGG_TRADES_UM, answers, DAY)
    leap = window("2024-08-01T00:02", "2024-08-01T00:05")
    assert covered(pages) == [Window(DAY.start, leap.start), Window(leap.end, DAY.end)]
    (absent,) = (page for page in pages if isinstance(page, Absent))
    assert absent.window == leap
    assert "from trade 2 to 9" in absent.evidence
    assert rows_of(AGG_TRADES_UM, pages).column("id").to_pylist() == [1, 2, 9, 10]


def test_rows_that_a_file_has_twice_are_there_once_the_last_one_written():
    text = trade(1, MIDNIGHT) + trade(2, MIDNIGHT) + trade(1, MIDNIGHT).replace("100.5", "100.6")
    answers = zipped("BTCUSDT-aggTrades-2024-08-01", text, header=TRADES_HEADER, path=TRADES)
    rows = rows_of(AGG_TRADES_UM, ask(BinanceVision, AGG_TRADES_UM, answers, DAY)[0])
    assert rows.select(["id", "price"]).to_pylist() == [
        {"id": 1, "price": 100.6},
        {"id": 2, "price": 100.5},
    ]


class TestOpenInterest:
    HEADER = METRICS_HEADER

    def day(self, day: str, *times: str) -> dict:
        text = "".join(metric(time) for time in times)
        return zipped(f"BTCUSDT-metrics-{day}", text, header=self.HEADER, path=METRICS)

    def test_midnight_may_be_in_the_file_of_the_day_before(self):
        answers = self.day("2024-07-31", "2024-07-31 23:55:00", "2024-08-01 00:00:00")
        answers |= self.day("2024-08-01", "2024-08-01 00:05:00", "2024-08-01 00:10:00")
        part = window("2024-08-01", "2024-08-01T00:15")
        pages, _ = ask(BinanceVision, OPEN_INTEREST_5M, answers, part)
        rows = rows_of(OPEN_INTEREST_5M, pages)
        assert covered(pages) == [part]
        assert rows.column("time").to_pylist() == [at(f"2024-08-01T00:{m}") for m in ("00", "05", "10")]
        (row, *_) = rows.to_pylist()
        assert (row["open_interest"], row["open_interest_value"]) == (10.0, 250.5)
        assert (row["top_account_ratio"], row["top_position_ratio"]) == (1.1, 1.4)
        assert (row["account_ratio"], row["taker_volume_ratio"]) == (0.9, 0.8)

    def test_what_a_file_lacks_or_says_nothing_of_is_absent(self):
        text = (
            metric("2024-08-01 00:00:00") + metric("2024-08-01 00:05:00", "") + metric("2024-08-01 00:15:00")
        )
        answers = zipped("BTCUSDT-metrics-2024-08-01", text, header=self.HEADER, path=METRICS)
        pages, _ = ask(BinanceVision, OPEN_INTEREST_5M, answers, window("2024-08-01", "2024-08-01T00:20"))
        (hole,) = (page for page in pages if isinstance(page, Absent))
        assert hole.window == window("2024-08-01T00:05", "2024-08-01T00:15")
        assert rows_of(OPEN_INTEREST_5M, pages).num_rows == 2

    def test_the_same_time_twice_is_one_row(self):
        text = metric("2024-08-01 00:00:00", "10") + metric("2024-08-01 00:00:00", "11")
        answers = zipped("BTCUSDT-metrics-2024-08-01", text, header=self.HEADER, path=METRICS)
        pages, _ = ask(BinanceVision, OPEN_INTEREST_5M, answers, window("2024-08-01", "2024-08-01T00:05"))
        assert rows_of(OPEN_INTEREST_5M, pages).column("open_interest").to_pylist() == [11.0]

    def test_a_day_that_never_was_in_the_archive_is_absent_with_the_name_of_its_file(self):
        pages, _ = ask(BinanceVision, OPEN_INTEREST_5M, {}, DAY)
        (page,) = pages
        assert isinstance(page, Absent)
        assert page.window == DAY
        assert "BTCUSDT-metrics-2024-08-01.zip is not there" in page.evidence


def test_funding_is_stamped_with_its_minute_and_keeps_the_exact_moment():
    august = window("2024-08", "2024-09")
    text = f"{MIDNIGHT + 7},8,0.00010000\n{MIDNIGHT + 28_800_000},8,-0.00008191\n"
    header = "calc_time,funding_interval_hours,last_funding_rate"
    answers = zipped("BTCUSDT-fundingRate-2024-08", text, header=header, path=FUNDING)
    pages, _ = ask(BinanceVision, FUNDING_RATES, answers, august)
    first, second = rows_of(FUNDING_RATES, pages).to_pylist()
    assert covered(pages) == [august]
    assert (first["time"], first["rate"], first["interval_hours"]) == (august.start, 0.0001, 8)
    assert first["settled_at"] == august.start + timedelta(milliseconds=7)
    assert (second["time"], second["rate"], second["mark_price"]) == (
        at("2024-08-01T08:00"),
        -0.00008191,
        None,
    )


def test_settlements_of_one_minute_are_one_row_with_their_sum_and_what_is_told_twice_counts_once():
    august = window("2024-08", "2024-09")
    hour = MIDNIGHT + 3_600_000
    text = (
        f"{MIDNIGHT + 1},1,0.00002\n{MIDNIGHT + 8},1,-0.0024\n"
        f"{hour},1,0.0001\n{hour},1,0.0002\n{hour + 5},1,0.0002\n"
        f"{hour * 2 - MIDNIGHT},1,\n"
    )
    header = "calc_time,funding_interval_hours,last_funding_rate"
    answers = zipped("BTCUSDT-fundingRate-2024-08", text, header=header, path=FUNDING)
    pages, _ = ask(BinanceVision, FUNDING_RATES, answers, august)
    rows = [row for page in pages for row in page.rows.to_pylist()]
    assert [(row["time"], row["rate"]) for row in rows] == [
        (august.start, -0.00238),
        (at("2024-08-01T01:00"), 0.0002),
        (at("2024-08-01T02:00"), None),
    ]
    assert rows[0]["settled_at"] == august.start + timedelta(milliseconds=1)


def kline(ms: int) -> str:
    return f"{ms},10,11,9,10.5,3,{ms + 59_999},31,2,1,10.2,0\n"


def test_a_month_of_funding_without_a_line_is_left_to_the_api():
    header = "calc_time,funding_interval_hours,last_funding_rate"
    answers = zipped("BTCUSDT-fundingRate-2024-08", "", header=header, path=FUNDING)
    (page,), _ = ask(BinanceVision, FUNDING_RATES, answers, window("2024-08", "2024-09"))
    assert isinstance(page, Absent)
    assert "holds no line" in page.evidence


@pytest.mark.parametrize(
    "header",
    [
        "",
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
        "taker_buy_quote_volume,ignore",
        "Open time,Open,High,Low,Close,Volume,Close time,Quote asset volume,Number of trades,"
        "Taker buy base asset volume,Taker buy quote asset volume,Ignore",
    ],
)
@pytest.mark.parametrize("unit", [1, 1_000])
def test_candles_however_their_columns_are_called_in_ms_and_in_us(header, unit):
    part = window("2024-08-01", "2024-08-01T00:02")
    opens = [(MIDNIGHT + n * 60_000) * unit for n in range(2)]
    text = "".join(kline(ms).replace(f",{ms + 59_999},", f",{ms + 60_000 * unit - 1},") for ms in opens)
    answers = zipped("BTCUSDT-1m-2024-08-01", text, header=header, path=KLINES)
    rows = rows_of(PERP_1M, ask(BinanceVision, PERP_1M, answers, part)[0]).to_pylist()
    assert [row["time"] for row in rows] == [at("2024-08-01"), at("2024-08-01T00:01")]
    assert rows[1]["close_time"] == at("2024-08-01T00:01:59.999")
    assert (rows[0]["quote_volume"], rows[0]["trades"], rows[0]["taker_buy_volume"]) == (31, 2, 1)


def test_fields_in_quotes_and_empty_ones():
    quoted = f'"1","100.5","0.25","2","3","{MIDNIGHT}","true"\n'
    answers = zipped("BTCUSDT-aggTrades-2024-08-01", quoted, path=TRADES)
    (row,) = rows_of(AGG_TRADES_UM, ask(BinanceVision, AGG_TRADES_UM, answers, DAY)[0]).to_pylist()
    assert (row["id"], row["price"], row["time"]) == (1, 100.5, DAY.start)
    text = '2024-08-01 00:00:00,BTCUSDT,105550.9850000000000000,6.85E9,1.1,2.2,"",4.4\n'
    answers = zipped("BTCUSDT-metrics-2024-08-01", text, header=METRICS_HEADER, path=METRICS)
    part = window("2024-08-01", "2024-08-01T00:05")
    (row,) = rows_of(OPEN_INTEREST_5M, ask(BinanceVision, OPEN_INTEREST_5M, answers, part)[0]).to_pylist()
    assert (row["open_interest"], row["open_interest_value"]) == (105550.985, 6.85e9)
    assert (row["top_position_ratio"], row["account_ratio"], row["taker_volume_ratio"]) == (2.2, None, 4.4)


def test_without_the_months_file_the_days_are_taken_and_a_lacking_one_is_told():
    part = window("2024-08-01", "2024-08-04")
    answers = {}
    for day in (0, 2):
        start = MIDNIGHT + day * 86_400_000
        text = "".join(kline(start + minute * 60_000) for minute in range(1_440))
        answers |= zipped(f"BTCUSDT-1m-2024-08-{day + 1:02}", text, path=KLINES)
    pages, _ = ask(BinanceVision, PERP_1M, answers, part)
    assert covered(pages) == [window("2024-08-01", "2024-08-02"), window("2024-08-03", "2024-08-04")]
    (absent,) = (page for page in pages if isinstance(page, Absent))
    assert absent.window == window("2024-08-02", "2024-08-03")
    assert rows_of(PERP_1M, pages).num_rows == 2_880


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04 half a file", "is no whole zip file"),
        (b"", "is no whole zip file"),
    ],
)
def test_what_is_no_zip_is_told_as_that(content, said):
    path = f"{TRADES}/BTCUSDT-aggTrades-2024-08-01.zip"
    (page,), _ = ask(BinanceVision, AGG_TRADES_UM, filed(path, content), DAY)
    assert isinstance(page, Absent)
    assert isinstance(page.error, MalformedAnswer)
    assert said in page.evidence


def test_a_wrong_checksum_is_tried_twice_and_told_with_both_sums():
    path = f"{TRADES}/BTCUSDT-aggTrades-2024-08-01.zip"
    good = zipped("BTCUSDT-aggTrades-2024-08-01", trade(1, MIDNIGHT), path=TRADES)
    wrong = filed(path, good[path].body, digest="ab" * 32)
    (page,), asked = ask(BinanceVision, AGG_TRADES_UM, wrong, DAY)
    assert isinstance(page, Absent)
    assert isinstance(page.error, MalformedAnswer)
    assert "its CHECKSUM says abababababababab…" in page.evidence
    assert sum(one.path == path for one in asked) == 2


def test_a_file_without_checksum_is_taken_for_its_own_sums():
    answers = zipped("BTCUSDT-aggTrades-2024-08-01", trade(1, MIDNIGHT), path=TRADES)
    del answers[f"{TRADES}/BTCUSDT-aggTrades-2024-08-01.zip.CHECKSUM"]
    (page,), _ = ask(BinanceVision, AGG_TRADES_UM, answers, DAY)
    assert isinstance(page, Page)
    assert page.rows.num_rows == 1


@pytest.mark.parametrize(
    ("header", "text", "said"),
    [
        ("agg_trade_id,price", "1,2\n", "has no column 'quantity'"),
        ("", "1,2,3\n", "has 3 columns, 7 are needed"),
        (TRADES_HEADER, "1,abc,0.25,2,3,1722470400000,true\n", "is not the CSV that was expected"),
        (TRADES_HEADER, trade(1, MIDNIGHT) + "2,100.5,0.25,2,3,,true\n", "has a line without time"),
        ("", trade(1, MIDNIGHT) + ",100.5,0.25,2,3,1722470400000,true\n", "has a line without id"),
        ("", trade(1, MIDNIGHT) + "2,100.5\n", "is not the CSV that was expected"),
        (TRADES_HEADER, "", "holds no line"),
        ("", "", "holds no line"),
    ],
)
def test_a_file_of_another_shape_is_told_as_that(header, text, said):
    answers = zipped("BTCUSDT-aggTrades-2024-08-01", text, header=header, path=TRADES)
    (page,), _ = ask(BinanceVision, AGG_TRADES_UM, answers, DAY)
    assert isinstance(page, Absent)
    assert said in page.evidence
