"""Flat files from a real S3 store: days of New York, what closed days cost, absences, errors, memory."""

from __future__ import annotations

import asyncio
import gzip
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingestion_assets.intervals import Window, subtract
from ingestion_assets.registry import Series
from ingestion_assets.sources.equities import polygon_csv, polygon_files
from ingestion_assets.sources.equities.polygon_files import PolygonFiles
from ingestion_assets.sources.equities.sessions import sessions
from ingestion_assets.sources.errors import AuthError, MalformedAnswer, VendorDown
from ingestion_assets.sources.feeds import Absent, Page
from ingestion_assets.sources.market import SourceOptions
from ingestion_assets.tables.equities import EQUITY_1M
from ingestion_assets_tests.servers import S3Server
from ingestion_assets_tests.sources.derivatives.asking import at, covered, rows_of, window
from ingestion_assets_tests.sources.replay import Replay, Reply

HEADER = "ticker,volume,open,close,high,low,window_start,transactions\n"
WEEK = window("2024-07-01", "2024-07-08")
WINTER = window("2024-12-02", "2024-12-07")


def series(ticker: str) -> Series:
    return Series(f"polygon.{ticker}", "equities", "polygon", ticker)


def line(ticker: str, moment: Any, volume: str = "4930") -> str:
    return f"{ticker},{volume},200.29,200.5,200.63,200.2,{int(moment.timestamp())}000000000,129\n"


