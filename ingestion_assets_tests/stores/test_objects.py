"""Files in a folder and on S3: replaced whole or not at all, and never over another writer's head."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from pathlib import Path

import pytest

from ingestion_assets.stores.objects import LocalObjects, Objects, StoreError, open_objects
from ingestion_assets_tests.stores.conftest import MakeLake

PATH = "a/b/file.bin"


@pytest.fixture
def objects(make_lake: MakeLake) -> Objects:
    return make_lake().objects


@pytest.fixture
def local(tmp_path: Path) -> LocalObjects:
    return LocalObjects(str(tmp_path / "store"))


def test_a_file_is_written_read_listed_and_deleted(objects: Objects) -> None:
    assert objects.read(PATH) is None
    assert not objects.exists(PATH)
    assert objects.list("") == objects.list("a") == []
    objects.write(PATH, b"one")
    objects.write("a/c.txt", b"")
    assert objects.read(PATH) == b"one"
    assert objects.exists(PATH)
    assert not objects.exists("a")
    assert objects.list("") == objects.list("a") == [PATH, "a/c.txt"]
    assert objects.list("a", ".txt") == ["a/c.txt"]
    assert objects.url(PATH).endswith(f"/{PATH}")
    objects.delete(PATH)
    assert objects.list("a") == ["a/c.txt"]


def test_a_change_sees_what_is_there_and_may_leave_it(objects: Objects) -> None:
    assert objects.update(PATH, lambda before: b"one" if before is None else pytest.fail("there was nothing"))
    assert not objects.update(PATH, lambda before: None)
    assert objects.update(PATH, lambda before: (before or b"") + b" two")
    assert objects.read(PATH) == b"one two"


def test_a_change_that_fails_leaves_everything_as_it_was(objects: Objects) -> None:
    objects.write(PATH, b"one")
    for path in (PATH, "a/new.bin"):
        with pytest.raises(ZeroDivisionError):
            objects.update(path, lambda _: bytes(1 // 0))
    assert objects.list("") == [PATH]
    assert objects.read(PATH) == b"one"


def test_threads_that_change_one_file_lose_no_change(objects: Objects) -> None:
    barrier, each = threading.Barrier(4), 5

    def work(number: int) -> None:
        barrier.wait(60)
        for _ in range(each):
            objects.update(PATH, lambda before: (before or b"") + bytes([number]))

    threads = [threading.Thread(target=work, args=[n]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(objects.read(PATH) or b"") == sorted(bytes(range(4)) * each)


def test_on_s3_a_change_is_made_again_upon_what_another_writer_left(
    make_lake: MakeLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = make_lake().objects
    if isinstance(objects, LocalObjects):
        return  # there the other writer has to wait
    seen: list[bytes | None] = []

    def change(before: bytes | None) -> bytes:
        seen.append(before)
        if len(seen) < 3:
            objects.write(PATH, b"other %d" % len(seen))
        return (before or b"") + b" and mine"

    objects.update(PATH, change)
    assert seen == [None, b"other 1", b"other 2"]
    assert objects.read(PATH) == b"other 2 and mine"

    monkeypatch.setattr("ingestion_assets.stores.objects.s3._CONFLICTS_BORNE", 3)

    def always_late(before: bytes | None) -> bytes:
        objects.write(PATH, (before or b"") + b".")
        return b"mine"

    with pytest.raises(StoreError, match="3 other writers were faster"):
        objects.update(PATH, always_late)
    assert objects.read(PATH) == b"other 2 and mine..."


def test_what_a_killed_writer_left_is_seen_by_nobody_and_cleaned_by_the_next(local: LocalObjects) -> None:
    local.write(PATH, b"one")
    folder = Path(local.url(PATH)).parent
    leftover = folder / ".tmp-0123456789"
    leftover.write_bytes(b"half")
    assert local.list("") == [PATH]
    local.write("a/other.bin", b"elsewhere")
    assert leftover.exists(), "another folder's writer may be at work on it"
    local.write(PATH, b"two")
    assert [p.name for p in folder.iterdir()] == ["file.bin"]


def test_a_reader_keeps_the_version_that_it_opened(local: LocalObjects) -> None:
    local.write(PATH, b"one")
    with Path(local.url(PATH)).open("rb") as reader:
        local.write(PATH, b"two")
        assert reader.read() == b"one"


def test_a_lock_on_a_folder_that_was_deleted_meanwhile_is_worth_nothing(
    local: LocalObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two writers would be at work at once, one in the old folder's name and one in the new one's."""
    local.write(PATH, b"old")
    folder = Path(local.url(PATH)).parent
    old, flock, asked = os.open(folder, os.O_RDONLY), fcntl.flock, threading.Semaphore(0)
    flock(old, fcntl.LOCK_EX)

    def announced(handle: int, how: int) -> None:
        asked.release()
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", announced)
    changing, go_on = threading.Event(), threading.Event()

    def change(before: bytes | None) -> bytes:
        changing.set()
        assert go_on.wait(60)
        return (before or b"nothing") + b" first"

    first = threading.Thread(target=local.update, args=[PATH, change])
    first.start()
    assert asked.acquire(timeout=60)
    shutil.rmtree(folder)
    os.close(old)
    assert asked.acquire(timeout=60), "the lock on the deleted folder was taken for one"
    assert changing.wait(60)
    second = threading.Thread(
        target=local.update, args=[PATH, lambda before: (before or b"nothing") + b" second"]
    )
    second.start()
    assert asked.acquire(timeout=60)
    go_on.set()
    first.join()
    second.join()
    assert local.read(PATH) == b"nothing first second"


def test_a_folder_may_be_given_as_an_url_or_from_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for location in (f"file://{tmp_path}/lake", "~/lake", f"{tmp_path}/lake/"):
        assert open_objects(location).url(PATH) == f"{tmp_path}/lake/{PATH}"
