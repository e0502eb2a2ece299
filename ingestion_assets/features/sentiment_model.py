"""A classifier of texts instead of the lexicon: from a folder, or by its id from the Hugging Face hub.

Needs the extra `ml`. Loading reads files (and downloads them once, for an id); judging is pure. Any model for
classification will do whose labels say positive and negative, with or without neutral.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ingestion_assets.features.sentiment import (
    MOST_CHARACTERS,
    NEGATIVE,
    NEUTRAL_LABEL,
    POSITIVE,
    Judge,
    Lexicon,
    Sentiment,
)

_AT_ONCE = 16
_STARTS = {"pos": POSITIVE, "neg": NEGATIVE, "neu": NEUTRAL_LABEL, "bull": POSITIVE, "bear": NEGATIVE}


class ModelUnusable(Exception):
    """The model that the settings name cannot be used; the text says why and what to do."""


class Classifier:
    def __init__(self, place: str) -> None:
        folder = Path(place).expanduser()
        self.name = folder.name if folder.is_dir() else place
        self._pipeline = _loaded(place, folder)
        # Some tokenizers do not know how much their model can read.
        reads = getattr(self._pipeline.model.config, "max_position_embeddings", None) or 512
        self._longest = min(reads, self._pipeline.tokenizer.model_max_length)
        labels = [str(label) for label in self._pipeline.model.config.id2label.values()]
        self._meaning = {label: meant for label in labels if (meant := _meant(label))}
        if not {POSITIVE, NEGATIVE} <= set(self._meaning.values()):
            raise ModelUnusable(
                f"SENTIMENT_MODEL_ID={place!r}: its labels are {', '.join(labels)}: use a model whose labels "
                "say positive and negative"
            )

    def judge(self, texts: Sequence[str]) -> list[Sentiment]:
        if not texts:
            return []
        cut = [text[:MOST_CHARACTERS] for text in texts]
        told = self._pipeline(cut, top_k=None, truncation=True, max_length=self._longest, batch_size=_AT_ONCE)
        return [self._read(one) for one in told]

    def _read(self, told: Sequence[dict[str, Any]]) -> Sentiment:
        """The likeliest label; the score is how much likelier good is than bad."""
        likely: dict[str, float] = {}
        for one in told:
            meaning = self._meaning.get(one["label"], NEUTRAL_LABEL)
            likely[meaning] = likely.get(meaning, 0.0) + float(one["score"])
        score = likely.get(POSITIVE, 0.0) - likely.get(NEGATIVE, 0.0)
        return Sentiment(max(likely, key=lambda label: likely[label]), max(-1.0, min(1.0, score)))


@lru_cache(maxsize=4)
def judge(model: str | None) -> Judge:
    """The lexicon, or the model that is named; loaded once in a process."""
    return Lexicon() if model is None else Classifier(model)


def _loaded(place: str, folder: Path) -> Any:
    try:
        from transformers import pipeline
    except ImportError as error:
        raise ModelUnusable(
            f"ML_SENTIMENT_ENABLED needs transformers and torch ({error}): "
            'pip install "ingestion-assets[ml]", or set it to false for the lexicon'
        ) from None
    if not folder.is_dir() and (place.startswith((".", "/", "~")) or place.count("/") > 1):
        raise ModelUnusable(f"SENTIMENT_MODEL_ID={place!r}: there is no such folder")
    name = str(folder) if folder.is_dir() else place
    try:
        return pipeline("text-classification", model=name, tokenizer=name, framework="pt", device=-1)
    except Exception as error:  # noqa: BLE001 the library raises whatever its parts raise
        said = " ".join(str(error).split())[:300]
        raise ModelUnusable(
            f"SENTIMENT_MODEL_ID={place!r} cannot be loaded ({type(error).__name__}: {said}): "
            "name a folder with a model for text classification, or the id of one that can be downloaded"
        ) from None


def _meant(label: str) -> str | None:
    return next((meaning for start, meaning in _STARTS.items() if label.lower().startswith(start)), None)
