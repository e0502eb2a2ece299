"""What people post in the simulated world: about one post every three minutes for each word.

The same word, number and seed give the same post, whoever shows it.
"""

from typing import Any, NamedTuple

from ingestion_assets.simulator import noise
from ingestion_assets.simulator.answers import Market

FIRST_MS = 1_577_836_800_000
SLOT_MS = 180_000
_TONES = (
    "{} is breaking out, so bullish",
    "sold all my {}, this looks like a scam & a crash",
    "anybody else holding {}?",
    "{} to the moon 🚀 great gains today",
    "terrible day for {}, liquidated again",
    "what is the fee to move {}?",
)


class Post(NamedTuple):
    number: int
    at_ms: int
    drawn: int
    text: str

    @property
    def author(self) -> int:
        return self.drawn % 5_000 + 1_000

    @property
    def likes(self) -> int:
        return self.drawn >> 20 & 0xFF


class Chatter:
    def __init__(self, market: Market) -> None:
        self.market = market

    def newest(self, word: str) -> int:
        """The number of the newest post."""
        now = self.market.clock.now_ms()
        number = (now - FIRST_MS) // SLOT_MS
        return number if self.post(word, number).at_ms <= now else number - 1

    def before(self, word: str, at_ms: int) -> int:
        """The number of the newest post before a moment, as far as it has come."""
        number = min(self.newest(word), (at_ms - FIRST_MS) // SLOT_MS)
        return number if self.post(word, number).at_ms < at_ms else number - 1

    def post(self, word: str, number: int) -> Post:
        key = noise.key("post", self.market.world.seed, word.lower())
        drawn = int(noise.bits(key, number, 1)[0])
        text = _TONES[drawn % len(_TONES)].format(word)
        return Post(number, FIRST_MS + number * SLOT_MS + drawn % SLOT_MS, drawn, f"{text} (no. {number})")


def metrics(post: Post) -> dict[str, Any]:
    return {
        "retweet_count": post.likes // 8,
        "reply_count": post.likes // 5,
        "like_count": post.likes,
        "quote_count": post.likes // 20,
        "bookmark_count": 0,
        "impression_count": post.likes * 100,
    }
