"""RSS feeds of the simulated papers at /feeds/<paper>.xml: the last articles, newest first."""

from collections.abc import Mapping
from email.utils import formatdate
from xml.sax.saxutils import escape

from ingestion_assets.simulator.answers import HTML, Answer, Market
from ingestion_assets.simulator.press import EVERY_MS, PAPERS, Article, Press

HELD = 30


class Feeds:
    prefix = "/feeds/"

    def __init__(self, market: Market, press: Press) -> None:
        self.market, self.press = market, press

    def answer(self, path: str, query: Mapping[str, str]) -> tuple[Answer, int]:
        paper = path.removeprefix(self.prefix).removesuffix(".xml")
        if paper not in PAPERS:
            return Answer(404, b"<html><body>no such feed</body></html>", HTML), 0
        now = self.market.clock.now_ms()
        every = self.press.written(now - HELD * len(PAPERS) * 3 * EVERY_MS, now)
        items = [_item(one) for one in every if one.paper == paper][-HELD:][::-1]
        head = f'<?xml version="1.0"?><rss version="2.0"><channel><title>{PAPERS[paper]}</title>'
        link = f"<link>https://{paper}.example</link><description>Made up.</description>"
        body = head + link + "".join(items) + "</channel></rss>"
        return Answer(200, body.encode(), "application/rss+xml; charset=utf-8"), 0


def _item(article: Article) -> str:
    return (
        f"<item><title>{escape(article.title)}</title><link>{article.url}?utm_source=rss</link>"
        f'<guid isPermaLink="false">{article.paper}-{article.number}</guid>'
        f"<pubDate>{formatdate(article.at_ms / 1_000, usegmt=True)}</pubDate>"
        f"<description>{escape(article.body)}</description></item>"
    )
