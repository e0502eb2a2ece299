"""Texts by the bucket: how many there were, and how they sound. Pure.

A text that stands in several series counts once: `what` tells which are the same.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ingestion_assets.intervals import MICROSECOND, Window, micros
from ingestion_assets.tables import Table
from ingestion_assets.tables.arrays import column, nullable, numbers, repeated
from ingestion_assets.tables.contract import TIME


def text_features(texts: pa.Table, table: Table, window: Window) -> pa.Table:
    """Rows of the buckets that lie in the window, end included.

    `texts` has `what`, `time`, `known_at`, and where it was judged `sentiment_label` and `sentiment_score`.
    """
    step = table.grain // MICROSECOND
    texts = _once(texts)
    opens = numbers(texts.column("time")) // step * step
    inside = (opens >= micros(window.start)) & (opens + step <= micros(window.end))
    texts, opens = texts.filter(pa.array(inside, pa.bool_())), opens[inside]
    buckets, place = np.unique(opens, return_inverse=True)
    rows = len(buckets)
    if not rows:
        return table.empty()
    known = buckets + step
    np.maximum.at(known, place, numbers(texts.column("known_at")))
    score = numbers(texts.column("sentiment_score")).astype(np.float64)
    label = texts.column("sentiment_label").cast(pa.string()).to_numpy(zero_copy_only=False)
    held = ~np.isnan(score)
    judged = np.bincount(place[held], minlength=rows)

    def share(of: np.ndarray) -> pa.Array:
        total = np.bincount(place[held], weights=of[held].astype(np.float64), minlength=rows)
        return nullable(np.divide(total, judged, out=np.full(rows, np.nan), where=judged > 0))

    arrays = {
        "time": column(buckets, TIME),
        "count": column(np.bincount(place, minlength=rows), pa.int64()),
        "judged": column(judged, pa.int64()),
        "sentiment_mean": share(score),
        "share_positive": share(label == "positive"),
        "share_negative": share(label == "negative"),
        "source": repeated("derived", rows),
        "known_at": column(known, TIME),
    }
    return pa.Table.from_arrays([arrays[name] for name in table.schema.names], schema=table.schema)


def _once(texts: pa.Table) -> pa.Table:
    """Of what is the same text the one that was known first."""
    order = np.argsort(numbers(texts.column("known_at")), kind="stable")
    names = np.array(texts.column("what").to_pylist(), dtype=np.str_)[order]
    _, first = np.unique(names, return_index=True)
    return texts.take(pa.array(np.sort(order[first])))
