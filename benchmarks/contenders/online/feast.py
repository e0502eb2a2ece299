"""Feast's Redis online store; runs in an interpreter of its own, where `feast[redis]` is installed."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64

from benchmarks.contenders.online import LIFE, Work, run


class Feast:
    def __init__(self, url: str, work: Work) -> None:
        folder = Path(tempfile.mkdtemp(prefix="feast-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        parts = urlsplit(url)
        config = RepoConfig(
            project="bench",
            provider="local",
            registry=str(folder / "registry.db"),
            online_store={
                "type": "redis",
                "connection_string": f"{parts.hostname}:{parts.port}",
                "key_ttl_seconds": LIFE,
            },
            offline_store={"type": "file"},
            entity_key_serialization_version=3,
        )
        self.store = FeatureStore(config=config)
        when = pd.to_datetime(work.known_at, unit="s", utc=True)
        self.frame = pd.DataFrame({"moment": work.times, "event_timestamp": when, **work.columns})
        source = folder / "rows.parquet"
        self.frame.head(1).to_parquet(source)
        moment = Entity(name="moment", join_keys=["moment"], value_type=ValueType.INT64)
        view = FeatureView(
            name="btc",
            entities=[moment],
            ttl=timedelta(seconds=LIFE),
            schema=[Field(name=name, dtype=Float64) for name in work.columns],
            source=FileSource(path=str(source), timestamp_field="event_timestamp"),
        )
        self.store.apply([moment, view])
        self.features = [f"btc:{name}" for name in work.columns]
        self.several([0])

    def write(self) -> None:
        self.store.write_to_online_store("btc", df=self.frame)

    def point(self, moment: int) -> Any:
        return self.several([moment])

    def several(self, moments: list[int]) -> Any:
        rows = [{"moment": moment} for moment in moments]
        return self.store.get_online_features(self.features, rows).to_dict()

    def stretch(self, start: int, end: int) -> Any:
        return self.several(list(range(start, end + 1, 60)))

    def close_of(self, answer: Any, position: int) -> float:
        return answer["close"][position]  # type: ignore[no-any-return]


if __name__ == "__main__":
    run(Feast)
