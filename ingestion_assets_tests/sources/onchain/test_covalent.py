"""GoldRush (Covalent): recorded answers, exact numbers, the way to older pages, errors in both spellings."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.registry import Series
from ingestion_assets.sources.errors import (
    AuthError,
    MalformedAnswer,
    NotFound,
    QuotaSpent,
    RateLimited,
    VendorDown,
)
from ingestion_assets.sources.onchain.covalent import Covalent
from ingestion_assets.sources.onchain.covalent_rows import data_of, moment_of, normalise_balances
from ingestion_assets.tables.onchain import BALANCES, TRANSACTIONS
from ingestion_assets_tests.sources.derivatives.asking import ask, at, covered, rows_of, window
from ingestion_assets_tests.sources.interrupted import gone_on
from ingestion_assets_tests.sources.replay import Reply

ADDRESS = "0x569be8d8b04538318e1722f6e375fd381d2da865"
SERIES = Series(f"covalent.1287.{ADDRESS}", "onchain", "covalent", f"1287:{ADDRESS}")
ROOT = f"/v1/1287/address/{ADDRESS}"
HELD, SENT = f"{ROOT}/balances_v2/", f"{ROOT}/transactions_v3/"
DAY = window("2024-10-09", "2024-10-10")
MOST = 2**256 - 1


def answer(items: list[dict], **more: object) -> dict:
    data = {"address": ADDRESS, "updated_at": "2024-10-09T01:37:36.277434751Z", "items": items, **more}
    return {"data": data, "error": False, "error_message": None, "error_code": None}


def sent(number: int, minute: int, **more: object) -> dict:
    return {
        "block_signed_at": f"2024-10-09T{minute // 60:02}:{minute % 60:02}:00Z",
        "block_height": number,
        "tx_hash": f"0x{number:064x}",
        "from_address": ADDRESS,
        "to_address": None,
        "value": "0",
        "fees_paid": "1",
        "gas_offered": 2,
        "gas_spent": 1,
        "gas_price": 1,
        **more,
    }


def paged(items: list[dict]) -> dict:
    """Pages numbered from the oldest on, each newest first; the youngest is given without a number too."""
    oldest_first = items[::-1]
    pages = [oldest_first[n : n + 100][::-1] for n in range(0, len(items), 100)]
    told = [answer(page, current_page=n) for n, page in enumerate(pages)]
    return {f"{SENT}page/{n}/": one for n, one in enumerate(told)} | {SENT: told[-1]}


def test_recorded_balances_give_what_is_held_exactly(recordings):
    (file,) = (recordings / "covalent").glob("balances*.body.json")
    pages, asked = ask(Covalent, BALANCES, {HELD: file.read_bytes()}, DAY, SERIES, api_key="hunter2")
    rows = {row["symbol"]: row for row in rows_of(BALANCES, pages).to_pylist()}
    assert len(rows) == 2
    assert rows["DEV"]["balance"] == "88335963638628211482"
    assert rows["DEV"]["amount"] == pytest.approx(88.335963638628211482)
    assert (rows["DEV"]["quote_rate"], rows["MN21"]["quote_rate"]) == (0.0, None)
    assert rows["MN21"]["measured_at"] == at("2024-10-08T23:34:58.401269")
    assert rows["MN21"]["time"] == DAY.start
    assert asked[0].headers["Authorization"] == "Bearer hunter2"
    assert covered(pages) == [DAY]


def test_recorded_transactions_give_what_was_sent(recordings):
    (file,) = (recordings / "covalent").glob("transactions*.body.json")
    part = window("2021-06-01", "2021-07-01")
    pages, asked = ask(Covalent, TRANSACTIONS, {SENT: file.read_bytes()}, part, SERIES)
    rows = TRANSACTIONS.in_order(rows_of(TRANSACTIONS, pages)).to_pylist()
    assert [row["block"] for row in rows] == [93134, 93135]
    assert rows[0]["time"] == at("2021-06-08T18:21:48")
    assert rows[1]["hash"] == "0x802eab122522f1ae23b911e8045d9de128acaa5c790d5df0c389240f23b7e17d"
    assert [row["to_address"] for row in rows] == [None, None]
    assert [int(row["fees_paid"]) for row in rows] == [r["gas_spent"] * int(r["gas_price"]) for r in rows]
    assert rows[0]["gas_quote"] is None
    assert len(asked) == 1
    assert (covered(pages)[-1].start, covered(pages)[0].end) == (part.start, part.end)


@given(st.integers(min_value=0, max_value=MOST), st.booleans())
def test_no_number_is_rounded(number, quoted):
    text = f'"{number}"' if quoted else str(number)
    item = '{"contract_address":"0xA","balance":' + text + "}"
    body = '{"data":{"updated_at":"2024-10-09T01:37:36Z","items":[' + item + "]}}"
    rows = normalise_balances(data_of(body.encode()), DAY.start, DAY.end, "rest")
    assert int(rows.column("balance")[0].as_py()) == number
    assert BALANCES.examine(rows)[1].num_rows == 0


def test_a_number_that_was_rounded_is_refused():
    item = {"contract_address": "0xa", "balance": 1e20}
    with pytest.raises(MalformedAnswer, match="no exact whole number"):
        ask(Covalent, BALANCES, {HELD: answer([item])}, DAY, SERIES)


def test_pages_are_followed_from_the_youngest_to_the_oldest():
    items = [sent(n, n) for n in reversed(range(250))]
    pages, asked = ask(Covalent, TRANSACTIONS, paged(items), DAY, SERIES)
    rows = TRANSACTIONS.in_order(rows_of(TRANSACTIONS, pages))
    assert rows.column("block").to_pylist() == list(range(250))
    assert [one.path for one in asked] == [SENT, f"{SENT}page/1/", f"{SENT}page/0/"]
    assert {one.query["no-logs"] for one in asked} == {"true"}
    assert covered(pages)[-1].start == DAY.start


def test_pages_are_followed_no_further_than_the_window_goes():
    items = [sent(n, n) for n in reversed(range(1_000))]
    pages, asked = ask(Covalent, TRANSACTIONS, paged(items), window("2024-10-09T12:00", "2024-10-10"), SERIES)
    assert rows_of(TRANSACTIONS, pages).num_rows == 280
    assert len(asked) == 3


def test_a_way_that_breaks_off_goes_on_with_what_is_older():
    items = [sent(n, n) for n in reversed(range(450))]
    options = {"path": f"{SENT}page/", "at": 3}
    before, after, _ = gone_on(Covalent, TRANSACTIONS, paged(items), DAY, SERIES, **options)
    young, old = (rows_of(TRANSACTIONS, pages).column("block").to_pylist() for pages in (before, after))
    assert len(young) == 249  # the oldest one is not done with before the next answer
    assert sorted(young + old) == list(range(450))


def test_links_lead_on_this_host_only():
    prev = f"https://elsewhere.example{SENT}page/41/"
    answers = {
        SENT: answer([sent(2, 2)], links={"prev": prev, "next": None}, current_page=42),
        f"{SENT}page/41/": answer([sent(1, 1)], links={"prev": None, "next": "…"}),
    }
    pages, asked = ask(Covalent, TRANSACTIONS, answers, DAY, SERIES)
    assert rows_of(TRANSACTIONS, pages).num_rows == 2
    assert len(asked) == 2


def test_a_link_that_leads_nowhere_ends_the_chain():
    again = answer([sent(2, 2)], links={"prev": f"https://x{SENT}page/1/"})
    with pytest.raises(MalformedAnswer, match="leads"):
        ask(Covalent, TRANSACTIONS, {SENT: again, f"{SENT}page/1/": again}, DAY, SERIES)


def test_a_full_page_that_does_not_say_where_older_ones_are_is_not_taken_for_all_there_is():
    with pytest.raises(MalformedAnswer, match="neither its number nor where older ones are"):
        ask(Covalent, TRANSACTIONS, {SENT: answer([sent(n, n) for n in reversed(range(100))])}, DAY, SERIES)


def test_many_of_one_moment_on_two_pages_all_come():
    items = [sent(n, n // 50) for n in reversed(range(220))]
    pages, _ = ask(Covalent, TRANSACTIONS, paged(items), DAY, SERIES)
    rows = rows_of(TRANSACTIONS, pages)
    assert sorted(rows.column("block").to_pylist()) == list(range(220))


def test_what_vendors_leave_open_is_null_and_addresses_keep_their_capitals_where_they_count():
    solana = "So11111111111111111111111111111111111111112"
    items = [
        {"contract_address": solana, "balance": "7", "contract_decimals": None, "contract_name": None},
        {
            "contract_address": "0xAbC",
            "balance": "0",
            "contract_decimals": 0,
            "quote": 2**64,
            "logo_url": None,
        },
    ]
    items.append({"contract_address": "0xbad", "balance": "5", "contract_decimals": 2**31 - 1})
    pages, _ = ask(Covalent, BALANCES, {HELD: answer(items)}, DAY, SERIES)
    rows = {row["contract"]: row for row in rows_of(BALANCES, pages).to_pylist()}
    assert set(rows) == {solana, "0xabc", "0xbad"}
    assert (rows["0xbad"]["balance"], rows["0xbad"]["amount"]) == ("5", None)
    assert (rows[solana]["amount"], rows[solana]["decimals"], rows[solana]["name"]) == (None, None, None)
    assert (rows["0xabc"]["amount"], rows["0xabc"]["quote"], rows["0xabc"]["quote_rate"]) == (
        0.0,
        2.0**64,
        None,
    )


def test_a_transaction_with_all_that_the_vendor_tells_and_one_with_the_least():
    full = sent(2, 9, tx_offset=3, successful=False, value=str(MOST), gas_quote=2**60, gas_quote_rate=3000)
    full |= {
        "value_quote": 1.5,
        "log_events": [{"decoded": None}],
        "internal_transfers": [],
        "miner_address": "0x1",
    }
    least = sent(1, 8, fees_paid=None, gas_price=None, gas_spent=None, gas_offered=None)
    pages, _ = ask(Covalent, TRANSACTIONS, {SENT: answer([full, least], links={"prev": None})}, DAY, SERIES)
    one, two = TRANSACTIONS.in_order(rows_of(TRANSACTIONS, pages)).to_pylist()
    assert (one["fees_paid"], one["gas_price"], one["gas_spent"], one["successful"]) == (None,) * 4
    assert (two["value"], two["offset"], two["successful"]) == (str(MOST), 3, False)
    assert (two["gas_quote"], two["gas_quote_rate"], two["value_quote"]) == (2.0**60, 3000.0, 1.5)


@pytest.mark.parametrize(
    "item",
    [
        sent(1, 1, from_address=None),
        sent(1, 1, tx_hash=None),
        sent(1, 1, gas_spent="many"),
        sent(1, 1, block_signed_at=None),
        "0x1",
        None,
    ],
)
def test_a_transaction_that_is_not_as_documented_is_named(item):
    with pytest.raises(MalformedAnswer, match="cannot be read"):
        ask(Covalent, TRANSACTIONS, {SENT: answer([item])}, DAY, SERIES)


def test_the_recorded_401_is_a_wrong_key(recordings):
    told = json.loads((recordings / "errors" / "goldrush_401.json").read_text())
    with pytest.raises(AuthError, match="No valid API key was provided") as caught:
        ask(Covalent, BALANCES, {HELD: Reply(told["status"], told["body"])}, DAY, SERIES, api_key="hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("spelled", [str, int])
@pytest.mark.parametrize("with_status", [True, False])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (401, AuthError),
        (402, QuotaSpent),
        (403, AuthError),
        (404, NotFound),
        (429, RateLimited),
        (500, VendorDown),
    ],
)
def test_errors_are_told_by_code_and_by_status(code, kind, spelled, with_status):
    body = {"data": None, "error": True, "error_message": "in words", "error_code": spelled(code)}
    with pytest.raises(kind, match="in words"):
        ask(Covalent, BALANCES, {HELD: Reply(code if with_status else 200, body)}, DAY, SERIES)


def test_nine_digits_behind_the_second():
    assert moment_of("2024-10-09T01:37:36.277434751Z") == at("2024-10-09T01:37:36.277434")
    assert moment_of("2024-10-09T01:37:36.2Z") == at("2024-10-09T01:37:36.2")
    assert moment_of("2024-10-09T01:37:36Z") == at("2024-10-09T01:37:36")


def test_names():
    shown = ADDRESS.upper().replace("0X", "0x")
    assert Covalent.named(f"eth-mainnet.{shown}") == (
        f"covalent.eth-mainnet.{ADDRESS}",
        f"eth-mainnet:{ADDRESS}",
    )
    assert Covalent.named("solana-mainnet/5Zzguz") == (
        "covalent.solana-mainnet.5Zzguz",
        "solana-mainnet:5Zzguz",
    )
    with pytest.raises(ValueError, match="write chain and address"):
        Covalent.named("0x1")
