"""HTTP as vendors do it: each status its error, patience where it can heal, nothing secret in a text."""

import asyncio
import base64
import email.utils
import time
from functools import partial

import orjson
import pytest

from ingestion_assets.sources import errors
from ingestion_assets.sources.governor import Governor
from ingestion_assets.sources.http import HttpClient, expect_json, host_of, retry_after
from ingestion_assets_tests.sources.replay import Replay, Reply, Turns


def get(vendor, path="/data", params=None, *, parse=orjson.loads, **options):
    """The parsed answer and the client that got it."""

    async def main():
        url = vendor if isinstance(vendor, str) else vendor.url
        given = {"attempts": 1, "timeout": 20} | options
        async with HttpClient(url, Governor(host_of(url)), **given) as client:
            return await client.get(path, params, parse=parse), client

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (301, b"", errors.VendorDown),
        (400, b'{"oh": "no"}', errors.BadRequest),
        (401, b"{}", errors.AuthError),
        (403, b'{"error": "not entitled"}', errors.AuthError),
        (403, b" <html>CloudFront</html>", errors.VendorDown),
        (404, b"{}", errors.NotFound),
        (408, b"", errors.VendorDown),
        (409, b"", errors.BadRequest),
        (418, b"", errors.Banned),
        (422, b"{}", errors.BadRequest),
        (429, b"", errors.RateLimited),
        (451, b"", errors.GeoBlocked),
        (500, b"", errors.VendorDown),
        (502, b"<html>", errors.VendorDown),
        (503, b"", errors.VendorDown),
        (504, b"", errors.VendorDown),
    ],
)
def test_each_status_has_its_error(status, body, error):
    with Replay({"/data": Reply(status, body)}) as vendor, pytest.raises(error) as caught:
        get(vendor, attempts=1)
    assert type(caught.value) is error
    assert f"/data: HTTP {status}: " in str(caught.value)
    assert (body.decode().strip() or "no text") in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Api-Key": "s3cret-0123456789"},
        {"Authorization": "Bearer s3cret-0123456789"},
        {"Authorization": "Basic " + base64.b64encode(b"app:s3cret-0123456789").decode()},
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 500])
def test_a_key_that_the_vendor_repeats_is_not_shown(headers, status):
    (sent,) = headers.values()
    echo = f"<no key {sent} or s3cret-0123456789>".encode()
    parse = partial(expect_json, opening=b"{")
    with Replay({"/data": Reply(status, echo)}) as vendor, pytest.raises(errors.SourceError) as caught:
        get(vendor, headers=headers, parse=parse)
    assert "<no key" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert sent.rpartition(" ")[2] not in str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 451])
def test_what_asking_again_does_not_change_is_asked_once(status):
    with Replay({"/data": Reply(status)}) as vendor:
        with pytest.raises(errors.SourceError):
            get(vendor, attempts=5)
        assert len(vendor.asked) == 1


@pytest.mark.parametrize(
    "reply", [Reply(408), Reply(500), Reply(503), Reply(cut=0.5), Reply(429, headers={"Retry-After": "0"})]
)
def test_what_heals_is_asked_again(reply):
    with Replay({"/data": Turns(reply, reply, {"fine": True})}) as vendor:
        answer, client = get(vendor, attempts=3)
        assert answer == {"fine": True}
        assert client.requests == len(vendor.asked) == 3


def test_patience_ends():
    with Replay({"/data": Reply(503, b"later")}) as vendor:
        with pytest.raises(errors.VendorDown, match="HTTP 503: later"):
            get(vendor, attempts=3)
        assert len(vendor.asked) == 3


def test_retry_after_seconds_or_a_date():
    assert retry_after({}) is None
    assert retry_after({"Retry-After": "17"}) == 17.0
    date = email.utils.formatdate(time.time() + 90, usegmt=True)
    assert 85 <= retry_after({"Retry-After": date}) <= 91
    assert retry_after({"Retry-After": email.utils.formatdate(0, usegmt=True)}) == 0.0
    assert retry_after({"Retry-After": "soon"}) is None


def test_retry_after_is_honoured_and_shuts_the_host():
    async def main(vendor):
        governor = Governor(host_of(vendor.url))
        async with HttpClient(vendor.url, governor, attempts=2) as client:
            return await client.get("/data", parse=orjson.loads), governor

    with Replay({"/data": Turns(Reply(429, headers={"Retry-After": "1"}), {"fine": True})}) as vendor:
        started = time.monotonic()
        answer, governor = asyncio.run(main(vendor))
        assert answer == {"fine": True}
        assert time.monotonic() - started >= 0.9
        assert governor.waited > 0.5


