"""The shapes of requests and answers, as the older systems had them; OpenAPI derives from these."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Health(BaseModel):
    status: Literal["ok"]


class Part(BaseModel):
    """How one of the things we stand on is."""

    status: Literal["ok", "failed"]
    detail: str = ""


class DeepHealth(BaseModel):
    status: Literal["ok", "degraded"]
    redis: Part
    lake: Part
    catalog: Part
    dagster: Part


class FeatureRow(BaseModel):
    """One row; besides its time it has the columns of the table, see docs/catalog.md."""

    model_config = ConfigDict(extra="allow")

    ts: int = Field(description="When the bar opens, in seconds since 1970.")


class Points(BaseModel):
    series: str
    timeframe: str | None = None
    metric: str | None = None
    source: Literal["redis", "lake"] = Field(description="Where the rows came from.")
    count: int
    missing: list[int] = Field(description="Times that were asked for and are not held.")
    features: list[FeatureRow]


class Range(BaseModel):
    series: str
    timeframe: str | None = None
    metric: str | None = None
    source: Literal["redis", "lake"] = Field(description="Where the rows came from.")
    count: int
    next: int | None = Field(description="`start` of the next page; null when this was the last one.")
    features: list[FeatureRow]


class Body(BaseModel):
    """A request's body; what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, str_max_length=2_000)


class MarketIngest(Body):
    symbol: str = Field(min_length=1, max_length=128, examples=["BTC/USDT"])
    granularity: str = Field("1m", max_length=16, examples=["1m"])
    limit: int = Field(100, ge=1, le=10_000, description="So many of the newest closed bars.")


class Ingested(BaseModel):
    status: Literal["ok", "no_data"]
    path: str | None
    features_written: int
    rows: int = Field(description="Rows that the newest month holds now.")
    new_rows: int
    fetched_rows: int = Field(description="Rows that vendors gave for this call.")
    left_open: list[str] = Field(
        description="Time that was asked for and of which not everything came, at most ten stretches of a "
        "month: the next run fetches it."
    )
    run_url: str | None
    reason: str | None = Field(default=None, description="Why nobody was asked: a key is not set.")


class Started(BaseModel):
    """It takes longer than the wait limit: look at the run."""

    status: Literal["running"] = "running"
    run_id: str
    run_url: str


class OnchainIngest(Body):
    symbol: str | None = Field(None, min_length=1, max_length=64)
    metric: str | None = Field(None, min_length=1, max_length=64, pattern=r"^[a-z0-9_/]+$")
    days: int | None = Field(None, ge=1, le=3_650)
    chain_id: int | None = Field(None, ge=1)
    address: str | None = Field(None, pattern=r"^0x[0-9a-fA-F]{40}$")


class SocialIngest(Body):
    query: str = Field(min_length=1, max_length=512, description="A search of X, a subreddit of Reddit.")
    since: datetime | None = Field(None, description="An hour before `until` when not given.")
    until: datetime | None = Field(None, description="Now when not given.")
    max_results: int | None = Field(
        None,
        ge=1,
        le=500,
        description="So many of the newest posts are fetched and kept; what is older is told in `left_open`. "
        "X gives no fewer than 10, which are kept, for they are paid. All posts when not given.",
    )