def day_of_lines(session: Any, tickers: tuple[str, ...], hours: str = "regular") -> str:
    part = getattr(session, hours)
    count = int(part.length.total_seconds() // 60)
    return HEADER + "".join(
        line(ticker, part.start + timedelta(minutes=n)) for ticker in tickers for n in range(count)
    )


@pytest.fixture
def flatfiles(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty bucket in the place of the vendor's; `put(day, text)` makes a file."""
    bucket = s3_server.new_bucket()
    monkeypatch.setattr(polygon_files, "BUCKET", bucket)
    client = s3_server.client()

    def put(day: date, text: str | bytes) -> None:
        body = text if isinstance(text, bytes) else gzip.compress(text.encode())
        key = f"us_stocks_sip/minute_aggs_v1/{day:%Y/%m/%Y-%m-%d}.csv.gz"
        client.put_object(Bucket=bucket, Key=key, Body=body)

    return put


def options(s3_server: S3Server, **other: Any) -> SourceOptions:
    keys = s3_server.environment
    return SourceOptions(
        **{
            "base_url": s3_server.endpoint,
            "api_key": keys["AWS_ACCESS_KEY_ID"],
            "api_secret": keys["AWS_SECRET_ACCESS_KEY"],
            "attempts": 1,
        }
        | other
    )


def fetched(told: SourceOptions, part: Window, *tickers: str) -> list[list[Page | Absent]]:
    async def one(vendor: PolygonFiles, ticker: str) -> list[Page | Absent]:
        return [page async for page in vendor.bars(series(ticker), part)]

    async def main() -> list[list[Page | Absent]]:
        async with PolygonFiles(told) as vendor:
            return await asyncio.gather(*(one(vendor, ticker) for ticker in tickers))

    return asyncio.run(main())


def test_a_week_with_a_half_day_and_a_holiday_asks_for_the_days_that_were_traded(s3_server, flatfiles):
    for session in sessions(WEEK):
        flatfiles(session.day, day_of_lines(session, ("A", "AAPL", "NA", "NULL"), "extended"))
    pages, nothing = fetched(options(s3_server), WEEK, "AAPL", "NA")
    rows = rows_of(EQUITY_1M, pages)
    assert rows.num_rows == 3 * 960 + 780
    assert subtract([WEEK], covered(pages)) == []
    assert rows_of(EQUITY_1M, nothing).num_rows == rows.num_rows, "NA is a ticker"
    assert sum(page.requests for page in [*pages, *nothing]) == 4, "each file is fetched once"
    first = rows.slice(0, 1).to_pylist()[0]
    assert (first["open"], first["close"], first["high"], first["low"]) == (200.29, 200.5, 200.63, 200.2)
    assert first["time"] == at("2024-07-01T08:00")
    assert (first["source"], first["vwap"], first["transactions"]) == ("bulk", None, 129)


def test_in_winter_the_last_hour_lies_behind_midnight_utc(s3_server, flatfiles):
    for session in sessions(WINTER):
        flatfiles(session.day, day_of_lines(session, ("AAPL",), "extended"))
    (pages,) = fetched(options(s3_server), WINTER, "AAPL")
    rows = rows_of(EQUITY_1M, pages)
    assert rows.column("time")[-1].as_py() == at("2024-12-06T23:59")
    assert rows.num_rows == 5 * 960 - 60
    (rest,) = fetched(options(s3_server), window("2024-12-07", "2024-12-08"), "AAPL")
    assert rows_of(EQUITY_1M, rest).num_rows == 60
    assert subtract([window("2024-12-07", "2024-12-08")], covered(rest)) == []


def test_a_file_that_is_not_there_and_a_ticker_that_is_not_in_it_are_left_to_the_api(s3_server, flatfiles):
    second, *others = sessions(WEEK)[1:]
    for session in others:
        flatfiles(session.day, day_of_lines(session, ("AAPL",)))
    flatfiles(second.day, day_of_lines(second, ("MSFT",)))
    (pages,) = fetched(options(s3_server), WEEK, "AAPL")
    absent = [page for page in pages if isinstance(page, Absent)]
    assert ["is not there" in one.evidence for one in absent] == [True, False]
    assert "no line of AAPL" in absent[1].evidence
    assert [one.window.start for one in absent] == [at("2024-07-01T04:00"), at("2024-07-02T04:00")]
    assert subtract([WEEK], [*covered(pages), *(one.window for one in absent)]) == []


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(HEADER.encode() * 9_000)[:-40],
        b"<html>",
        gzip.compress(b"ticker,volume\nAAPL,1\n"),
        gzip.compress((HEADER + "AAPL,1,2,3,4,5,yesterday,1\n").encode()),
        gzip.compress((HEADER + "AAPL,1,2,3,4,5,,1\n").encode()),
        gzip.compress(b""),
    ],
    ids=["cut off", "no gzip", "columns missing", "no number", "no time", "empty"],
)
def test_a_broken_file_is_left_to_the_api_with_the_reason(s3_server, flatfiles, content: bytes):
    day = window("2024-07-01", "2024-07-02")
    flatfiles(date(2024, 7, 1), content)
    (pages,) = fetched(options(s3_server), day, "AAPL")
    (absent,) = [page for page in pages if isinstance(page, Absent)]
    assert isinstance(absent.error, MalformedAnswer)
    assert "2024-07-01.csv.gz" in absent.evidence


def test_the_vendors_sample(recordings: Path, tmp_path: Path):
    text = (recordings / "polygon" / "flatfile_minute_aggs_docs_sample.csv").read_bytes()
    packed = tmp_path / "day.csv.gz"
    packed.write_bytes(gzip.compress(text))
    with packed.open("rb") as file:
        polygon_csv.convert(file, tmp_path / "day.parquet", "day")
    rows = polygon_csv.rows_of(tmp_path / "day.parquet", "AAPL", timedelta(), "bulk").to_pylist()
    assert [(r["time"], r["volume"], r["open"], r["close"], r["high"], r["low"]) for r in rows] == [
        (at("2025-04-16T08:35"), 4930, 200.29, 200.5, 200.63, 200.29),
        (at("2025-04-16T08:36"), 1815, 200.39, 200.34, 200.61, 200.34),
    ]


def test_a_file_with_a_header_only_has_no_line_of_anybody(s3_server, flatfiles):
    flatfiles(date(2024, 7, 1), HEADER)
    (pages,) = fetched(options(s3_server), window("2024-07-01", "2024-07-02"), "AAPL")
    (absent,) = [page for page in pages if isinstance(page, Absent)]
    assert "no line of AAPL" in absent.evidence


