"""How texts sound: a label, a score from −1 to 1, and what judged. Pure; by a lexicon unless told otherwise.

VADER's rules read negation, emphasis, capitals and emoji around words; what the words say about a market is
in sentiment_lexicon.py. A model instead of the lexicon is in sentiment_model.py; both are a Judge.
"""

from __future__ import annotations

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


def sentiment_columns(texts: Sequence[str], judge: Judge) -> dict[str, pa.Array]:
    """The columns that a table of texts is enriched with."""
    judged = judge.judge(texts)
    return {
        "sentiment_label": pa.array([one.label for one in judged], pa.string()),
        "sentiment_score": pa.array([one.score for one in judged], pa.float64()),
        "sentiment_model": pa.array([judge.name] * len(judged), pa.string()),
    }


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
