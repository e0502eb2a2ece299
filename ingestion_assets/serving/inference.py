"""Judging texts beside the event loop, so many at a time, and what that costs, for Prometheus."""

from __future__ import annotations

import time

from anyio import CapacityLimiter, to_thread
from prometheus_client import CollectorRegistry, Counter, Histogram

from ingestion_assets.features.sentiment import Judge, Lexicon, Sentiment
from ingestion_assets.features.sentiment_model import judge

_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 30)


class Inference:
    """What judging costs and how it ends, counted; so many at a time."""

    def __init__(self, registry: CollectorRegistry, workers: int) -> None:
        self.limiter = CapacityLimiter(workers)
        self.requests = Counter("ml_infer_requests_total", "Requests.", ["model"], registry=registry)
        self.seconds = Histogram(
            "ml_infer_duration_seconds",
            "How long judging took.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.errors = Counter(
            "ml_infer_errors_total", "Requests that failed.", ["model", "type"], registry=registry
        )

    async def judged(self, model: str | None, texts: list[str]) -> tuple[str, list[Sentiment]]:
        """Who judged, and how; beside the event loop, for it takes the processor."""
        name = model or Lexicon.name
        self.requests.labels(name).inc()
        began = time.perf_counter()
        try:
            return await to_thread.run_sync(_work, model, texts, limiter=self.limiter)
        except Exception as error:
            self.errors.labels(name, type(error).__name__).inc()
            raise
        finally:
            self.seconds.labels(name).observe(time.perf_counter() - began)


def _work(model: str | None, texts: list[str]) -> tuple[str, list[Sentiment]]:
    chosen: Judge = judge(model)
    return chosen.name, chosen.judge(texts)
