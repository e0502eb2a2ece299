"""How texts sound, on request: by the lexicon, or by the model that the settings name."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.exceptions import HTTPException

from ingestion_assets.features.sentiment_model import ModelUnusable
from ingestion_assets.serving.context import Context, Given
from ingestion_assets.serving.problems import Problem

MOST_TEXTS, LONGEST_TEXT = 256, 10_000
router = APIRouter(prefix="/ml/sentiment", tags=["ml"])


class Texts(BaseModel):
    model_config = ConfigDict(extra="forbid")

    texts: list[Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]] = Field(
        min_length=1, max_length=MOST_TEXTS
    )


class Judged(BaseModel):
    label: str = Field(description="negative, neutral or positive.")
    score: float = Field(ge=-1, le=1, description="From -1 (as bad as can be) over 0 to 1 (as good).")


class Verdicts(BaseModel):
    model: str
    predictions: list[Judged] = Field(description="One for each text, in the order of the texts.")


@router.post("/predict", response_model=Verdicts, responses={503: {"model": Problem}})
async def predict(given: Given, wanted: Texts) -> Verdicts:
    """Changes nothing, so it needs no token."""
    try:
        name, judged = await given.metrics.inference.judged(_model(given), wanted.texts)
    except ModelUnusable as error:
        raise HTTPException(503, str(error)) from None
    return Verdicts(model=name, predictions=[Judged(label=one.label, score=one.score) for one in judged])


def _model(given: Context) -> str | None:
    settings = given.settings
    return settings.sentiment_model_id if settings.ml_sentiment_enabled else None
