"""How texts sound: a label, a score from −1 to 1, and what judged. Pure; by a lexicon unless told otherwise.

VADER's rules read negation, emphasis, capitals and emoji around words; what the words say about a market is
in sentiment_lexicon.py. A model instead of the lexicon is in sentiment_model.py; both are a Judge.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import pyarrow as pa

from ingestion_assets.features.sentiment_lexicon import NEUTRAL, VERSION, WORDS

LABELS = NEGATIVE, NEUTRAL_LABEL, POSITIVE = "negative", "neutral", "positive"
THRESHOLD = 0.05  # closer to 0 is neutral
MOST_CHARACTERS = 20_000  # of a text; what it is about stands before that


@dataclass(frozen=True)
class Sentiment:
    label: str
    score: float


class Judge(Protocol):
    """Whoever can say how texts sound."""

    @property
    def name(self) -> str: ...

    def judge(self, texts: Sequence[str]) -> list[Sentiment]: ...


class Lexicon:
    """Words and rules: the same text has the same score for ever, until the version changes."""

    name = f"lexicon-{VERSION}"

    def judge(self, texts: Sequence[str]) -> list[Sentiment]:
        return [_judged(text[:MOST_CHARACTERS]) for text in texts]


def labelled(score: float) -> Sentiment:
    label = POSITIVE if score >= THRESHOLD else NEGATIVE if score <= -THRESHOLD else NEUTRAL_LABEL
    return Sentiment(label, score)


def fingerprint(text: str) -> str:
    """The same for the same text, another for any other."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def sentiment_columns(
    ids: Sequence[str], texts: Sequence[str], judge: Judge, held: pa.Table | None = None
) -> dict[str, pa.Array]:
    """The columns that a table of texts is enriched with; who is held as judged is not judged again.

    Held are rows with these columns and their ids, by any judge: those of this one count, of the same text.
    """
    prints = [fingerprint(text) for text in texts]
    known = _known(held, judge.name) if held is not None else {}
    found = [known.get(pair) for pair in zip(ids, prints, strict=True)]
    new = [text for text, one in zip(texts, found, strict=True) if one is None]
    fresh = iter(judge.judge(new))
    judged = [one or next(fresh) for one in found]
    return {
        "sentiment_label": pa.array([one.label for one in judged], pa.string()),
        "sentiment_score": pa.array([one.score for one in judged], pa.float64()),
        "sentiment_model": pa.array([judge.name] * len(judged), pa.string()),
        "judged_text": pa.array(prints, pa.string()),
    }


def _known(held: pa.Table, model: str) -> dict[tuple[str, str | None], Sentiment]:
    """What this model said, by id and fingerprint."""
    names = ("id", "judged_text", "sentiment_model", "sentiment_label", "sentiment_score")
    rows = zip(*(held.column(name).to_pylist() for name in names), strict=True)
    return {(key, text): Sentiment(label, score) for key, text, by, label, score in rows if by == model}


_ALONE = threading.Lock()


def _judged(text: str) -> Sentiment:
    if not text.strip():
        return labelled(0.0)
    return labelled(float(_analyzer().polarity_scores(text)["compound"]))


def _analyzer() -> Any:
    with _ALONE:  # made once, however many threads ask first
        return _made()


@cache
def _made() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    for word in NEUTRAL:
        analyzer.lexicon.pop(word, None)
    pictures = {word for word in WORDS if not word.isascii()}
    analyzer.lexicon.update(WORDS)
    for picture in pictures:
        analyzer.emojis[picture] = picture
    return analyzer
