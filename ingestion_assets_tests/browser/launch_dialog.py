"""The dialog behind `Materialize…`, used as a person uses it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from playwright.sync_api import Locator

from ingestion_assets_tests.browser.visitor import Visitor

_LAUNCHED = re.compile(r"/runs/(b/)?(?P<id>[0-9a-z-]+)")


class LaunchDialog:
    def __init__(self, visitor: Visitor, asset: str) -> None:
        self.visitor, self.page = visitor, visitor.page
        visitor.open(f"/assets/{asset}")
        visitor.button("Materialize…").click()
        self.dialog: Locator = self.page.get_by_role("dialog").filter(has_text="Launch runs to materialize")
        self.dialog.wait_for()

    def choose_months(self, text: str) -> None:
        """One month, or a range as `[2024-01...2024-03]`."""
        months = self.dialog.get_by_placeholder(re.compile("^ex:"))
        months.fill(text)
        months.press("Enter")

    def choose_series(self, names: Sequence[str]) -> None:
        self.dialog.get_by_text("Select a partition or create one").click()
        for name in names:
            self.page.get_by_role("menuitem").filter(has_text=name).click()
        self.page.keyboard.press("Escape")

    def add_series(self, name: str) -> None:
        """Type a series that nobody has registered."""
        self.dialog.get_by_text("Add a partition").click()
        question = self.page.get_by_role("dialog").filter(has_text="Add a partition for")
        question.get_by_placeholder("name").fill(name)
        self.visitor.button("Save", question).click()
        question.wait_for(state="hidden")
        self.choose_series([name])

    def launch(self) -> str:
        """Launch, and follow the link of the notice to the page of the run or backfill: its id."""
        self.visitor.button("Launch (1 run|backfill)", self.dialog).click()
        return follow_notice(self.visitor)


def follow_notice(visitor: Visitor) -> str:
    """From the notice that something was launched to its page; the id of the run or backfill."""
    visitor.button("View").click()
    visitor.page.wait_for_url(_LAUNCHED)
    found = _LAUNCHED.search(visitor.page.url)
    assert found is not None
    return found["id"]
