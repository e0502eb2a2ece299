"""A person in front of Dagster's UI: a headless Chromium that clicks, types, reads and takes pictures.

What the pages must not do is watched all the time: throw errors, ask other hosts.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
)
PATIENCE_MS = 120_000


def chromium() -> str:
    """The browser's program. Without one a developer's test is skipped, CI's fails."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    reason = f"no browser: none of {', '.join(NAMES)} is on PATH (Debian, Ubuntu: apt install chromium)"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; under CI it must be there")
    pytest.skip(f"THE UI IS NOT TESTED: {reason}")


class Visitor:
    """One browser window on a stack's UI. `pictures` are the folders that screenshots go to."""

    def __init__(self, program: str, url: str, pictures: Sequence[Path]) -> None:
        self.program, self.url, self.pictures = program, url, pictures
        self.page_errors: list[str] = []
        self.foreign_requests: list[str] = []

    def __enter__(self) -> Self:
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=self.program, headless=True, args=list(FLAGS)
        )
        size = {"width": 1600, "height": 1000}
        context = self._browser.new_context(viewport=size, timezone_id="UTC", locale="en-GB")  # type: ignore[arg-type]
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("pageerror", lambda error: self.page_errors.append(str(error)))
        self.page.on("request", lambda request: self._watch(request.url))
        self.page.on("websocket", lambda socket: self._watch(socket.url))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is not None:
                self.page.screenshot(path=self.pictures[0] / "failed.png", timeout=10_000)
        finally:
            self._browser.close()
            self._playwright.stop()

    def _watch(self, url: str) -> None:
        there = urlsplit(url)
        if there.scheme not in ("data", "blob") and there.netloc != urlsplit(self.url).netloc:
            self.foreign_requests.append(url)

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)

    def see(self, text: str | re.Pattern[str], within: Locator | None = None) -> Locator:
        """Wait until this can be read on the page."""
        found = (within or self.page).get_by_text(text).filter(visible=True).first
        found.wait_for()
        return found

    def button(self, name: str, within: Locator | None = None) -> Locator:
        """By the end of its name; icons come first in it."""
        place, pattern = within or self.page, re.compile(f"(^| ){name}$")
        return place.get_by_role("button", name=pattern).or_(place.get_by_role("link", name=pattern)).first

    def row(self, name: str) -> Locator:
        """Of a table of metadata, by the name in its first column."""
        return self.page.get_by_role("row").filter(has=self.page.get_by_text(name, exact=True))

    def picture(self, name: str, *, private: bool = False) -> None:
        """When nothing on the page is on its way any more. A private one is not for visitors of docs/img."""
        self.page.wait_for_load_state("networkidle")
        self.page.evaluate("document.fonts.ready")
        self.page.wait_for_timeout(700)  # transitions
        for folder in self.pictures[:1] if private else self.pictures:
            self.page.screenshot(path=folder / f"{name}.png", animations="disabled")
