"""The error tree, and that no secret gets into a text."""

import pytest

from ingestion_assets.sources import errors
from ingestion_assets.sources.errors import clean_url, excerpt


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://h/p", "https://h/p"),
        ("https://user:pass@h:81/p?a=1", "https://h:81/p?a=1"),
        ("https://h/p?apiKey=s3cret&symbol=BTC/USDT", "https://h/p?apiKey=***&symbol=BTC/USDT"),
        ("https://h/p?API_TOKEN=s3cret&x=", "https://h/p?API_TOKEN=***&x="),
        ("https://h/p?signature=s3cret&client_secret=s3cret&passwordHash=s3cret", None),
        ("https://h/p?auth=s3cret#access_token=s3cret", "https://h/p?auth=***"),
    ],
)
def test_clean_url(url, clean):
    assert "s3cret" not in clean_url(url) and "pass@" not in clean_url(url)
    assert clean is None or clean_url(url) == clean


def test_excerpt_is_one_short_line_whatever_the_bytes():
    assert excerpt(b"  <html>\n\t<b>x</b>\r\n") == "<html> <b>x</b>"
    assert excerpt(b"\xff\xfe{") == "��{"
    assert excerpt(b"a" * 1000, 10) == "aaaaaaaaaa…"
    assert excerpt(b"") == ""


def test_what_can_heal():
    healing = {errors.RateLimited, errors.Banned, errors.VendorDown, errors.MalformedAnswer}
    final = {errors.AuthError, errors.GeoBlocked, errors.NotFound, errors.BadRequest}
    assert all(issubclass(kind, errors.Transient) for kind in healing)
    assert not any(issubclass(kind, errors.Transient) for kind in final)
    assert all(issubclass(kind, errors.SourceError) for kind in healing | final)
    assert errors.VendorDown("x", 3.0).retry_after == 3.0
