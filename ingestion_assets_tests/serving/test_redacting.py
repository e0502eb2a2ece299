"""What anybody may see of the addresses in the registry: where a feed is, not who may read it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.registry import Series
from ingestion_assets.serving.redacting import HIDDEN, without_secrets
from ingestion_assets_tests.serving.conftest import TOKEN, Api

FEED = "https://reader:pass5word@news.example/feed.xml?user=desk&token=s3cr3t-5f0c2b#key=fr4gment"
SHOWN = f"https://{HIDDEN}@news.example/feed.xml?user={HIDDEN}&token={HIDDEN}"


def test_only_the_admin_sees_what_a_feeds_address_is_opened_with(api: Api) -> None:
    metadata = {"url": FEED, "more": [{"mirror": FEED}], "since": 2024}
    api.bench.registry.add(Series("rss.news-example", "news", "rss", "news-example", metadata=metadata))
    api.bench.registry.finish("rss.news-example", f"{FEED}: 403")
    for headers in ({}, {"X-Admin-Token": "wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        answer = api("GET", "/api/v1/symbols", headers=headers)
        (one,) = answer.json
        assert one["metadata"] == {"url": SHOWN, "more": [{"mirror": SHOWN}], "since": 2024}
        assert one["error_message"].startswith(f"https://{HIDDEN}@news.example/")
        for secret in (b"pass5word", b"s3cr3t", b"fr4gment", b"desk"):
            assert secret not in answer.body
    for headers in ({"X-Admin-Token": TOKEN}, {"Authorization": f"Bearer {TOKEN}"}):
        (one,) = api("GET", "/api/v1/symbols", headers=headers).json
        assert one["metadata"] == metadata


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no address: is it? yes=1", None),
        ("https://news.example/feed.xml", None),
        ("http://news.example:8080/a/b", None),
        (
            "see https://a.example/?k=1 and http://b.example/?2",
            f"see https://a.example/?k={HIDDEN} and http://b.example/?{HIDDEN}",
        ),
        ("https://a.example/?", f"https://a.example/?{HIDDEN}"),
        ("HTTPS://A.example/?a=b=c&d", f"HTTPS://A.example/?a={HIDDEN}&{HIDDEN}"),
        ("https://me:p@ss@a.example/@me", f"https://{HIDDEN}@a.example/@me"),
        ("https://a.example/@me?x=1", f"https://a.example/@me?x={HIDDEN}"),
    ],
)
def test_the_rest_of_a_text_stays_as_it_is(text: str, shown: str | None) -> None:
    assert without_secrets(text) == (shown or text)


@given(
    st.text("abcXYZ019-_~.%+/:@?", min_size=1),
    st.sampled_from(["", "=", "=="]),
    st.sampled_from(["?token=", "?a=b&token=", "?", "?a&"]),
)
def test_no_secret_gets_through_whatever_it_is_made_of(secret: str, padding: str, before: str) -> None:
    told = without_secrets({"url": f"https://news.example/feed{before}{secret}{padding}"})["url"]
    assert told.startswith("https://news.example/feed?")
    assert set(told.partition("?")[2]) <= set("tokenab=&") | {HIDDEN}
    assert told.count(HIDDEN) == before.count("&") + 1
