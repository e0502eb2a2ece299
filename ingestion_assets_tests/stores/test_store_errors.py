"""A store that refuses: told with the place and a remedy, nothing half-written, no secret in the text."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.embedded import free_port
from ingestion_assets.stores.lake import Lake
from ingestion_assets.stores.lake_file import CorruptFile
from ingestion_assets.stores.objects import StoreError, open_objects
from ingestion_assets.tables.market import OHLCV_1M as TABLE
from ingestion_assets_tests.servers import NOBODY, S3Server
from ingestion_assets_tests.tables.candles import MONTH, NOTES, candles, span

SERIES = "binance.BTC-USDT"
SECRET = "hunter2secret"
PROJECT = Path(__file__).resolve().parent.parent.parent


def land(lake: Lake, minutes: range = range(10)) -> None:
    lake.merge(TABLE, SERIES, MONTH, candles(minutes), notes=NOTES)


def refusal(attempt: Any) -> str:
    with pytest.raises(StoreError) as caught:
        attempt()
    assert not isinstance(caught.value, CorruptFile), "a store that refuses is no broken file"
    assert SECRET not in str(caught.value)
    return str(caught.value)


LANDING = """
import json, os, resource, sys, tempfile
from ingestion_assets_tests.stores.test_store_errors import land
from ingestion_assets.stores.lake import Lake
from ingestion_assets.stores.objects import StoreError
location, user, limit = json.loads(sys.argv[1])
lake = Lake(location)
with tempfile.TemporaryDirectory() as folder: land(Lake(folder))  # another user may not import
if user: os.setgroups([]); os.setgid(user); os.setuid(user)
if limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try: land(lake, range(5000))
except StoreError as error: print(error)
"""


def land_elsewhere(lake: Path, *, user: int = 0, limit: int = 0) -> str:
    """What a process that is another user, or may write so many bytes, is told."""
    words = [sys.executable, "-c", LANDING, json.dumps([str(lake), user, limit])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def open_lake(tmp_path: Path) -> Iterator[Path]:
    """A lake with ten rows whose path everybody may enter."""
    lake = tmp_path / "lake"
    land(Lake(str(lake)))
    widened = [folder for folder in (lake, *lake.parents) if not folder.stat().st_mode & 0o001]
    modes = [folder.stat().st_mode for folder in widened]
    for folder in widened:
        folder.chmod(0o755)
    yield lake
    for folder, mode in zip(widened, modes, strict=True):
        folder.chmod(mode)


def assert_untouched(lake: Path) -> None:
    assert Lake(str(lake)).read(TABLE, SERIES, span(0, 9000)).num_rows == 10
    assert [p.name for p in lake.rglob("*") if p.is_file()] == ["part-0.parquet"]


def test_a_lake_that_this_user_may_not_write(open_lake: Path) -> None:
    if os.geteuid() == 0:
        text = land_elsewhere(open_lake, user=NOBODY)
    else:
        folder = Path(Lake(str(open_lake)).url(TABLE, SERIES, MONTH)).parent
        folder.chmod(0o555)
        text = land_elsewhere(open_lake)
        folder.chmod(0o755)
    assert text.startswith(f"cannot write {open_lake}/market/ohlcv_1m/series={SERIES}/")
    assert "Give this user the right to write there" in text
    assert_untouched(open_lake)


def test_a_disk_on_which_no_more_fits(open_lake: Path) -> None:
    """A limit on the size of a file ends a write in its middle, as a full disk does."""
    text = land_elsewhere(open_lake, limit=3000)
    assert text.startswith(f"cannot write {open_lake}/market/ohlcv_1m/series={SERIES}/")
    assert "The disk or a quota is full" in text
    assert_untouched(open_lake)


def test_a_file_system_without_room(tmp_path: Path) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mounted)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("there is no mount program: a full file system cannot be tried here")
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        lake = Lake(str(mounted / "lake"))
        land(lake)
        with contextlib.suppress(OSError), (mounted / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(1024))
        text = refusal(lambda: land(lake, range(5000)))
        assert "The disk or a quota is full" in text
        (mounted / "filler").unlink()
        assert_untouched(mounted / "lake")
    finally:
        subprocess.run(["umount", str(mounted)], check=True, timeout=60)


def test_a_lake_where_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "lake").touch()
    text = refusal(lambda: land(Lake(str(tmp_path / "lake"))))
    assert "is a file, not a folder" in text


@contextlib.contextmanager
def refusing_s3(status: int, code: str) -> Iterator[str]:
    """Answers every request as S3 does when it refuses; moto takes any key."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = (
                f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>refused</Message></Error>".encode()
            )
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def s3(endpoint: str, bucket: str = "bucket") -> Lake:
    options = {
        "access_key": "AKIATEST",
        "secret_key": SECRET,
        "region": "us-east-1",
        "endpoint_url": endpoint,
    }
    return Lake(f"s3://{bucket}/lake", options)


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"])
def test_wrong_credentials_for_s3(code: str) -> None:
    with refusing_s3(403, code) as endpoint:
        lake = s3(endpoint)
        for attempt in (
            lambda: land(lake),
            lambda: lake.holes(TABLE, SERIES, span(0, 9)),
            lambda: lake.read(TABLE, SERIES, span(0, 9)),
            lambda: lake.months(TABLE, SERIES),
            lake.objects.probe,
        ):
            text = refusal(attempt)
            assert "s3://bucket/lake" in text
            assert "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in text


def test_a_bucket_that_does_not_exist(s3_server: S3Server) -> None:
    lake = s3(s3_server.endpoint, "no-such-bucket")
    for attempt in (lambda: land(lake), lake.objects.probe):
        text = refusal(attempt)
        assert "s3://no-such-bucket/lake" in text
        assert "Create the bucket, or correct DATA_LAKE_PATH" in text
    names = [bucket["Name"] for bucket in s3_server.client().list_buckets()["Buckets"]]
    assert "no-such-bucket" not in names


def test_an_s3_that_cannot_be_reached() -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    for attempt in (lambda: land(s3(endpoint)), lambda: s3(endpoint).holes(TABLE, SERIES, span(0, 9))):
        text = refusal(attempt)
        assert "s3://bucket/lake" in text
        assert "Check AWS_ENDPOINT_URL and that the store is running" in text


def test_an_s3_that_is_out_of_order() -> None:
    with refusing_s3(503, "ServiceUnavailable") as endpoint:
        assert "s3://bucket/lake" in refusal(lambda: land(s3(endpoint)))


def test_half_of_a_pair_of_keys() -> None:
    text = refusal(lambda: Lake("s3://bucket/lake", {"secret_key": SECRET}))
    assert "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set" in text


def test_a_probe_leaves_nothing_behind(tmp_path: Path) -> None:
    objects = open_objects(str(tmp_path / "lake"))
    objects.probe()
    assert objects.list("") == []
