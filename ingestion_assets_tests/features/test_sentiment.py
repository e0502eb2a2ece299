"""How texts sound: what traders write, bounds for any text, against people's labels, and a real model."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.features.sentiment import LABELS, Lexicon, Sentiment, sentiment_columns
from ingestion_assets.features.sentiment_lexicon import NEUTRAL, WORDS
from ingestion_assets.features.sentiment_model import Classifier, ModelUnusable, judge


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Bitcoin soars to record high as ETF inflows surge", "positive"),
        ("BTC 🚀🚀🚀", "positive"),
        ("Ether rallies", "positive"),
        ("not bullish at all", "negative"),
        ("Exchange hacked, $200M stolen", "negative"),
        ("Lender files for bankruptcy", "negative"),
        ("Token plunges 40% 📉", "negative"),
        ("Shares of the exchange, a security in the interest of the trust", "neutral"),
        ("", "neutral"),
        ("   ", "neutral"),
    ],
)
def test_words_of_the_market_count(text: str, label: str) -> None:
    (one,) = Lexicon().judge([text])
    assert one.label == label


def test_emphasis_and_negation_count() -> None:
    plain, loud, negated = Lexicon().judge(
        ["it is bullish", "it is EXTREMELY BULLISH!!!", "it is not bullish"]
    )
    assert loud.score > plain.score > 0 > negated.score


@given(st.lists(st.text(max_size=200), max_size=5))
def test_any_text_has_a_label_and_a_score_that_fit_each_other(texts: list[str]) -> None:
    judged = Lexicon().judge(texts)
    assert len(judged) == len(texts)
    assert judged == Lexicon().judge(texts)
    for one in judged:
        assert one.label in LABELS
        assert -1 <= one.score <= 1
        assert (one.score > 0) == (one.label == "positive") or one.label == "neutral"


def test_a_text_without_end_takes_no_time_without_end() -> None:
    (one,) = Lexicon().judge(["soars " * 2_000_000])
    assert one.label == "positive"


def test_columns_say_who_judged() -> None:
    columns = sentiment_columns(["1", "2"], ["soars", "crash"], Lexicon())
    assert columns["sentiment_label"].to_pylist() == ["positive", "negative"]
    assert columns["sentiment_model"].to_pylist() == [Lexicon.name] * 2


class Clerk:
    """The lexicon under another name, with a list of what it was asked."""

    def __init__(self, name: str) -> None:
        self.name, self.asked = name, list[str]()

    def judge(self, texts: Sequence[str]) -> list[Sentiment]:
        self.asked += texts
        return Lexicon().judge(texts)


_TEXTS = st.dictionaries(
    st.sampled_from("abcdef"), st.sampled_from(["soars", "crash", "", "Soars", "as ever"])
)


@given(st.lists(st.tuples(_TEXTS, st.sampled_from(["one", "other"])), max_size=5))
def test_only_what_is_new_or_changed_is_judged_and_the_outcome_is_that_of_judging_all(
    states: list[tuple[dict[str, str], str]],
) -> None:
    held, before, model_before = None, dict[str, str](), ""
    for texts, model in states:
        clerk = Clerk(model)
        ids = sorted(texts)
        words = [texts[one] for one in ids]
        columns = sentiment_columns(ids, words, clerk, held)
        assert columns == sentiment_columns(ids, words, Clerk(model))
        same = {one for one in ids if model == model_before and before.get(one) == texts[one]}
        assert clerk.asked == [texts[one] for one in ids if one not in same]
        held = pa.table({"id": pa.array(ids, pa.string()), **columns})
        before, model_before = texts, model


def test_no_word_is_in_both_lists_and_none_is_beyond_the_scale() -> None:
    assert not NEUTRAL & WORDS.keys()
    assert all(-4 <= value <= 4 for value in WORDS.values())
    assert all(word == word.lower() for word in WORDS)


def test_headlines_are_judged_better_than_without_our_words(recordings: Path) -> None:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    with (recordings / "sentiment" / "cryptolin_dev.csv").open() as file:
        rows = list(csv.DictReader(file))
    wanted = [{"1": "positive", "0": "neutral", "-1": "negative"}[row["label"]] for row in rows]
    bare = SentimentIntensityAnalyzer()

    def without(text: str) -> str:
        score = bare.polarity_scores(text)["compound"]
        return "positive" if score >= 0.05 else "negative" if score <= -0.05 else "neutral"

    ours = [one.label for one in Lexicon().judge([row["text"] for row in rows])]
    right = sum(a == b for a, b in zip(ours, wanted, strict=True)) / len(rows)
    right_without = sum(without(row["text"]) == b for row, b in zip(rows, wanted, strict=True)) / len(rows)
    assert right > 0.58
    assert right > right_without + 0.1


def _tiny(folder: Path, labels: dict[int, str]) -> Path:
    """A model of a few numbers, with its vocabulary, as a download would lie there."""
    pytest.importorskip("torch", reason="the extra `ml` is not installed: no model can be run")
    transformers = pytest.importorskip(
        "transformers", reason="the extra `ml` is not installed: no model can be run"
    )
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "news"]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=64,
        num_labels=len(labels),
        id2label=labels,
        label2id={label: number for number, label in labels.items()},
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("labels", [("NEGATIVE", "POSITIVE"), ("positive", "negative", "neutral")])
def test_a_model_is_loaded_from_a_folder_and_judges(tmp_path: Path, labels: tuple[str, ...]) -> None:
    folder = _tiny(tmp_path / "tiny-model", dict(enumerate(labels)))
    model = judge(str(folder))
    told = model.judge(["good news", "bad news", "", "good " * 500])
    assert model.name == "tiny-model"
    assert len(told) == 4
    for one in told:
        assert one.label in LABELS
        assert -1 <= one.score <= 1
        if len(labels) == 2:
            assert one.label == ("positive" if one.score > 0 else "negative")
    assert model.judge([]) == []
    (again,) = model.judge(["good news"])
    assert again.score == pytest.approx(told[0].score, abs=1e-5)


def test_a_model_with_other_labels_is_refused(tmp_path: Path) -> None:
    folder = _tiny(tmp_path / "stars", {0: "1 star", 1: "5 stars"})
    with pytest.raises(ModelUnusable, match="1 star, 5 stars"):
        Classifier(str(folder))


def test_a_model_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=r"SENTIMENT_MODEL_ID|ML_SENTIMENT_ENABLED"):
        judge(str(tmp_path / "nothing"))
