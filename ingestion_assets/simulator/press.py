"""What the simulated papers write: an article every few minutes, the same for every vendor that shows it."""

from dataclasses import dataclass

from ingestion_assets.simulator import noise
from ingestion_assets.simulator.world import World

EVERY_MS = 1_200_000
PAPERS = {"herald": "Coin Herald", "ledger": "The Ledger Daily", "signal": "Market Signal"}
COINS = ("Bitcoin", "Ether", "Solana")
_EVENTS = (
    ("{} soars as ETF inflows surge", "Buyers returned in numbers, and the rally took {} to a new high."),
    ("{} slides after exchange outage", "Trading halted for an hour, and {} fell with the volume."),
    ("What the next {} upgrade changes", "Developers of {} explain what operators have to do by spring."),
    ("{} miner files for bankruptcy", "The firm could not pay its debts after {} crashed last month."),
    ("Bank opens {} custody to clients", "Clients may hold {} from Monday on, the bank said."),
    ("Regulator warns of {} fraud", "Investors in {} lost millions to a scam, the regulator said."),
)


@dataclass(frozen=True)
class Article:
    number: int
    at_ms: int
    paper: str
    title: str
    lead: str
    body: str

    @property
    def url(self) -> str:
        return f"https://{self.paper}.example/articles/{self.number}"


class Press:
    def __init__(self, world: World) -> None:
        self._key = noise.key(world.seed, "press")

    def written(self, start_ms: int, end_ms: int) -> list[Article]:
        """The articles published in [start, end), oldest first."""
        first, end = start_ms // EVERY_MS - 1, end_ms // EVERY_MS + 1
        count = max(0, end - first)
        every = [
            self._article(first + place, int(bits))
            for place, bits in enumerate(noise.bits(self._key, first, count))
        ]
        return [one for one in every if start_ms <= one.at_ms < end_ms]

    def _article(self, number: int, bits: int) -> Article:
        title, lead = _EVENTS[bits % len(_EVENTS)]
        coin = COINS[(bits >> 8) % len(COINS)]
        seconds = (bits >> 16) % (EVERY_MS // 1_000)
        paper = tuple(PAPERS)[(bits >> 32) % len(PAPERS)]
        text = lead.format(coin)
        return Article(
            number=number,
            at_ms=number * EVERY_MS + seconds * 1_000,
            paper=paper,
            title=title.format(coin),
            lead=text,
            body=f"<p>{text}</p><p>Article {number} of a world that is made up &amp; always the same.</p>",
        )