def test_columns_by_name_new_ones_passed_over_and_of_two_lines_of_a_minute_the_later(s3_server, flatfiles):
    moment = at("2024-07-01T13:30")
    start = f"{int(moment.timestamp())}000000000"
    lines = f"{start},AAPL,7,,9,10.5,11,10,1.5E3\n{start},AAPL,8,x,9,10.6,11,10,0.25\n"
    header = "window_start,ticker,transactions,otc,low,close,high,open,volume\n"
    flatfiles(date(2024, 7, 1), header + lines)
    (pages,) = fetched(options(s3_server), window("2024-07-01", "2024-07-02"), "AAPL")
    (row,) = rows_of(EQUITY_1M, pages).to_pylist()
    assert (row["time"], row["open"], row["close"], row["transactions"]) == (moment, 10, 10.6, 8)
    assert row["volume"] == 0.25


def test_a_fraction_of_a_share_and_lines_out_of_order(s3_server, flatfiles):
    day = window("2026-03-02", "2026-03-03")
    later, sooner = at("2026-03-02T14:31"), at("2026-03-02T14:30")
    flatfiles(date(2026, 3, 2), HEADER + line("AAPL", later, "0.125") + line("AAPL", sooner))
    (pages,) = fetched(options(s3_server), day, "AAPL")
    rows = rows_of(EQUITY_1M, pages)
    assert rows.column("volume").to_pylist() == [4930, 0.125]


def s3_error(status: int, code: str, text: str) -> Reply:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{text}</Message></Error>".encode()
    return Reply(status, body, content_type="application/xml")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "InvalidAccessKeyId", AuthError),
        (403, "SignatureDoesNotMatch", AuthError),
        (503, "ServiceUnavailable", VendorDown),
    ],
)
def test_the_stores_errors(status: int, code: str, kind: type) -> None:
    name = "/flatfiles/us_stocks_sip/minute_aggs_v1/2024/07/2024-07-01.csv.gz"
    told = {"api_key": "the-id", "api_secret": "the-secret", "attempts": 1}
    refusal = s3_error(status, code, "the-id and the-secret are wrong")
    with Replay({name: refusal}) as replay, pytest.raises(kind) as failure:
        fetched(SourceOptions(base_url=replay.url, **told), window("2024-07-01", "2024-07-02"), "AAPL")
    assert replay.count(name) == 1
    assert code in str(failure.value)
    assert "the-secret" not in str(failure.value)


def test_a_day_that_the_plan_has_not_got_is_left_to_the_api_and_fails_if_that_has_it_not_either():
    name = "/flatfiles/us_stocks_sip/minute_aggs_v1/2024/07/2024-07-01.csv.gz"
    with Replay({name: s3_error(403, "AccessDenied", "no")}) as replay:
        told = SourceOptions(base_url=replay.url, api_key="id", api_secret="secret", attempts=1)
        (pages,) = fetched(told, window("2024-07-01", "2024-07-02"), "AAPL")
    (absent,) = [page for page in pages if isinstance(page, Absent)]
    assert isinstance(absent.error, AuthError)


def test_a_large_file_is_never_in_memory_as_a_whole(tmp_path: Path):
    """A day of 10,000 tickers: 90 MB of text."""
    packed = tmp_path / "day.csv.gz"
    start = int(at("2024-07-01T13:30").timestamp())
    with gzip.open(packed, "wt", compresslevel=1) as out:
        out.write(HEADER)
        for number in range(10_000):
            out.writelines(
                f"T{number:05},{number}.5,10.25,10.5,10.75,10.125,{start + 60 * n}000000000,12\n"
                for n in range(120)
            )
    pool = pa.system_memory_pool()
    before, default = pool.bytes_allocated(), pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        with packed.open("rb") as file:
            polygon_csv.convert(file, tmp_path / "day.parquet", "day")
        rows = polygon_csv.rows_of(tmp_path / "day.parquet", "T09999", timedelta(), "bulk")
    finally:
        pa.set_memory_pool(default)
    assert rows.num_rows == 120
    assert pool.max_memory() - before < 64 << 20
