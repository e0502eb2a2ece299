"""Longer candles from shorter ones, with how much of each bar was there."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pyarrow as pa

from ingestion_assets.intervals import Window
from ingestion_assets.tables import Table

_SUMS = ("quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")


def aggregate(minutes: pa.Table, table: Table, window: Window, closed_until: datetime) -> pa.Table:
    """The bars of `table` that open in the window and end by `closed_until`, from 1m bars.

    A bar from which minutes are missing is given with a coverage below 1; one without any minute is not
    given at all. A sum of which a part is unknown is unknown.
    """
    parts = table.grain.total_seconds() // 60
    frame = pl.from_arrow(minutes)
    assert isinstance(frame, pl.DataFrame)
    bars = (
        frame.lazy()
        .group_by_dynamic("time", every=_every(table), closed="left", label="left")
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
            *(pl.when(pl.col(name).null_count() == 0).then(pl.col(name).sum()).alias(name) for name in _SUMS),
            pl.len().cast(pl.Int32).alias("minutes"),
            pl.col("known_at").max(),
        )
        .filter(pl.col("time").is_between(window.start, window.end, closed="left"))
        .filter(pl.col("time") + table.grain <= closed_until)
        .with_columns(
            (pl.col("time") + table.grain - pl.duration(milliseconds=1)).alias("close_time"),
            (pl.col("minutes") / parts).alias("coverage"),
            pl.lit("derived").alias("source"),
        )
        .collect()
    )
    return table.conform(bars.to_arrow())


def _every(table: Table) -> str:
    return table.name.removeprefix("ohlcv_")
