"""Reddit: a token for an app, and the new posts of any subreddit: 1,000 of them, pinned ones on top.

Any app is let in but one whose id begins with `wrong`.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any

from ingestion_assets.simulator.answers import Answer, Market, as_json
from ingestion_assets.simulator.chatter import Chatter, Post

Query = Mapping[str, str]
TOKEN = "/api/v1/access_token"  # noqa: S105 a path
LISTED = 1_000
_NEW = re.compile(r"/r/([A-Za-z0-9_]{2,21})/new/?")


class Reddit:
    prefix = (TOKEN, "/r/")
    forms = (TOKEN,)

    def __init__(self, market: Market) -> None:
        self.market, self.chatter = market, Chatter(market)

    def meet(self, query: Query, headers: Mapping[str, str]) -> Answer | None:
        kind, _, text = headers.get("Authorization", "").partition(" ")
        name = base64.b64decode(text).decode().partition(":")[0] if kind == "Basic" else text
        if kind.lower() in ("basic", "bearer") and name and not name.startswith("wrong"):
            return None
        return as_json({"message": "Unauthorized", "error": 401}, 401)

    def answer(self, path: str, query: Query) -> tuple[Answer, int]:
        if path == TOKEN:
            told = {"access_token": "simulated", "token_type": "bearer", "expires_in": 86_400, "scope": "*"}
            return as_json(told), 0
        found = _NEW.fullmatch(path)
        if found is None:
            return as_json({"message": "Not Found", "error": 404}, 404), 0
        reset = 600 - self.market.vendor_ms() // 1000 % 600
        headers = {"x-ratelimit-used": "1", "x-ratelimit-remaining": "999.0", "x-ratelimit-reset": str(reset)}
        return as_json(self._listing(found[1], query), headers=headers), 0

    def _listing(self, name: str, query: Query) -> dict[str, Any]:
        newest = self.chatter.newest(name)
        start, after = newest, query.get("after")
        if after:
            start = int(after.removeprefix("t3_"), 36) - 1
        limit = max(1, min(100, int(query.get("limit", 25))))
        last = max(start - limit + 1, newest - LISTED + 1)
        posts = [self.chatter.post(name, number) for number in range(start, last - 1, -1)]
        children = [_shown(name, post) for post in posts]
        if not after:
            children.insert(0, _shown(name, self.chatter.post(name, 1_000), pinned=True))
        more = bool(posts) and last > newest - LISTED + 1
        data = {"modhash": "", "dist": len(children), "children": children, "before": None}
        return {"kind": "Listing", "data": data | {"after": f"t3_{_base36(last)}" if more else None}}


def _shown(name: str, post: Post, pinned: bool = False) -> dict[str, Any]:
    number, seconds = _base36(post.number), post.at_ms // 1000
    return {
        "kind": "t3",
        "data": {
            "id": number,
            "name": f"t3_{number}",
            "subreddit": name,
            "title": post.text,
            "selftext": "" if post.drawn % 3 else f"More about it: {post.text}",
            "author": "[deleted]" if post.drawn % 97 == 0 else f"user{post.author}",
            "created": float(seconds),
            "created_utc": float(seconds),
            "edited": float(seconds + 60) if post.drawn % 31 == 0 else False,
            "score": post.likes,
            "ups": post.likes,
            "upvote_ratio": 0.5 + post.likes / 512,
            "num_comments": post.likes // 5,
            "stickied": pinned,
            "is_self": True,
            "permalink": f"/r/{name}/comments/{number}/post/",
            "url": f"https://www.reddit.com/r/{name}/comments/{number}/post/",
        },
    }


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits or "0"
