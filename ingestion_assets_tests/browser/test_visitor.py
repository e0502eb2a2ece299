"""Without a browser nobody must believe that the UI was tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestion_assets_tests.browser.visitor import chromium


@pytest.fixture(autouse=True)
def no_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def test_a_developer_without_a_browser_reads_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"THE UI IS NOT TESTED.*apt install chromium"):
        chromium()


def test_ci_without_a_browser_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="under CI it must be there"):
        chromium()
