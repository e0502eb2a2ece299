"""The address vendor GoldRush (Covalent): balances and transactions of any address on a few chains.

Every address has sent something every forty minutes or so since 2024. Pages of 100 are numbered
from the oldest on, each newest first; without a number the youngest is given. Any key is taken but one
that begins with `wrong`.
"""

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ingestion_assets.simulator import noise
from ingestion_assets.simulator.answers import Answer, Market, as_json

Query = Mapping[str, str]
CHAINS = {"eth-mainnet": 1, "matic-mainnet": 137, "moonbeam-moonbase-alpha": 1287}
AT_ONCE = 100
FIRST_MS, GAP_MS = 1_704_067_200_000, 40 * 60_000
COINS = (("ETH", "Ether", 18), ("USDC", "USD Coin", 6), ("HUGE", "Not worth much", 0))
_PATH = re.compile(r"/v1/([^/]+)/address/(0x[0-9a-fA-F]{40})/(balances_v2|transactions_v3)/(?:page/(\d+)/)?")


class Covalent:
    name = "covalent"
    prefix = ("/v1/chains/", *(f"/v1/{name}/" for name in (*CHAINS, *map(str, CHAINS.values()))))

    def __init__(self, market: Market) -> None:
        self.market = market
        self._host = "api.covalenthq.com"

    def meet(self, query: Query, headers: Mapping[str, str]) -> Answer | None:
        self._host = headers.get("Host", self._host)
        kind, _, text = headers.get("Authorization", "").partition(" ")
        key = base64.b64decode(text).decode().rstrip(":") if kind == "Basic" else text or query.get("key", "")
        return _refused(401, "No valid API key was provided.") if not key or key.startswith("wrong") else None

    def too_many(self, seconds: int) -> Answer:
        return _refused(429, "Too many requests: the rate limit of your plan is reached.")

    def answer(self, path: str, query: Query) -> tuple[Answer, int]:
        if path == "/v1/chains/":
            chains = [{"name": name, "chain_id": str(number)} for name, number in CHAINS.items()]
            return self._told({"items": chains}), 0
        found = _PATH.fullmatch(path)
        if found is None:
            return _refused(404, "Malformed address or unknown path."), 0
        numbers = {str(number): name for name, number in CHAINS.items()}
        chain, address, what, page = numbers.get(found[1], found[1]), found[2].lower(), found[3], found[4]
        about = {"address": address, "chain_id": CHAINS[chain], "chain_name": chain, "quote_currency": "USD"}
        about["updated_at"] = _iso(self.market.clock.now_ms(), "000123")
        if what == "balances_v2":
            return self._told(about | {"items": self._balances(chain, address), "pagination": None}), 0
        return self._told(about | self._transactions(chain, address, page)), 0

    def _balances(self, chain: str, address: str) -> list[dict[str, Any]]:
        day = self.market.clock.now_ms() // 86_400_000
        items = []
        for symbol, name, decimals in COINS:
            key = noise.key("balance", self.market.world.seed, chain, address, symbol)
            many = int(noise.bits(key, day, 1)[0])
            amount = many << 190 if symbol == "HUGE" else many
            rate = {"ETH": 3000.0, "USDC": 1.0}.get(symbol)
            items.append(
                {
                    "contract_decimals": decimals,
                    "contract_name": name,
                    "contract_ticker_symbol": symbol,
                    "contract_address": f"0x{key:040x}",
                    "supports_erc": ["erc20"],
                    "balance": str(amount),
                    "quote_rate": rate,
                    "quote": 0 if rate is None else amount / 10**decimals * rate,
                }
            )
        return items

    def _transactions(self, chain: str, address: str, asked: str | None) -> dict[str, Any]:
        key = noise.key("transactions", self.market.world.seed, chain, address)
        now = self.market.clock.now_ms()
        total = max(0, (now - FIRST_MS) // GAP_MS)  # those whose time has come for certain
        youngest = max(0, total - 1) // AT_ONCE
        page = youngest if asked is None else int(asked)
        numbers = range(page * AT_ONCE, min(total, (page + 1) * AT_ONCE))
        items = [self._sent(key, address, n) for n in reversed(numbers)]
        root = f"https://{self._host}/v1/{chain}/address/{address}/transactions_v3/page"
        links = {
            "prev": f"{root}/{page - 1}/" if page else None,
            "next": f"{root}/{page + 1}/" if page < youngest else None,
        }
        return {"current_page": page, "links": links, "items": items}

    def _sent(self, key: int, address: str, number: int) -> dict[str, Any]:
        drawn = int(noise.bits(key, number, 1)[0])
        at = FIRST_MS + number * GAP_MS + drawn % GAP_MS // 1_000 * 1_000
        spent, price = 21_000 + drawn % 100_000, 10**9 + drawn % 10**9
        return {
            "block_signed_at": _iso(at),
            "block_height": at // 12_000,
            "tx_hash": f"0x{noise.key(key, number):064x}",
            "tx_offset": drawn % 200,
            "successful": drawn % 50 != 0,
            "from_address": address,
            "to_address": None if drawn % 40 == 0 else f"0x{noise.key('to', drawn):040x}",
            "value": str(drawn * 1_000),
            "value_quote": None,
            "fees_paid": str(spent * price),
            "gas_offered": spent * 2,
            "gas_spent": spent,
            "gas_price": price,
            "gas_quote": None,
            "gas_quote_rate": None,
        }

    def _told(self, data: dict[str, Any]) -> Answer:
        return as_json({"data": data, "error": False, "error_message": None, "error_code": None})


def _refused(status: int, words: str) -> Answer:
    return as_json({"data": None, "error": True, "error_message": words, "error_code": status}, status)


def _iso(ms: int, beyond: str = "") -> str:
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}" + (f".{ms % 1000:03}{beyond}" if beyond else "") + "Z"