class NewsIngest(Body):
    source_type: Literal["api", "rss"]
    category: str | None = Field(None, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    feed_url: str | None = Field(None, max_length=2_000)


class Backfilled(BaseModel):
    symbol: str
    timeframe: str
    exchange: str
    expected: int
    missing_before: int
    written: int


class Swept(BaseModel):
    pattern: str
    scanned: int
    ttl_set: int


class StorageCheck(BaseModel):
    status: Literal["ok", "failed"]
    domain: str
    backend: Literal["local", "s3", "gs"]
    location: str
    probe: Literal["ok", "skipped", "failed"]
    seconds: float
    detail: str = ""


class SymbolGiven(Body):
    symbol: str = Field(min_length=1, max_length=128, examples=["BTC/USDT", "AAPL"])
    exchange: str | None = Field(None, pattern=r"^[A-Za-z0-9_]{1,40}$")
    strategy: str = Field("flatpack_api", max_length=50)
    enabled: bool = True
    description: str = Field("", max_length=1_000)
    timeframes: list[str] = Field(default=["1m"], min_length=1, max_length=8)
    metadata: dict[str, Any] = Field(default_factory=dict, max_length=50)


class StatusGiven(Body):
    status: Literal["idle", "error", "disabled"]
    error_message: str | None = Field(None, max_length=2_000)

    @field_validator("status", mode="before")
    @classmethod
    def _said_by_runs(cls, value: Any) -> Any:
        """Nobody would take it back: what a run says of itself is released when the run is gone."""
        if value == "running":
            raise ValueError(
                "a run says that of itself, and POST /api/v1/registry/execute starts one: "
                "give idle, error or disabled"
            )
        return value


class SymbolShown(BaseModel):
    symbol: str
    series: str
    domain: str
    source: str
    strategy: str
    status: Literal["idle", "running", "error", "disabled"]
    enabled: bool
    timeframes: list[str]
    last_backfill: datetime | None
    last_snapshot: datetime | None
    last_stream: datetime | None
    error_message: str | None
    description: str
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class Removed(BaseModel):
    status: Literal["deleted"]
    series: str


class IngestWanted(Body):
    symbols: list[str] | None = Field(None, min_length=1, max_length=200)


class Counts(BaseModel):
    marketsIngested: int
    snapshotsIngested: int
    aggregatesIngested: int
    comparisonsIngested: int
    roiStatsIngested: int
    startedAt: datetime
    completedAt: datetime
    trigger: Literal["manual", "cron", "registry"]


class SeriesOutcome(BaseModel):
    """What became of one series; `symbol`, `strategy` and `error_message` are those of its registry row.

    A symbol of the request that stands for no series has an entry too, with the cause.
    """

    series: str | None
    symbol: str
    strategy: str | None
    status: Literal["success", "error"]
    records: int = Field(description="Rows that were fetched and are new or changed.")
    succeeded: list[str] = Field(description="Assets of which partitions were made.")
    failed: dict[str, str] = Field(
        description="Assets that were not, or not wholly, each with the cause; `the rest of the run` where "
        "that was broken off."
    )
    error_message: str | None
    run_urls: list[str]
    asked: list[str] = Field(
        default_factory=list, description="The symbols of the request that mean it: BTC-USD may be BTC-USDT."
    )


class Ingestion(BaseModel):
    status: Literal["success", "partial"] = Field(
        description="`partial`: some series failed, the others were ingested. When none was it is a 502, or "
        "a 404 when none of the symbols is one that is kept."
    )
    result: Counts
    series: list[SeriesOutcome]


class NothingIngested(BaseModel):
    """No series could be ingested; of none is told when Dagster refused the runs."""

    detail: str
    run_url: str | None = None
    series: list[SeriesOutcome] = Field(default_factory=list)


class Job(BaseModel):
    name: str
    kind: Literal["schedule", "sensor"]
    trigger: str
    running: bool
    next_run_time: datetime | None
    last_tick: datetime | None
    last_status: str | None
    last_said: str | None


class Scheduler(BaseModel):
    running: bool = Field(description="Whether anything that starts runs is switched on.")
    jobs: list[Job]


class MetricShown(BaseModel):
    type: Literal["counter", "gauge", "histogram"]
    name: str
    value: float | None
    timestamp: datetime
    labels: dict[str, str]


class Market(BaseModel):
    symbol: str
    series: str
    name: str
    baseAsset: str
    quoteAsset: str


class Newest(BaseModel):
    series: str
    what: Literal["latest", "aggregates"]
    source: Literal["cache", "lake"]
    entry: dict[str, Any] = Field(description="As it lies in the cache; `time` says when its data are from.")


class MarketRows(BaseModel):
    series: str
    table: str = Field(description="Its columns are in docs/catalog.md.")
    count: int
    rows: list[FeatureRow]
