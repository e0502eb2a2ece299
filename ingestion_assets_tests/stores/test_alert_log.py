"""The alert log: told once when it begins and once when it ends, whatever happens to the one who is told."""

from datetime import timedelta
from pathlib import Path

import pytest

from ingestion_assets.stores.alert_log import DIGEST_ABOVE, Alert, AlertLog
from ingestion_assets.stores.catalog import Catalog
from ingestion_assets_tests.tables.candles import at

DOWN = Alert("run:ingest", "error", "run of ingest failed", {"job": "ingest"})


class Deaf(Exception):
    pass


class Ear:
    """Somebody who is told; deaf for so many times when asked to be."""

    def __init__(self) -> None:
        self.heard: list = []
        self.deaf = 0

    def __call__(self, notice) -> None:
        if self.deaf:
            self.deaf -= 1
            raise Deaf
        self.heard.append(notice)

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(notice.event, notice.key) for notice in self.heard]


@pytest.fixture
def catalog(tmp_path: Path):
    made = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    made.create()
    yield made
    made.close()


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def log(catalog, ear):
    return Told(AlertLog(catalog, cooldown=timedelta(minutes=30)), ear)


class Told:
    """An alert log and an ear, minute by minute."""

    def __init__(self, log: AlertLog, ear: Ear) -> None:
        self.log, self.ear = log, ear

    def see(self, minute: float, *wrong: Alert, watched=lambda key: True):
        return self.log.update(list(wrong), watched, self.ear, at(minute))


def test_once_when_it_begins_and_once_when_it_ends(log, ear):
    for minute in range(5):
        log.see(minute, DOWN)
    for minute in range(5, 10):
        log.see(minute)
    assert ear.events == [("firing", DOWN.key), ("recovered", DOWN.key)]
    first, last = (notice.body() for notice in ear.heard)
    assert first["severity"] == last["severity"] == "error"
    assert first["context"] == {"job": "ingest"}
    assert last["message"] == "over: run of ingest failed"
    assert (last["since"], last["time"]) == (at(0).isoformat(), at(5).isoformat())
    assert log.log.firing() == []


def test_what_cannot_be_looked_at_stays_as_it_is(log, ear):
    log.see(0, DOWN)
    log.see(1, watched=lambda key: False)
    assert log.log.firing() == [DOWN.key]
    assert len(ear.heard) == 1


def test_what_is_less_severe_than_wanted_is_not_told(catalog, ear):
    log = Told(AlertLog(catalog, min_severity="error"), ear)
    log.see(0, Alert("check:x", "warning", "a little wrong"), DOWN)
    log.see(1)
    assert {notice.key for notice in ear.heard} == {DOWN.key}


def test_after_a_recovery_it_waits_whether_it_stays_wrong(log, ear):
    log.see(0, DOWN)
    log.see(1)
    for minute in (2, 20, 30):
        log.see(minute, DOWN)
    assert len(ear.heard) == 2
    log.see(32, DOWN)
    assert ear.events[2:] == [("firing", DOWN.key)]


def test_flapping_within_the_cool_down_says_nothing(log, ear):
    log.see(0, DOWN)
    log.see(1)
    for minute in range(2, 20, 2):
        log.see(minute, DOWN)
        log.see(minute + 1)
    assert len(ear.heard) == 2


def test_many_at_once_are_one_message_that_names_them_all(log, ear):
    many = [Alert(f"fresh:{n}", "error" if n else "critical", f"series {n} is late") for n in range(20)]
    log.see(0, *many)
    log.see(1, *many)
    assert [notice.event for notice in ear.heard] == ["firing"]
    body = ear.heard[0].body()
    assert body["message"].startswith("20 alerts: ")
    assert body["severity"] == "critical"
    assert body["context"]["keys"] == [alert.key for alert in many]
    log.see(2)
    assert [notice.event for notice in ear.heard] == ["firing", "recovered"]
    assert len(ear.heard[1].body()["context"]["keys"]) == 20


def test_a_few_at_once_are_told_one_by_one(log, ear):
    log.see(0, *(Alert(f"fresh:{n}", "error", "late") for n in range(DIGEST_ABOVE)))
    assert len(ear.heard) == DIGEST_ABOVE


def test_one_that_joins_the_others_later_is_told_alone(log, ear):
    many = [Alert(f"fresh:{n}", "error", "late") for n in range(10)]
    log.see(0, *many)
    log.see(1, *many, DOWN)
    assert ear.events[1:] == [("firing", DOWN.key)]


class TestWhenNobodyHears:
    def test_it_is_told_later_with_the_time_when_it_began(self, log, ear):
        ear.deaf = 3
        for minute in range(3):
            with pytest.raises(Deaf):
                log.see(minute, DOWN)
        log.see(3, DOWN)
        log.see(4, DOWN)
        assert ear.events == [("firing", DOWN.key)]
        assert (ear.heard[0].since, ear.heard[0].at) == (at(0), at(3))

    def test_the_end_is_told_later_too(self, log, ear):
        log.see(0, DOWN)
        ear.deaf = 1
        with pytest.raises(Deaf):
            log.see(1)
        assert log.log.firing() == [DOWN.key]
        log.see(2)
        log.see(3)
        assert ear.events == [("firing", DOWN.key), ("recovered", DOWN.key)]

    def test_those_behind_the_one_that_failed_are_told_later_and_none_twice(self, log, ear):
        three = [Alert(f"fresh:{n}", "error", "late") for n in range(3)]
        log.see(0, three[0])
        ear.deaf = 1
        with pytest.raises(Deaf):
            log.see(1, *three)
        log.see(2, *three)
        assert sorted(ear.events) == [("firing", f"fresh:{n}") for n in range(3)]

    def test_what_ended_before_anybody_heard_of_it_is_one_message_when_somebody_does(self, log, ear):
        ear.deaf = 2
        for minute in range(2):
            with pytest.raises(Deaf):
                log.see(minute, DOWN)
        log.see(2)
        log.see(3)
        assert ear.events == [("recovered", DOWN.key)]
        assert (ear.heard[0].since, ear.heard[0].at) == (at(0), at(2))
        assert "could not be told when it began" in ear.heard[0].message


def test_two_processes_share_what_was_told(catalog, ear):
    first, second = (Told(AlertLog(catalog), ear) for _ in range(2))
    first.see(0, DOWN)
    second.see(1, DOWN)
    second.see(2)
    first.see(3)
    assert ear.events == [("firing", DOWN.key), ("recovered", DOWN.key)]
