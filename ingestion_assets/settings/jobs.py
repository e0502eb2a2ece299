"""What an entry of MARKET_JOBS or MARKET_INGEST_JOBS may hold."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_settings import NoDecode

from ingestion_assets.intervals import TIMEFRAMES
from ingestion_assets.registry import series_id
from ingestion_assets.settings.values import Cron, Timeframe, from_json


class MarketJob(BaseModel):
    """A market, a timeframe, a rhythm, a reach."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    exchange: str
    symbol: str
    timeframe: Timeframe = "1m"
    cron: Cron
    lookback_minutes: int | None = Field(default=None, gt=0)
    limit: int | None = Field(default=None, gt=0)

    @property
    def series(self) -> str:
        return series_id(self.exchange, self.symbol)

    def window_minutes(self, default: int) -> int:
        if self.limit is not None:
            return int(self.limit * TIMEFRAMES[self.timeframe].total_seconds() // 60)
        return self.lookback_minutes or default


def _jobs(value: Any) -> Any:
    entries = from_json(value, list, "a list of objects")
    if entries is value:
        return value
    return tuple(_job(number, entry) for number, entry in enumerate(entries, start=1))


def _job(number: int, entry: Any) -> MarketJob:
    try:
        job = MarketJob.model_validate(entry)
        _ = job.series
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'entry'}: {e['msg']}" for e in error.errors())
        raise ValueError(f"entry {number} ({json.dumps(entry)}): {problems}") from None
    except ValueError as error:
        raise ValueError(f"entry {number} ({json.dumps(entry)}): {error}") from None
    return job


MarketJobs = Annotated[tuple[MarketJob, ...], NoDecode, BeforeValidator(_jobs)]
