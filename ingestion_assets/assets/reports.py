"""Pictures of what is in the lake: completeness by series and day, candles of the last days.

Pictures are made only here, a few times a day, and kept small: metadata is copied into the event log.
"""

import base64
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from ingestion_assets.intervals import Window, bars, floor, month_window, months, subtract, total
from ingestion_assets.registry import Series
from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.stores.lake_file import CorruptFile
from ingestion_assets.tables import DERIVED, INGESTED
from ingestion_assets.workbench import Workbench

if TYPE_CHECKING:
    import numpy as np

MINUTES, HOURS = INGESTED["1m"], DERIVED["1h"]
DAY = timedelta(days=1)
SHOWN_SERIES, SHOWN_DAYS, CANDLE_DAYS, CANDLE_SERIES = 40, 120, 7, 3


@dg.asset(
    key=["reports", "market_coverage"],
    deps=[MINUTES.path.split("/"), HOURS.path.split("/")],
    description="How complete the 1m candles are, by series and day, and how the last days looked.",
)
def market_coverage(workbench: WorkbenchResource) -> dg.MaterializeResult[None]:
    bench, now = workbench.open(), datetime.now(UTC)
    series = bench.registry.series("market", enabled_only=True)
    held = bench.lake.inventory(MINUTES)
    shown = [s for s in series if s.id in held][:SHOWN_SERIES]
    today = floor(now, DAY)
    days = [today - DAY * n for n in range(SHOWN_DAYS - 1, -1, -1)]
    grid, unreadable = coverage_grid(bench, shown, days, now)
    metadata: dict[str, Any] = {
        "series": len(series),
        "series_with_data": len(shown),
        "months_held": sum(len(m) for m in held.values()),
        "unreadable": dg.MetadataValue.json(unreadable),
        "by_series": dg.MetadataValue.table(
            records=[
                dg.TableRecord(
                    {"series": s.id, "months": len(held[s.id]), "from": held[s.id][0], "to": held[s.id][-1]}
                )
                for s in shown
            ]
        )
        if shown
        else dg.MetadataValue.text("no series has data yet"),
    }
    if shown:
        metadata["completeness"] = _picture(
            _heat_map(grid, [s.id for s in shown], days), "completeness by day"
        )
    for one in shown[:CANDLE_SERIES]:
        chart = _candles(bench, one, now)
        if chart is not None:
            metadata[f"candles_{one.id}"] = _picture(chart, f"{one.id}, last {CANDLE_DAYS} days")
    return dg.MaterializeResult(metadata=metadata)


def coverage_grid(
    bench: Workbench, series: list[Series], days: list[datetime], now: datetime
) -> tuple["np.ndarray", list[str]]:
    """Held bars per expected bar for each series and day; NaN where none is expected."""
    import numpy as np

    grid = np.full((len(series), len(days)), np.nan)
    unreadable = []
    span = Window(days[0], days[-1] + DAY)
    for row, one in enumerate(series):
        start = max(filter(None, (one.backfill_from, one.listed_at, span.start)))
        wanted = Window(start, min(filter(None, (one.delisted_at, now - timedelta(minutes=5), span.end))))
        holes: list[Window] = []
        for month in months(wanted):
            whole = month_window(month)
            part = Window(max(whole.start, wanted.start), min(whole.end, wanted.end))
            try:
                holes += bench.lake.holes(MINUTES, one.id, part)
            except CorruptFile as error:
                unreadable.append(error.path)
                holes.append(part)
        for column, day in enumerate(days):
            expected = bars([Window(max(day, wanted.start), min(day + DAY, wanted.end))], MINUTES.grain)
            if expected > 0:
                present = subtract([Window(max(day, wanted.start), min(day + DAY, wanted.end))], holes)
                grid[row, column] = min(1.0, total(present) / (MINUTES.grain * expected))
    return grid, unreadable


def _heat_map(grid: "np.ndarray", names: list[str], days: list[datetime]) -> bytes:
    figure = _figure(width=9, height=1.2 + 0.28 * len(names))
    axes = figure.add_subplot()
    image = axes.imshow(grid, aspect="auto", vmin=0, vmax=1, cmap="RdYlGn", interpolation="nearest")
    axes.set_yticks(range(len(names)), names, fontsize=7)
    firsts = [n for n, day in enumerate(days) if day.day == 1]
    axes.set_xticks(firsts, [f"{days[n]:%Y-%m}" for n in firsts], fontsize=7)
    axes.set_title("held / expected 1m bars by day (white: none expected)", fontsize=8)
    figure.colorbar(image, ax=axes, fraction=0.02)
    return _png(figure)


def _candles(bench: Workbench, series: Series, now: datetime) -> bytes | None:
    try:
        rows = bench.lake.read(HOURS, series.id, Window(now - DAY * CANDLE_DAYS, now))
    except CorruptFile:  # the check `promises` names it, the next aggregation replaces it
        return None
    if rows.num_rows == 0:
        return None
    times, opens, highs, lows, closes = (
        rows.column(name).to_pylist() for name in ("time", "open", "high", "low", "close")
    )
    colours = ["#2a9d5c" if c >= o else "#c8423c" for o, c in zip(opens, closes, strict=True)]
    figure = _figure(width=9, height=3)
    axes = figure.add_subplot()
    axes.vlines(times, lows, highs, color=colours, linewidth=0.8)
    axes.vlines(times, opens, closes, color=colours, linewidth=3)
    axes.set_title(f"{series.id} 1h", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    return _png(figure)


def _figure(*, width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=80, layout="constrained")


def _png(figure: Any) -> bytes:
    sink = io.BytesIO()
    figure.savefig(sink, format="png")
    return sink.getvalue()


def _picture(png: bytes, text: str) -> dg.MetadataValue:
    return dg.MetadataValue.md(f"![{text}](data:image/png;base64,{base64.b64encode(png).decode()})")
