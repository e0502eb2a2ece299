"""Exchanges and vendors, opened as the settings say: at which address, with which key and which patience."""

from __future__ import annotations

import socket
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from ingestion_assets.settings import Settings
from ingestion_assets.sources.feeds import Vendor
from ingestion_assets.sources.market import CandleSource, SourceOptions, open_source
from ingestion_assets.sources.spending import Purse
from ingestion_assets.workbench import access, accounts

if TYPE_CHECKING:
    from pydantic import SecretStr

    from ingestion_assets.workbench.bench import Workbench

_one_at_a_time = threading.Lock()


def exchange(bench: Workbench, name: str) -> CandleSource:
    s = bench.settings
    own = name == s.exchange_name.strip().lower()
    options = _options(
        bench,
        name,
        fallback_url=s.binance_fallback_url if name == "binance" else None,
        # The keys are those of EXCHANGE_NAME: no other venue is to see them.
        api_key=s.exchange_api_key if own else None,
        api_secret=s.exchange_api_secret if own else None,
    )
    return open_source(name, options)


def vendor(bench: Workbench, kind: type[Vendor]) -> Vendor:
    """With the key that it needs."""
    return kind(
        _options(
            bench,
            kind.name,
            api_key=access.key(bench.settings, kind, kind.needs),
            api_secret=access.key(bench.settings, kind, kind.secret),
            purse=accounts.purse(bench, kind),
        )
    )


def _options(
    bench: Workbench,
    name: str,
    *,
    fallback_url: str | None = None,
    api_key: SecretStr | None = None,
    api_secret: SecretStr | None = None,
    purse: Purse | None = None,
) -> SourceOptions:
    """What the settings say of it; the simulated world is brought up if need be."""
    s = bench.settings
    simulated = access.simulated(s, name)
    if simulated:
        _show_simulated_world(s)
    return SourceOptions(
        base_url=s.vendor_urls.get(name),
        fallback_url=fallback_url,
        redis_url=s.redis_url.get_secret_value() if s.redis_url else None,
        api_key=api_key.get_secret_value() if api_key else None,
        api_secret=api_secret.get_secret_value() if api_secret else None,
        origin="simulator" if simulated else "rest",
        settle=timedelta(seconds=s.settle_seconds),
        timeout=s.http_timeout_sec,
        attempts=s.http_attempts,
        concurrency=s.http_concurrency,
        held=bench.lake,
        purse=purse,
        folder=s.ingest_state_dir.expanduser() / "answers",
    )


def _show_simulated_world(settings: Settings) -> None:
    """It is the same whoever shows it, so while nobody does on this port, this process does."""
    port = settings.simulator_port
    with _one_at_a_time:
        if _somebody_listens(port):
            return
        from ingestion_assets.simulator import Simulator

        try:
            Simulator(port=port, seed=settings.simulator_seed).start()
        except OSError:  # another process was faster to show it
            if not _somebody_listens(port):
                raise


def _somebody_listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
