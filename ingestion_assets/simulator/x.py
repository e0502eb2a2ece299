"""X: recent search, recent counts and usage. Any bearer token is taken but one that begins with `wrong`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ingestion_assets.simulator.answers import Answer, Market, as_json
from ingestion_assets.simulator.chatter import Chatter, Post, metrics
from ingestion_assets.simulator.clock import wall_ms

Query = Mapping[str, str]
SERVED_MS, HOUR_MS, LATEST_MS = 7 * 86_400_000, 3_600_000, 10_000
_FIRST_ID_MS = 1_288_834_974_657


class Refusal(Exception):
    pass


class X:
    name = "x"
    prefix = ("/2/tweets/search/recent", "/2/tweets/counts/recent", "/2/usage/tweets")

    def __init__(self, market: Market) -> None:
        self.market, self.chatter = market, Chatter(market)

    def meet(self, query: Query, headers: Mapping[str, str]) -> Answer | None:
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        return _refused(401, "Unauthorized") if not token or token.startswith("wrong") else None

    def too_many(self, seconds: int) -> Answer:
        """When it is over is told in seconds since 1970, on the machine's own clock."""
        answer = _refused(429, "Too Many Requests")
        answer.headers["x-rate-limit-reset"] = str(wall_ms() // 1_000 + seconds)
        return answer

    def answer(self, path: str, query: Query) -> tuple[Answer, int]:
        handler = {"/2/tweets/search/recent": self._search, "/2/tweets/counts/recent": self._counts}.get(path)
        if handler is None:
            return as_json({"data": {"project_cap": "2000000", "project_usage": "0"}}), 0
        try:
            document = handler(query)
        except Refusal as refusal:
            return _refused(400, str(refusal)), 0
        headers = {"x-rate-limit-limit": "450", "x-rate-limit-remaining": "449"}
        headers["x-rate-limit-reset"] = str(self.market.vendor_ms() // 1000 + 900)
        return as_json(document, headers=headers), 0

    def _search(self, query: Query) -> dict[str, Any]:
        word, many = _word(query), int(query.get("max_results", 10))
        if not 10 <= many <= 100:
            raise Refusal(f"The `max_results` query parameter value [{many}] is not between 10 and 100")
        low, high = self._between(query)
        token = query.get("next_token") or query.get("pagination_token")
        number = int(token.removeprefix("b26v")) if token else self.chatter.before(word, high)
        posts: list[Post] = []
        while len(posts) < many and (post := self.chatter.post(word, number)).at_ms >= low:
            posts.append(post)
            number -= 1
        meta: dict[str, Any] = {"result_count": len(posts)}
        if not posts:
            return {"meta": meta}
        meta |= {"newest_id": _id(posts[0]), "oldest_id": _id(posts[-1])}
        if self.chatter.post(word, number).at_ms >= low:
            meta["next_token"] = f"b26v{number}"
        fields = query.get("tweet.fields", "").split(",")
        return {"data": [_shown(post, fields) for post in posts], "meta": meta}

    def _counts(self, query: Query) -> dict[str, Any]:
        word = _word(query)
        low, high = self._between(query)
        data, total, start = [], 0, low
        while start < high:
            end = min(high, (start // HOUR_MS + 1) * HOUR_MS)
            count = self.chatter.before(word, end) - self.chatter.before(word, start)
            data.append({"end": _iso(end), "start": _iso(start), "tweet_count": count})
            total, start = total + count, end
        return {"data": data, "meta": {"total_tweet_count": total}}

    def _between(self, query: Query) -> tuple[int, int]:
        now = self.market.clock.now_ms()
        oldest = now - SERVED_MS
        low = _ms(query["start_time"]) if "start_time" in query else oldest
        high = _ms(query["end_time"]) if "end_time" in query else now - LATEST_MS
        if "since_id" in query:
            low = (int(query["since_id"]) >> 22) + _FIRST_ID_MS + 1
        if "until_id" in query:
            high = min(high, -(-int(query["until_id"]) // (1 << 22)) + _FIRST_ID_MS)
        if low < oldest - 60_000:
            name = "since_id" if "since_id" in query else "start_time"
            raise Refusal(f"Invalid '{name}'. It must be on or after {_iso(oldest)}")
        if high > now:
            raise Refusal("Invalid 'end_time'. It must be a minimum of 10 seconds prior to the request time")
        return low, high


def _word(query: Query) -> str:
    if not query.get("query"):
        raise Refusal("The query parameter [query] can not be empty")
    return query["query"].split()[0].strip("(\"$#'")


def _id(post: Post) -> str:
    return str((post.at_ms - _FIRST_ID_MS << 22) + (post.drawn & 0x3FFFFF or 1))


def _shown(post: Post, fields: list[str]) -> dict[str, Any]:
    told = {
        "author_id": str(post.author),
        "created_at": _iso(post.at_ms),
        "lang": "en",
        "public_metrics": metrics(post),
    }
    shown = {"id": _id(post), "text": post.text, "edit_history_tweet_ids": [_id(post)]}
    return shown | {name: value for name, value in told.items() if name in fields}


def _refused(status: int, words: str) -> Answer:
    title = {401: "Unauthorized", 400: "Invalid Request", 429: "Too Many Requests"}[status]
    return as_json({"title": title, "detail": words, "type": "about:blank", "status": status}, status)


def _iso(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03}Z"


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
