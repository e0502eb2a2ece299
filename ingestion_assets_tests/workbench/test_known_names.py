"""A name inside of a setting that nobody has is refused, where work begins and where it is looked at."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ingestion_assets.settings import SettingsError, load_settings
from ingestion_assets.sources.feeds import vendors
from ingestion_assets.workbench import Workbench


def test_a_vendor_that_nobody_is_has_no_budget() -> None:
    said = r"VENDOR_BUDGETS: 'glasnode' is unknown: use .*covalent, glassnode, newsapi or x"
    with pytest.raises(SettingsError, match=said):
        Workbench(load_settings(vendor_budgets={"glasnode": 5, "x": 1}))
    charging = {kind.name: 1 for kind in vendors() if kind.allowance is not None}
    assert Workbench(load_settings(vendor_budgets=charging)).settings.budget("glassnode", None) == 1


def test_a_domain_that_nothing_is_kept_of_online_has_no_ttl() -> None:
    said = "FEATURE_TTL_OVERRIDES: 'onchian' is unknown: use market, news, onchain or social"
    with pytest.raises(SettingsError, match=said):
        Workbench(load_settings(feature_ttl_overrides={"onchian": 5}))
    assert Workbench(load_settings(feature_ttl_overrides={"onchain": 5})).settings.feature_ttl("onchain") == 5


def test_the_code_server_does_not_start_with_such_a_name() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import ingestion_assets.definitions"],
        env={**os.environ, "VENDOR_BUDGETS": '{"glasnode": 5}'},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert "VENDOR_BUDGETS: 'glasnode' is unknown" in done.stderr
