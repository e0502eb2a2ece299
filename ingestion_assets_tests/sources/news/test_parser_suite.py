"""The parser's own conformance suite: what each document says that it expects, our reading of it gives.

A document states its result in a comment, as comparisons with `and` between them; of these the ones count
that are about what we keep. They are read as syntax, nothing in them is run.
"""

from __future__ import annotations

import ast
import calendar
import re
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.sources.news.feed_document import entries
from ingestion_assets.sources.news.plain_text import plain

KEPT = {
    ("title",): "title",
    ("summary",): "summary",
    ("description",): "summary",
    ("content", 0, "value"): "content",
    ("author",): "author",
    ("link",): "link",
    ("id",): "id",
    ("guid",): "id",
    ("published_parsed",): "published",
    ("updated_parsed",): "updated",
    ("date_parsed",): "updated",
}
WORDS = {"summary", "content"}
ESCAPED = "wellformed__rss__item_description_not_a_doctype.xml"  # the suite's cleaning adds words to this one


@pytest.fixture(scope="module")
def suite(recordings: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in (recordings / "rss" / "feedparser_suite").glob("*.xml")}
    assert len(found) > 200
    return found


def expected(document: bytes) -> list[tuple[tuple[Any, ...], Any]]:
    """Path and value of each comparison in the document's comment."""
    found = re.search(r"Expect:\s*(.*?)\s*-->", document.decode("utf-8", "replace"), re.DOTALL)
    try:
        tree = ast.parse(found[1], mode="eval").body if found else None
    except SyntaxError:
        return []
    every = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    return [pair for one in every if (pair := _compared(one)) is not None]


def _compared(one: ast.AST | None) -> tuple[tuple[Any, ...], Any] | None:
    if not isinstance(one, ast.Compare) or not isinstance(one.ops[0], ast.Eq):
        return None
    place: list[Any] = []
    node = one.left
    try:
        while isinstance(node, ast.Subscript):
            place.append(ast.literal_eval(node.slice))
            node = node.value
        wanted = ast.literal_eval(one.comparators[0])
    except (ValueError, TypeError):
        return None
    return ((node.id, *reversed(place)), wanted) if isinstance(node, ast.Name) else None


def headers_of(document: bytes) -> dict[str, str]:
    told = re.findall(
        r"^\s*Header:\s*([^:]+):\s*(.+?)\s*$", document.decode("utf-8", "replace"), re.MULTILINE
    )
    return {"content-type": "application/xml"} | {name.lower(): value for name, value in told}


def test_every_document_can_be_read(suite: dict[str, bytes]):
    for name, document in suite.items():
        assert isinstance(entries(document, headers_of(document))["entries"], list), name


def read_as(name: str, document: bytes, place: tuple[Any, ...]) -> Any:
    """What we read where the suite expects something; raises KeyError where we keep nothing."""
    told = entries(document, headers_of(document))
    if place == ("version",):
        return told["kind"]
    if place == ("feed", "title"):
        return told["title"]
    if place[:2] != ("entries", 0) or not told["entries"] or name == ESCAPED:
        raise KeyError(place)
    entry, column = told["entries"][0], KEPT[place[2:]]
    return entry["content"] if column == "summary" and entry["summary"] is None else entry[column]


def alike(got: Any, wanted: Any, place: tuple[Any, ...]) -> bool:
    """Markup is kept as sent and not cleaned as the suite has it, so of it the words are compared."""
    if KEPT.get(place[2:]) in WORDS:
        return bool(plain(got) == plain(wanted))
    return bool(got == (calendar.timegm(wanted) if isinstance(wanted, tuple) else wanted.strip() or None))


def test_what_the_documents_expect_is_what_we_read(suite: dict[str, bytes]):
    compared, wrong = 0, []
    for name, document in suite.items():
        for place, wanted in expected(document):
            try:
                got = read_as(name, document, place)
            except KeyError:
                continue
            compared += 1
            if not alike(got, wanted, place):
                wrong.append((name, place, wanted, got))
    assert not wrong
    assert compared > 50
