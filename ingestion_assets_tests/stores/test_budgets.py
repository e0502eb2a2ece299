"""Budgets: never above the limit, whoever asks; what was reserved for nothing comes back."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime

import pytest

from ingestion_assets.stores.budgets import Budget, Budgets, period_of
from ingestion_assets.stores.catalog import Catalog

TODAY = "2026-11-21"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalog.sqlite'}"
    return request.getfixturevalue("database_url")


@pytest.fixture
def budgets(url):
    catalog = Catalog(url)
    catalog.create()
    yield Budgets(catalog)
    catalog.close()


def test_what_does_not_fit_is_refused_and_takes_nothing(budgets):
    assert budgets.reserve("x", TODAY, 60, 100)
    assert not budgets.reserve("x", TODAY, 41, 100)
    assert budgets.reserve("x", TODAY, 40, 100)
    assert not budgets.reserve("x", TODAY, 1, 100)
    assert budgets.listed() == [Budget("x", TODAY, 100, 100)]
    assert budgets.listed()[0].left == 0


def test_what_was_reserved_and_not_used_comes_back(budgets):
    assert budgets.reserve("x", TODAY, 100, 100)
    budgets.settle("x", TODAY, 100, 13)
    assert budgets.spent("x", TODAY) == 13
    assert budgets.reserve("x", TODAY, 87, 100)
    budgets.settle("x", TODAY, 87, 90)  # the vendor gave more than was asked for: it is counted all the same
    assert budgets.spent("x", TODAY) == 103
    assert not budgets.reserve("x", TODAY, 0, 100)


def test_days_and_names_have_accounts_of_their_own(budgets):
    assert budgets.reserve("x", TODAY, 100, 100)
    assert budgets.reserve("x", "2026-11-22", 100, 100)
    assert budgets.reserve("glassnode", "2026-11", 100, None)
    assert [one.name for one in budgets.listed("2026-11-21")] == ["x", "x"]


def test_without_a_limit_it_is_only_counted(budgets):
    assert all(budgets.reserve("glassnode", "2026-11", 10**9, None) for _ in range(3))
    assert budgets.listed() == [Budget("glassnode", "2026-11", 3 * 10**9, None)]
    assert budgets.listed()[0].left is None


def test_nobody_earns_by_reserving(budgets):
    with pytest.raises(ValueError, match="-1 units cannot be reserved"):
        budgets.reserve("x", TODAY, -1, 100)


def _spend(url: str, start, taken) -> None:
    catalog = Catalog(url)
    budgets = Budgets(catalog)
    start.wait()
    count = 0
    while budgets.reserve("x", TODAY, 7, 500):
        count += 7
    taken.put(count)
    catalog.close()


def test_four_processes_racing_spend_the_limit_and_no_more(url, budgets):
    context = multiprocessing.get_context("spawn")
    start, taken = context.Event(), context.Queue()
    racers = [context.Process(target=_spend, args=(url, start, taken)) for _ in range(4)]
    for racer in racers:
        racer.start()
    start.set()
    counts = [taken.get(timeout=120) for _ in racers]
    for racer in racers:
        racer.join()
    assert sum(counts) == 497 == budgets.spent("x", TODAY)


def test_periods_are_utc():
    late = datetime.fromisoformat("2026-11-30T23:30:00-05:00")
    assert period_of(late, "day") == "2026-12-01"
    assert period_of(late, "month") == "2026-12"
    assert period_of(datetime(2026, 11, 21, tzinfo=UTC), "day") == TODAY
