"""What is listed where: name, price level, tick, lot, listing and end. Facts only, no behaviour.

Listing dates follow the real venue where known, so that examples feel familiar; price levels are round.
`price_decimals + lot_decimals <= 8` always holds: quote volumes are then whole multiples of 1e-8.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

# base quote price price_decimals lot_decimals quote-per-minute listed ended
_BINANCE = """
BTC   USDT 60000    2 5 600000 2017-08-17T04:00 -
ETH   USDT 2500     2 4 300000 2017-08-17T04:00 -
BNB   USDT 400      2 3  90000 2017-11-06T03:00 -
NEO   USDT 15       2 2   4000 2017-11-20T08:00 -
LTC   USDT 90       2 3  30000 2017-12-13T03:00 -
QTUM  USDT 4        3 1   2500 2018-03-30T04:00 -
ADA   USDT 0.6      4 1  40000 2018-04-17T04:00 -
XRP   USDT 0.9      4 0 120000 2018-05-04T08:00 -
EOS   USDT 1.1      4 1   6000 2018-05-28T06:00 2025-05-28T03:00
IOTA  USDT 0.3      4 0   2600 2018-05-31T09:00 -
XLM   USDT 0.2      4 0  12000 2018-05-31T09:00 -
ONT   USDT 0.5      4 0   1800 2018-06-11T09:00 -
TRX   USDT 0.12     4 1  25000 2018-06-11T11:00 -
ETC   USDT 24       2 2  15000 2018-06-12T05:00 -
ICX   USDT 0.4      4 1   1500 2018-07-19T09:00 -
VET   USDT 0.04     5 1   7000 2018-07-25T04:00 -
LINK  USDT 14       2 2  45000 2019-01-16T10:00 -
ZEC   USDT 60       2 3   9000 2019-03-21T04:00 -
DASH  USDT 45       2 3   5000 2019-03-28T03:00 -
MATIC USDT 0.8      4 1  20000 2019-04-26T14:00 2024-09-10T03:00
ATOM  USDT 9        3 2  16000 2019-04-29T04:00 -
FTM   USDT 0.5      4 0  12000 2019-06-11T10:00 2025-01-13T03:00
ALGO  USDT 0.25     4 0   8000 2019-06-22T00:00 -
DOGE  USDT 0.12     5 0  90000 2019-07-05T12:00 -
CHZ   USDT 0.09     5 0   5000 2019-09-01T10:00 -
XTZ   USDT 1        3 1   5000 2019-09-24T04:00 -
HBAR  USDT 0.1      5 0   9000 2019-09-29T04:00 -
KAVA  USDT 0.7      4 1   2200 2019-10-25T04:00 -
BCH   USDT 350      1 3  20000 2019-11-28T10:00 -
COMP  USDT 60       2 3   4000 2020-06-25T08:00 -
SNX   USDT 2.5      3 1   4000 2020-07-09T08:00 -
MKR   USDT 1500     0 4   4000 2020-07-15T08:00 2025-09-15T03:00
MANA  USDT 0.45     4 0   5000 2020-08-06T08:00 -
SOL   USDT 120      2 3 150000 2020-08-11T06:00 -
SAND  USDT 0.45     4 0   5000 2020-08-14T06:00 -
CRV   USDT 0.6      3 1   7000 2020-08-15T07:00 -
DOT   USDT 6        3 2  22000 2020-08-18T23:00 -
LUNA  USDT 20       4 2  30000 2020-08-21T10:00 2022-05-13T01:00
EGLD  USDT 35       2 2   4000 2020-09-03T06:00 -
RUNE  USDT 4        3 1   8000 2020-09-04T06:00 -
UNI   USDT 8        3 2  18000 2020-09-17T03:00 -
AVAX  USDT 28       2 2  35000 2020-09-22T06:30 -
NEAR  USDT 4        3 1  16000 2020-10-14T04:00 -
AAVE  USDT 120      2 3  12000 2020-10-15T03:00 -
FIL   USDT 5        3 2  12000 2020-10-15T10:00 -
INJ   USDT 18       2 2  10000 2020-10-21T06:00 -
AXS   USDT 7        2 2   5000 2020-11-04T08:00 -
GRT   USDT 0.18     4 0   6000 2020-12-17T06:00 -
SHIB  USDT 0.000015 8 0  30000 2021-05-10T11:00 -
ICP   USDT 9        3 2   9000 2021-05-11T01:00 -
LDO   USDT 1.5      3 2   9000 2022-05-10T04:00 -
OP    USDT 1.8      3 2  14000 2022-06-01T08:00 -
APT   USDT 8        3 2  15000 2022-10-19T01:00 -
ARB   USDT 0.9      4 1  18000 2023-03-23T17:00 -
SUI   USDT 1.6      4 1  40000 2023-05-03T12:00 -
PEPE  USDT 0.00001  8 0  45000 2023-05-05T16:00 -
SEI   USDT 0.35     4 0  12000 2023-08-15T12:00 -
TIA   USDT 6        3 2  12000 2023-10-31T14:00 -
JUP   USDT 0.8      4 0   9000 2024-01-31T15:30 -
WIF   USDT 2        3 2  14000 2024-03-05T14:00 -
ETH   BTC  0.045    5 3      4 2017-07-14T04:00 -
BNB   BTC  0.007    6 2   0.60 2017-07-14T04:00 -
LTC   BTC  0.0015   6 2   0.20 2017-07-14T04:00 -
BTC   USDC 60000    2 5 120000 2018-12-15T03:00 -
ETH   USDC 2500     2 4  60000 2018-12-15T03:00 -
BTC   EUR  55000    2 5  30000 2020-01-03T08:00 -
"""

# pair altname wsname base quote price price_decimals lot_decimals quote-per-minute listed ended
_KRAKEN = """
XXBTZUSD XBTUSD  XBT/USD  XXBT ZUSD 60000  1 7 90000 2013-10-06T21:34 -
XETHZUSD ETHUSD  ETH/USD  XETH ZUSD 2500   2 6 40000 2015-08-07T14:03 -
XXBTZEUR XBTEUR  XBT/EUR  XXBT ZEUR 55000  1 7 50000 2013-09-10T23:47 -
XETHZEUR ETHEUR  ETH/EUR  XETH ZEUR 2300   2 6 20000 2015-08-07T14:03 -
XETHXXBT ETHXBT  ETH/XBT  XETH XXBT 0.045  5 3   0.3 2015-08-07T14:03 -
XLTCZUSD LTCUSD  LTC/USD  XLTC ZUSD 90     2 6  5000 2013-10-24T17:25 -
XXRPZUSD XRPUSD  XRP/USD  XXRP ZUSD 0.9    5 3 12000 2017-05-18T14:50 -
XXLMZUSD XLMUSD  XLM/USD  XXLM ZUSD 0.2    6 2  2000 2017-10-17T17:00 -
XETCZUSD ETCUSD  ETC/USD  XETC ZUSD 24     3 5  1500 2016-07-27T02:00 -
XZECZUSD ZECUSD  ZEC/USD  XZEC ZUSD 60     2 6  1200 2016-10-29T03:00 -
XDGUSD   XDGUSD  XDG/USD  XXDG ZUSD 0.12   6 2  7000 2021-01-28T15:00 -
SOLUSD   SOLUSD  SOL/USD  SOL  ZUSD 120    2 6 20000 2021-06-17T15:30 -
ADAUSD   ADAUSD  ADA/USD  ADA  ZUSD 0.6    6 2  6000 2018-09-28T15:50 -
DOTUSD   DOTUSD  DOT/USD  DOT  ZUSD 6      4 4  3000 2020-08-18T15:00 -
LINKUSD  LINKUSD LINK/USD LINK ZUSD 14     5 3  4000 2019-10-08T13:00 -
AVAXUSD  AVAXUSD AVAX/USD AVAX ZUSD 28     2 6  3000 2021-12-21T15:30 -
ATOMUSD  ATOMUSD ATOM/USD ATOM ZUSD 9      4 4  1500 2019-04-22T15:00 -
XBTUSDT  XBTUSDT XBT/USDT XXBT USDT 60000  1 7  9000 2019-12-19T15:00 -
ETHUSDT  ETHUSDT ETH/USDT XETH USDT 2500   2 6  1800 2019-12-19T15:00 -
"""

# base quote price price_decimals lot_decimals quote-per-minute listed ended trades-per-minute
_USDM = """
BTC  USDT 60000 1 3 900000 2019-09-25T08:00 - 240
ETH  USDT 2500  2 3 500000 2019-11-27T08:00 - 240
SOL  USDT 120   2 2 250000 2020-09-14T07:00 - 120
XRP  USDT 0.9   4 1 200000 2020-01-06T08:00 - 120
LINK USDT 14    3 2  90000 2020-01-17T08:00 - 60
DOGE USDT 0.12  5 0 150000 2020-07-10T09:00 - 60
LUNA USDT 20    4 2  60000 2021-02-10T07:00 2022-05-13T01:00 60
"""


@dataclass(frozen=True, slots=True)
class Symbol:
    """One market of one venue. Times are ms since 1970; `walk` names the price path it follows."""

    venue: str
    name: str
    base: str
    quote: str
    price: float
    price_decimals: int
    lot_decimals: int
    quote_per_minute: float
    listed_ms: int
    ended_ms: int | None
    walk: str
    altname: str = ""
    wsname: str = ""
    agg_per_minute: int = 0  # of perpetuals: aggregated trades in each minute

    @property
    def quote_scale(self) -> int:
        """What one tick times one lot is worth, in units of 1e-8 of the quote asset."""
        return 10 ** (8 - self.price_decimals - self.lot_decimals)

    @property
    def quiet(self) -> bool:
        """Thinly traded: some minutes pass without a trade and arrive flat with zero volume."""
        return self.quote_per_minute * (60000 if self.quote in ("BTC", "XXBT") else 1) < 2000


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def _walk(base: str, quote: str) -> str:
    """Dollar-like quotes share their base's path, so that venues agree; crosses have their own."""
    base = {"XXBT": "BTC", "XXDG": "DOGE"}.get(base, base[1:] if len(base) == 4 and base[0] == "X" else base)
    return base + "/BTC" if quote in ("BTC", "XXBT") else base


def _symbol(venue: str, name: str, alt: str, ws: str, facts: list[str]) -> Symbol:
    base, quote, price, price_decimals, lot_decimals, liquidity, listed, ended = facts
    end = None if ended == "-" else _ms(ended)
    decimals = (int(price_decimals), int(lot_decimals))
    level = (float(price), *decimals, float(liquidity))
    return Symbol(venue, name, base, quote, *level, _ms(listed), end, _walk(base, quote), alt, ws)


def _perpetual(facts: list[str]) -> Symbol:
    """Like the spot market of its name, whose price path it follows, with trades one by one."""
    name = facts[0] + facts[1]
    return replace(_symbol("binance_usdm", name, "", "", facts[:-1]), agg_per_minute=int(facts[-1]))


def _rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.strip().splitlines()]


BINANCE = {f[0] + f[1]: _symbol("binance", f[0] + f[1], "", "", f) for f in _rows(_BINANCE)}
KRAKEN = {f[0]: _symbol("kraken", f[0], f[1], f[2], f[3:]) for f in _rows(_KRAKEN)}
USDM = {f[0] + f[1]: _perpetual(f) for f in _rows(_USDM)}
