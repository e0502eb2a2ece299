"""A story told by several: the first to know it keeps it."""

from __future__ import annotations

import pyarrow as pa

from ingestion_assets.features.stories import first_told, told_before


def items(*rows: tuple[str, str | None, int]) -> pa.Table:
    ids, stories, known = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "story": pa.array(stories, pa.string()),
            "known_at": pa.array(known, pa.int64()),
        }
    )


def test_the_first_to_know_a_story_keeps_it():
    told = {
        "a": items(("1", "x", 5), ("2", "y", 5)),
        "b": items(("3", "x", 4), ("4", None, 1), ("5", "y", 5)),
    }
    assert told_before("a", told["a"], first_told(told)).to_pylist() == ["b", None]
    assert told_before("b", told["b"], first_told(told)).to_pylist() == [None, None, "a"]


def test_a_story_told_twice_in_one_series_is_there_once():
    told = {"a": items(("1", "x", 1), ("2", "x", 2))}
    assert told_before("a", told["a"], first_told(told)).to_pylist() == [None, "a"]


def test_no_items_have_no_verdicts():
    assert told_before("a", items(), {}).to_pylist() == []
