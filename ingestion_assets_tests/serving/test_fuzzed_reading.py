"""What is read, with a lake and a Redis that hold something: requests that are right but for one parameter.

schemathesis makes the parameters up; the others ask for what is held, so that the answers are made of rows.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as tries
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import response_schema_conformance

from ingestion_assets.registry import Series
from ingestion_assets.tables import DERIVED, STATISTICS
from ingestion_assets.tables.social import POSTS
from ingestion_assets_tests.serving import sparse_rows as sparse
from ingestion_assets_tests.serving.conftest import Api
from ingestion_assets_tests.serving.feature_rows import keep, keep_numbered, put_online

NOW = int(time.time()) // 60 * 60
YOUNG = [NOW - 60 * n for n in range(50, 20, -1)]
OLD = [NOW - 5 * 86_400 - 60 * n for n in range(50, 0, -1)]
DAYS = sparse.days_back(25)
EXAMPLES = 20


def fill(api: Api) -> None:
    """Redis holds the young rows and of posts a part; the lake holds everything."""
    keep(api.bench, OLD + YOUNG)
    put_online(api.bench, YOUNG)
    sparse.keep_days(api.bench, DAYS)
    sparse.put(api.bench, "onchain", "BTC", "active_addresses", DAYS, 86_400)
    posts = [{"id": str(at), "time": at + 7, "kind": "post", "text": "t"} for at in YOUNG]
    sparse.keep(api.bench, POSTS, "x.bitcoin", posts)
    sparse.keep(
        api.bench, sparse.MINUTES, "x.bitcoin", [{"time": at, "count": 1, "judged": 0} for at in YOUNG]
    )
    sparse.put(api.bench, "social", "twitter.bitcoin", "1m", YOUNG[:10], 60)
    hours = [datetime.fromtimestamp(NOW // 3_600 * 3_600, UTC) - timedelta(hours=n) for n in (3, 2, 1)]
    for table in (*STATISTICS.values(), DERIVED["1h"]):
        keep_numbered(api.bench, table, hours, other="binance.ETH-USDT")
    for name, domain, metadata in (
        ("binance.BTC-USDT", "market", {}),
        ("rss.news-example", "news", {"url": "https://news.example/feed?token=x"}),
    ):
        source, _, symbol = name.partition(".")
        api.bench.registry.add(Series(name, domain, source, symbol.replace("-", "/"), metadata=metadata))


MARKET = {"symbol": "BTC/USDT", "timeframe": "1m", "exchange": "binance", "limit": "20"}
CHAIN = {"symbol": "BTC", "metric": "active_addresses", "limit": "20"}
QUERY, PLATFORM = (
    {"topic": topic, "timeframe": "1m", "limit": "20"} for topic in ("twitter.bitcoin", "twitter")
)


def spans(same: dict[str, str], *times: list[int]) -> list[dict[str, Any]]:
    return [same | {"ts": [str(at) for at in t[:3]], "start": str(t[0]), "end": str(t[-1])} for t in times]


RIGHT: dict[str, list[dict[str, Any]]] = {
    "/ingest/features/market": spans(MARKET, YOUNG, OLD),
    "/ingest/features/onchain": spans(CHAIN, DAYS, DAYS[-3:]),
    "/ingest/features/social": [*spans(QUERY, YOUNG, YOUNG[:10]), *spans(PLATFORM, YOUNG)],
    "/api/markets": [{"limit": "2"}, {"timeframe": "1h", "start": str(OLD[0]), "what": "aggregates"}],
    "/api/v1/symbols": [{"enabled_only": "false", "offset": "0", "limit": "10"}],
}
PATHS = {"symbol": "BTC-USDT", "kind": "snapshots"}


def right(path: str) -> list[dict[str, Any]]:
    return next((asks for start, asks in RIGHT.items() if path.startswith(start)), [])


def test_what_is_held_is_read_or_refused_and_never_a_fault_of_ours(api: Api) -> None:
    fill(api)
    schema = schemathesis.openapi.from_url(f"{api.url}/openapi.json")
    told: Counter[str] = Counter()
    operations = [found.ok() for found in schema.get_all_operations()]
    reading = [one for one in operations if one.method == "get" and right(one.path)]
    assert len(reading) >= 9

    for found in reading:
        names = sorted({p.name for p in (*found.query, *found.path_parameters)})
        asks = [{n: v for n, v in ask.items() if n in names} for ask in right(found.path)]
        made_up = st.sets(st.sampled_from(names), max_size=1) if names else st.just(set())
        for mode in GenerationMode if names else [GenerationMode.POSITIVE]:

            @tries(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=found.as_strategy(generation_mode=mode), ask=st.sampled_from(asks), other=made_up)
            def read(case: schemathesis.Case, ask: dict[str, Any], other: set[str]) -> None:
                query, path = dict(case.query or {}), dict(case.path_parameters or {})
                case.query = ask | {name: query[name] for name in other if name in query}
                held = {name: PATHS[name] for name in path if name not in other}
                case.path_parameters = path | held
                answer = case.call(timeout=60)
                assert answer.status_code < 500, answer.text
                if answer.status_code != 200:
                    assert answer.text == "Invalid HTTP request received." or answer.json()["detail"]
                    return
                case.validate_response(answer, checks=[response_schema_conformance])
                body = answer.json()
                rows = body.get("features") or body.get("rows") or [] if isinstance(body, dict) else body
                told[f"{case.path} {body.get('source', 'rows') if isinstance(body, dict) else 'list'}"] += (
                    len(rows)
                )

            read()

    for path in ("/ingest/features/market", "/ingest/features/social"):
        for source in ("redis", "lake"):
            assert told[f"{path}/range {source}"] and told[f"{path} {source}"], told
    assert told["/ingest/features/onchain/range redis"] and told["/ingest/features/onchain redis"]
    assert told["/api/markets/{symbol}/{kind} rows"] and told["/api/v1/symbols list"]
