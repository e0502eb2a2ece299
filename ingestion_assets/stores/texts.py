"""Texts of the lake with how they sound, as features are made of them: of one series, or of a platform's.

What is known of a text but not how it sounds is given all the same; nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from ingestion_assets.intervals import Window
from ingestion_assets.stores.lake import Lake
from ingestion_assets.tables import Table

_JUDGED = ("sentiment_label", "sentiment_score")


def series_of(lake: Lake, texts: Table, source: str) -> list[str]:
    """The series of a source of which texts are held."""
    return sorted(name for name in lake.inventory(texts) if name.startswith(f"{source}."))


def judged_texts(
    lake: Lake, texts: Table, sentiment: Table, series: Iterable[str], window: Window
) -> pa.Table:
    """`what`, `time`, `known_at`, `sentiment_label`, `sentiment_score`; the last two may be null.

    The same `what` is the same text: the id, or the story where texts tell one.
    """
    whats = ["id", "story"] if "story" in texts.schema.names else ["id"]
    found = [_read(lake, texts, sentiment, name, window, whats) for name in series]
    return pa.concat_tables(found) if found else _read(lake, texts, sentiment, "none.held", window, whats)


def _read(
    lake: Lake, texts: Table, sentiment: Table, series: str, window: Window, whats: list[str]
) -> pa.Table:
    rows = lake.read(texts, series, window, [*whats, "time", "known_at"])
    heard = lake.read(sentiment, series, window, ["id", *_JUDGED])
    heard = heard.set_column(1, _JUDGED[0], heard.column(_JUDGED[0]).cast(pa.string()))
    joined = rows.join(heard, "id", join_type="left outer")
    what = pc.coalesce(*(joined.column(name) for name in reversed(whats)))
    names = ("time", "known_at", *_JUDGED)
    return pa.table({"what": what} | {name: joined.column(name) for name in names})