@pytest.mark.parametrize("said_as", ["seconds", "date"])
def test_who_asks_for_too_long_a_wait_is_not_waited_for_nor_asked(said_as):
    header = "3600" if said_as == "seconds" else email.utils.formatdate(time.time() + 3_600, usegmt=True)

    async def main(vendor):
        async with HttpClient(vendor.url, Governor(host_of(vendor.url)), attempts=5) as client:
            with pytest.raises(errors.RateLimited) as first:
                await client.get("/data", parse=orjson.loads)
            assert 3_500 < first.value.retry_after <= 3_601
            with pytest.raises(errors.Banned, match="is not to be asked before"):
                await client.get("/data", parse=orjson.loads)

    with Replay({"/data": Reply(429, headers={"Retry-After": header})}) as vendor:
        asyncio.run(main(vendor))
        assert len(vendor.asked) == 1


def test_a_hang_ends_at_the_time_limit():
    with Replay({"/data": Reply(hang=True)}) as vendor, pytest.raises(errors.VendorDown) as caught:
        get(vendor, timeout=0.3)
    assert str(caught.value) == f"{vendor.url}/data did not answer within 0.3 s"


def test_a_line_cut_in_mid_body_is_no_answer():
    with (
        Replay({"/data": Reply(body=b"[1, 2, 3, 4]", cut=0.5)}) as vendor,
        pytest.raises(errors.VendorDown, match="the connection broke"),
    ):
        get(vendor)


def test_nobody_there():
    with pytest.raises(
        errors.VendorDown, match=r"http://127\.0\.0\.1:1/data: nothing answers there .* is the address right"
    ):
        get("http://127.0.0.1:1")


def test_a_redirect_is_not_followed():
    with Replay({"/elsewhere": {"from": "elsewhere"}}) as vendor:
        vendor.answers["/data"] = Reply(302, headers={"Location": f"{vendor.url}/elsewhere"})
        with pytest.raises(errors.VendorDown, match="HTTP 302"):
            get(vendor)
        assert [one.path for one in vendor.asked] == ["/data"]


@pytest.mark.parametrize(
    "reply", [Reply(500), Reply(403, b"{}"), Reply(hang=True), Reply(cut=0.5), Reply(body=b"<html>")]
)
def test_secrets_stay_out_of_every_text(reply):
    def parse(body):
        expect_json(body, b"{")

    with Replay({"/data": reply}) as vendor, pytest.raises(errors.SourceError) as caught:
        url = vendor.url.replace("http://", "http://user:s3cret@")
        get(
            url, params={"apikey": "s3cret", "signature": "s3cret", "symbol": "BTC"}, parse=parse, timeout=0.5
        )
    assert "s3cret" not in str(caught.value) and "s3cret" not in repr(caught.value)
    assert "/data" in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"[1, 2", b'{"a": 1}', b"null", b"1]"])
def test_another_body_than_promised_is_malformed(body):
    with pytest.raises(errors.MalformedAnswer, match=r"the answer is not the JSON \[…"):
        expect_json(body, b"[")


def test_a_malformed_answer_is_asked_again_and_named():
    def parse(body):
        expect_json(body, b"[")
        return orjson.loads(body)

    with Replay({"/data": Turns(Reply(body=b"<html>"), Reply(body=b" [1]\n"))}) as vendor:
        assert get(vendor, parse=parse, attempts=2)[0] == [1]
    with Replay({"/data": Reply(body=b"<html>")}) as vendor, pytest.raises(errors.MalformedAnswer) as caught:
        get(vendor, parse=parse, params={"symbol": "BTC"})
    assert str(caught.value).startswith(f"{vendor.url}/data?symbol=BTC: the answer is not")


def test_the_vendors_own_words_and_count_are_learnt():
    def classify(status, headers, body):
        return errors.AuthError("wants a key") if b"key" in body else None

    with (
        Replay({"/data": {"error": "key"}}) as vendor,
        pytest.raises(errors.AuthError, match="/data: wants a key"),
    ):
        get(vendor, classify=classify)
    with Replay({"/data": Reply(headers={"Used": "41"})}) as vendor:
        used = []
        get(vendor, learn=lambda headers: used.append(headers.get("Used")))
    assert used == ["41"]


def test_the_date_header_is_a_clock():
    date = email.utils.formatdate(time.time() - 3_600, usegmt=True)
    with Replay({"/data": Reply(headers={"Date": date})}) as vendor:
        _, client = get(vendor)
    assert client.date_skew == pytest.approx(-3_600, abs=300)


def test_no_more_at_once_than_agreed():
    async def main(vendor):
        async with HttpClient(vendor.url, Governor("h"), concurrency=2, timeout=60, attempts=1) as client:
            asked = (client.get("/data", parse=orjson.loads) for _ in range(4))
            await asyncio.wait(map(asyncio.ensure_future, asked), timeout=0.5)
            return client.requests

    with Replay({"/data": Reply(hang=True)}) as vendor:
        assert asyncio.run(main(vendor)) == 2


def test_parsing_beside_the_loop_gives_the_same():
    async def main(vendor):
        async with HttpClient(vendor.url, Governor("h")) as client:
            return await client.get("/data", parse=orjson.loads, offload=True)

    with Replay({"/data": [1, 2]}) as vendor:
        assert asyncio.run(main(vendor)) == [1, 2]
