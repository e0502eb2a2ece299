"""Words out of HTML: ordinary markup as the standard library reads it, odd markup to its end, in time."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.sources.news.plain_text import MOST_MARKUP, all_said, plain

UNSEEN, BLOCKS, INLINE = (
    ("svg", "iframe", "noscript"),
    ("p", "div", "li", "h2", "td"),
    ("b", "em", "span", "a"),
)


class Reference(HTMLParser):
    """A slow reader of the same kind, for markup that is in order."""

    def __init__(self) -> None:
        super().__init__()
        self.said, self.hidden = "", 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in (*UNSEEN, "script", "style"):
            self.hidden += 1
        elif tag not in INLINE:
            self.said += " "

    def handle_endtag(self, tag: str) -> None:
        if tag in (*UNSEEN, "script", "style"):
            self.hidden -= 1
        elif tag not in INLINE:
            self.said += " "

    def handle_data(self, data: str) -> None:
        self.said += "" if self.hidden else data


def read_by_reference(markup: str) -> str:
    reader = Reference()
    reader.feed(markup)
    reader.close()
    return " ".join(reader.said.split())


words = st.text(alphabet="ab é😀\n.>;#1", max_size=12)
written = st.sampled_from(
    [
        *("&nbsp;", "&#8217;", "&#x201C;", "AT&T", "&copy 2020", "&lt;b&gt;", "3 < 4", "&#0;", "I <3 you"),
        *(
            "<br>",
            "<br/>",
            "<br />",
            '<img src="a" alt="1 > 2">',
            "<img src='/x' alt='<p>'/>",
            "<hr class=x>",
        ),
        *("<!-- a <b> -- c -->", "<!DOCTYPE html>", "<?xml version='1.0'?>", "<!--[if mso]> x <![endif]-->"),
        *("<script>if (a<b) { x('</p>') }</script>", "<style>p > a {}</style>", "<![CDATA[ a > b ]]>"),
    ]
)
attributes = st.sampled_from(
    [
        "",
        ' class="x"',
        " data-x=1 hidden",
        ' title="a > b"',
        " href = '/?a=1&amp;b=2'",
        "\n id=q",
        ' x="a"y="b"',
    ]
)
markup = st.recursive(
    words | written,
    lambda inner: st.tuples(
        st.sampled_from((*BLOCKS, *INLINE, *UNSEEN)), attributes, st.lists(inner, max_size=4).map("".join)
    ).map(lambda made: f"<{made[0]}{made[1]}>{made[2]}</{made[0].upper()}>"),
    max_leaves=12,
)


@given(st.lists(markup, max_size=4).map("".join))
def test_ordinary_markup_says_what_the_standard_librarys_parser_reads_from_it(text: str):
    assert plain(text) == read_by_reference(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("see <![mso]> here", "see here"),
        ("code: if (a<![0])", "code: if (a<![0])"),
        ("if a <b and c", "if a <b and c"),
        ("a <!-- left open <i>b</i>", "a <!-- left open b"),
        ('<a title="never ends <p>words</p>', "words"),
        ("one <script>two", "one"),
        ("one </script> two", "one two"),
        ("big &#" + "9" * 5_000 + "; and &#x" + "f" * 5_000 + "; and &#0000000065;", "big � and � and A"),
        ("<", "<"),
        ("</", "</"),
        ("<>", "<>"),
        ("", ""),
    ],
)
def test_odd_markup_costs_no_more_than_itself(text: str, said: str):
    assert plain(text) == said


@pytest.mark.timeout(60)
@pytest.mark.parametrize("ending", ["", ">", "'\"--]]>"])
@pytest.mark.parametrize(
    "sign",
    [
        *("<", "<a ", "<a/", "</a", "<a b=\"", "<a b='", "<a b=\"x\" ", "<a = ", "<![", "<!a", "<!--", "-- "),
        *("<?", "&", "&#", "&#9", "<p>", "<svg>", "<script>", "</script ", "<![CDATA[", "]]>", "<!-->"),
    ],
)  # fmt: skip
def test_one_thing_repeated_without_end_is_read_in_time(sign: str, ending: str):
    """What looks ahead for an end each time would take hours for these."""
    assert isinstance(plain(sign * (MOST_MARKUP // len(sign)) + ending), str)


@pytest.mark.timeout(60)
def test_tags_that_are_closed_in_no_order_are_read_in_time():
    assert plain("a" + "<svg>" * 80_000 + "</head>" * 80_000) == "a"


def test_of_a_very_long_text_the_beginning_is_read():
    assert plain("a &amp; b" + " <b>c" * MOST_MARKUP).startswith("a & b c c c")
    assert len(plain("<b>" + "x" * 3 * MOST_MARKUP)) == MOST_MARKUP - 3


def test_of_a_summary_that_begins_the_content_only_the_content_is_said():
    assert all_said("<b>T</b>", "One <i>two</i> …", "<p>One two three</p>") == "T\nOne two three"
