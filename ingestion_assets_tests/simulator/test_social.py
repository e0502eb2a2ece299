"""The simulated X and Reddit: their public clients get along with them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from requests.adapters import HTTPAdapter

from ingestion_assets.simulator import Simulator

NOW = "2024-07-09T18:00:30"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(now=NOW) as running:
        yield running


class Detour(HTTPAdapter):
    """Sends what is meant for a vendor to the simulator."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def send(self, request, **options):
        path = request.path_url
        request.url = self.url + path
        return super().send(request, **options)


class TestX:
    @pytest.fixture
    def tweepy(self):
        return pytest.importorskip("tweepy", reason="X's public client: pip install tweepy")

    @pytest.fixture
    def make(self, tweepy, simulator):
        def make(token: str = "any"):
            client = tweepy.Client(token)
            for host in ("https://api.twitter.com", "https://api.x.com"):
                client.session.mount(host, Detour(simulator.url))
            return client

        return make

    def test_a_search_is_paged_to_its_end(self, tweepy, make):
        posts = list(
            tweepy.Paginator(
                make().search_recent_tweets,
                "bitcoin",
                max_results=50,
                start_time="2024-07-09T10:00:00Z",
                tweet_fields=["created_at", "public_metrics", "author_id"],
            ).flatten()
        )
        assert 158 <= len(posts) <= 161
        assert [post.id for post in posts] == sorted({post.id for post in posts}, reverse=True)
        assert all("bitcoin" in post.text for post in posts)
        assert posts[0].created_at > posts[-1].created_at
        assert posts[0].public_metrics["like_count"] >= 0

    def test_since_id_gives_what_is_newer_and_nothing_is_an_answer_too(self, make):
        client = make()
        first = client.search_recent_tweets("bitcoin", max_results=20)
        newer = client.search_recent_tweets("bitcoin", since_id=first.data[5].id)
        assert [post.id for post in newer.data] == [post.id for post in first.data[:5]]
        nothing = client.search_recent_tweets("bitcoin", since_id=first.data[0].id)
        assert nothing.data is None
        assert nothing.meta["result_count"] == 0

    def test_counts_agree_with_the_search(self, make):
        counts = make().get_recent_tweets_count(
            "bitcoin", start_time="2024-07-09T10:00:00Z", end_time="2024-07-09T18:00:00Z"
        )
        assert len(counts.data) == 8
        assert counts.meta["total_tweet_count"] == sum(hour["tweet_count"] for hour in counts.data)

    def test_refusals_are_the_vendors(self, tweepy, make):
        with pytest.raises(tweepy.Unauthorized):
            make("wrong").search_recent_tweets("bitcoin")
        with pytest.raises(tweepy.BadRequest, match="since_id"):
            make().search_recent_tweets("bitcoin", since_id=1)


class TestReddit:
    @pytest.fixture
    def praw(self):
        return pytest.importorskip("praw", reason="Reddit's public client: pip install praw")

    @pytest.fixture
    def reddit(self, praw, simulator):
        return praw.Reddit(
            client_id="app",
            client_secret="any",
            user_agent="a test",
            reddit_url=simulator.url,
            oauth_url=simulator.url,
            check_for_updates=False,
        )

    def test_a_listing_ends_after_a_thousand_with_the_pinned_one_on_top(self, reddit):
        posts = list(reddit.subreddit("bitcoin").new(limit=None))
        assert len(posts) == 1_001
        assert posts[0].stickied
        times = [post.created_utc for post in posts[1:]]
        assert times == sorted(times, reverse=True)
        assert len({post.name for post in posts}) == 1_001

    def test_an_app_that_is_not_known_gets_no_token(self, simulator):
        answer = requests.post(
            f"{simulator.url}/api/v1/access_token",
            auth=("wrong", "any"),
            data={"grant_type": "client_credentials"},
            timeout=30,
        )
        assert answer.status_code == 401
