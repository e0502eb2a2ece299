"""POST /ml/sentiment/predict: answers in order, bounds, metrics, what it says when the model is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ingestion_assets.features.sentiment import Lexicon
from ingestion_assets_tests.serving.conftest import Api, serving

PATH = "/ml/sentiment/predict"
TEXTS = ["Bitcoin soars to a record high", "Exchange hacked, funds stolen", "", "The meeting is on Monday"]


def measured(api: Api, name: str, **labels: str) -> float:
    text = api.get("/metrics").body.decode()
    wanted = "".join(f'(?=[^}}]*{key}="{re.escape(value)}")' for key, value in labels.items())
    found = re.search(rf"^{name}{{{wanted}[^}}]*}} ([0-9.e+-]+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_texts_are_judged_in_their_order_without_a_token_and_counted(api: Api) -> None:
    before = measured(api, "ml_infer_requests_total", model=Lexicon.name)
    answer = api("POST", PATH, body={"texts": TEXTS})
    assert answer.status == 200
    assert answer.json["model"] == Lexicon.name
    told = answer.json["predictions"]
    assert [one["label"] for one in told] == ["positive", "negative", "neutral", "neutral"]
    assert told[0]["score"] > 0.5 > -0.5 > told[1]["score"]
    assert told[2]["score"] == told[3]["score"] == 0
    assert measured(api, "ml_infer_requests_total", model=Lexicon.name) == before + 1
    assert measured(api, "ml_infer_duration_seconds_count", model=Lexicon.name) == before + 1


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"texts": []}, 422, "texts"),
        ({"texts": ["x"] * 257}, 422, "256"),
        ({"texts": ["x" * 10_001]}, 422, "10000"),
        ({"texts": "alone"}, 422, "texts"),
        ({"texts": [None]}, 422, "texts.0"),
        ({"texts": ["x"], "model": "other"}, 422, "model"),
        ({}, 422, "texts"),
        ({"texts": ["x" * 9_000] * 20}, 413, "KB"),
    ],
)
def test_more_or_other_than_texts_is_refused(api: Api, body: object, status: int, said: str) -> None:
    answer = api("POST", PATH, body=body)
    assert answer.status == status
    assert said in answer.detail


def test_a_model_that_cannot_be_used_is_said_so_and_counted(home: Path) -> None:
    with serving(ml_sentiment_enabled=True, sentiment_model_id="/nowhere/at/all") as api:
        answer = api("POST", PATH, body={"texts": ["x"]})
        assert answer.status == 503
        assert "ML_SENTIMENT_ENABLED" in answer.detail or "SENTIMENT_MODEL_ID" in answer.detail
        assert measured(api, "ml_infer_errors_total", model="/nowhere/at/all", type="ModelUnusable") == 1
