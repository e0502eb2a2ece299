"""The Kraken vendor on the wire: the shapes of the recorded answers, 720 rows, errors in 200."""

import pytest

from ingestion_assets.simulator import Fault
from ingestion_assets.simulator.clock import to_ms
from ingestion_assets.simulator.symbols import KRAKEN


@pytest.fixture
def ask(get):
    def ask(path, **query):
        answer = get(f"/0/public/{path}", **query)
        assert answer.status_code == 200
        return answer.json()

    return ask


def types(row):
    return [type(field) for field in row]


def test_ohlc_looks_like_the_recorded_one(ask, recorded):
    theirs = recorded("kraken/http_ohlc.json")
    ours = ask("OHLC", pair="XBTUSDT")
    assert ours.keys() == theirs.keys()
    assert ours["result"].keys() == theirs["result"].keys()
    their_rows, our_rows = theirs["result"]["XBTUSDT"], ours["result"]["XBTUSDT"]
    assert len(our_rows) == len(their_rows) == 721
    assert all(types(row) == types(their_rows[0]) for row in our_rows)
    for rows, last in ((our_rows, ours["result"]["last"]), (their_rows, theirs["result"]["last"])):
        assert rows[-2][0] == last
        assert rows[-1][0] == last + 60
    assert len(our_rows[0][6].split(".")[1]) == len(their_rows[0][6].split(".")[1]) == 8


def test_ohlc_is_the_world(simulator, ask):
    rows = ask("OHLC", pair="ETHUSD", interval=60)["result"]["XETHZUSD"]
    start = rows[0][0] * 1000
    truth = simulator.world.candles(KRAKEN["XETHZUSD"], "1h", start, to_ms("2026-03-04T05:00")).floats()
    for i, name in enumerate(("open", "high", "low", "close"), 1):
        assert [float(row[i]) for row in rows[:-1]] == truth[name].tolist()
    assert [float(row[6]) for row in rows[:-1]] == truth["volume"].tolist()
    assert all(
        float(low) <= float(vwap) <= float(high) for _, _, high, low, _, vwap, *_ in rows if float(vwap)
    )


def test_a_minute_without_trades_is_flat_with_a_vwap_of_nought(ask):
    rows = ask("OHLC", pair="ETHUSDT")["result"]["ETHUSDT"]
    quiet = [row for row in rows if row[7] == 0]
    assert quiet
    assert all(row[1] == row[2] == row[3] == row[4] and row[5:7] == ["0.0", "0.00000000"] for row in quiet)


def test_since_is_exclusive_and_reaches_back_720_rows_only(ask):
    first = ask("OHLC", pair="XBTUSD")["result"]["XXBTZUSD"]
    assert ask("OHLC", pair="XBTUSD", since=1)["result"]["XXBTZUSD"] == first
    since = first[-3][0]
    answer = ask("OHLC", pair="XBTUSD", since=since)["result"]
    assert answer["XXBTZUSD"] == first[-2:]
    assert answer["last"] == first[-2][0]


def test_pairs_look_like_recorded_ones(ask, recorded):
    theirs = recorded("kraken/http_asset_pairs.json")["result"]["XBTUSDT"]
    ours = ask("AssetPairs")["result"]
    assert theirs.keys() - {"long_position_limit", "short_position_limit"} <= ours["XBTUSDT"].keys()
    for name in ("altname", "wsname", "base", "quote", "tick_size", "pair_decimals", "lot_decimals"):
        assert ours["XBTUSDT"][name] == theirs[name]
    older = recorded("kraken/rest_0_public_AssetPairs.body.json")["result"]
    for key in ours.keys() & older.keys():
        for name in ("altname", "wsname", "base", "quote"):
            assert ours[key][name] == older[key][name], key
    assert {"XXBTZUSD", "XETHZUSD", "SOLUSD"} <= ours.keys()
    assert [*ask("AssetPairs", pair="XBTUSD,SOL/USD")["result"]] == ["XXBTZUSD", "SOLUSD"]


def test_ticker_and_status_look_like_recorded_ones(simulator, ask, recorded):
    theirs = recorded("kraken/http_ticker.json")["result"]["XBTUSDT"]
    ours = ask("Ticker", pair="XBTUSDT")["result"]["XBTUSDT"]
    assert ours.keys() == theirs.keys()
    assert {k: type(v) for k, v in ours.items()} == {k: type(v) for k, v in theirs.items()}
    assert all(len(ours[k]) == len(theirs[k]) for k in "abcvptlh")
    assert ask("Ticker")["result"].keys() == KRAKEN.keys()
    assert ask("SystemStatus")["result"].keys() == recorded("kraken/http_system_status.json")["result"].keys()
    assert ask("Time")["result"] == {
        "unixtime": simulator.clock.now_ms() // 1000,
        "rfc1123": "Wed, 04 Mar 26 05:06:07 +0000",
    }


@pytest.mark.parametrize(
    ("path", "query", "error"),
    [
        ("OHLC", {"pair": "NOPE"}, "EQuery:Unknown asset pair"),
        ("OHLC", {}, "EGeneral:Invalid arguments"),
        ("OHLC", {"pair": "XBTUSD", "interval": 7}, "EGeneral:Invalid arguments"),
        ("OHLC", {"pair": "XBTUSD", "since": "x"}, "EGeneral:Invalid arguments"),
        ("Nonsense", {}, "EGeneral:Unknown method"),
    ],
)
def test_errors_come_in_a_200(ask, path, query, error):
    assert ask(path, **query) == {"error": [error]}


def test_faults_strike_kraken_too(simulator, ask, get):
    honest = ask("OHLC", pair="XXBTZUSD")["result"]["XXBTZUSD"]
    simulator.faults.add(Fault("error_in_200"), Fault("truncated_page", rows=5), Fault("unfinished_extra"))
    assert ask("OHLC", pair="XXBTZUSD") == {"error": ["EService:Unavailable"]}
    spoiled = ask("OHLC", pair="XXBTZUSD")["result"]["XXBTZUSD"]
    assert spoiled[:-1] == honest[:-5]
    assert (spoiled[-1][0], types(spoiled[-1])) == (honest[-5][0], types(honest[-1]))
    simulator.faults.add(Fault("vanished", symbol="XBTUSD"))
    assert ask("OHLC", pair="XXBTZUSD") == {"error": ["EQuery:Unknown asset pair"]}
    assert "XXBTZUSD" not in ask("AssetPairs")["result"]
    assert get("/0/public/OHLC", pair="SOLUSD").status_code == 200
