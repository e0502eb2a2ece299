"""How texts sound: for each table of texts one beside it. Who judges is in features/sentiment.py."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ingestion_assets.tables.conditions import unless, values
from ingestion_assets.tables.contract import NAME, TIME, Column, Promise, Table
from ingestion_assets.tables.news import NEWS_ITEMS
from ingestion_assets.tables.social import POSTS

LABELS = ("negative", "neutral", "positive")
_DUPLICATE = Column(
    "duplicate_of",
    NAME,
    "the series in which the same story was known before; null: it is known from here",
    required=False,
)


def _labelled(rows: pa.Table) -> np.ndarray:
    return np.isin(rows.column("sentiment_label").cast(pa.string()).to_numpy(zero_copy_only=False), LABELS)


def _beside(texts: Table, text: str, *more: Column) -> Table:
    return Table(
        domain=texts.domain,
        name="sentiment",
        text=text,
        columns=(
            Column("id", pa.string(), f"as in `{texts.path}`"),
            Column("time", TIME, f"as in `{texts.path}` (UTC)"),
            Column("sentiment_label", NAME, ", ".join(LABELS)),
            Column("sentiment_score", pa.float64(), "from −1 (as bad as can be) over 0 to 1 (as good)"),
            Column("sentiment_model", NAME, "what judged: a lexicon with its version, or a model's id"),
            Column(
                "judged_text",
                pa.string(),
                "a fingerprint of the text that was judged: the same text is judged once by a model",
                required=False,
            ),
            *more,
            Column("source", NAME, "how the row came: derived"),
            Column("known_at", TIME, f"as in `{texts.path}`"),
        ),
        key="id",
        grid=False,
        grain=texts.grain,
        cut=texts.cut,
        promises=(
            Promise(
                "sentiment_score lies between -1 and 1",
                unless(lambda rows: np.abs(values(rows, "sentiment_score")) <= 1),
            ),
            Promise(f"sentiment_label is one of {', '.join(LABELS)}", unless(_labelled)),
        ),
        origin=f"`{texts.path}`",
        cadence="after every change of them",
        history=f"as `{texts.path}`",
    )


NEWS_SENTIMENT = _beside(
    NEWS_ITEMS, "How each item sounds, and which of them tell what was known before.", _DUPLICATE
)
POSTS_SENTIMENT = _beside(POSTS, "How each post sounds.")
# The table of texts that each is made of.
TEXTS = {NEWS_SENTIMENT.path: NEWS_ITEMS, POSTS_SENTIMENT.path: POSTS}
SENTIMENT: dict[str, Table] = {table.path: table for table in (NEWS_SENTIMENT, POSTS_SENTIMENT)}
