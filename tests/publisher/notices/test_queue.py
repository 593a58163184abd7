"""The file in which notices wait: its limits, and a disk that fails."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streamwatch.elapsed import SETTLED_SECONDS
from streamwatch.publisher.notices.durable import RETRY_SECONDS, DurableQueue
from streamwatch.publisher.notices.queue import ROW_BYTES, NoticeQueue

SERVICE = "a service"


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=self.seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said() -> list[str]:
    return []


def opened(
    file: Path | None, clock: Clock, said: list[str], max_bytes: int = 1_000_000
) -> DurableQueue:
    return DurableQueue(
        file,
        max_bytes=max_bytes,
        max_age=timedelta(hours=1),
        complain=said.append,
        now=clock.now,
        seconds=clock,
    )


def all_of(queue: DurableQueue, service: str = SERVICE) -> list[tuple[str, bytes | None]]:
    """Take everything out."""
    found = []
    while (notice := queue.first(service)) is not None:
        found.append((notice.text, notice.picture))
        queue.remove(notice.number)
    return found


def test_pictures_make_room_before_notices(tmp_path: Path, clock: Clock, said: list[str]) -> None:
    room = 3 * (ROW_BYTES + 1) + 50
    queue = opened(tmp_path / "notices.sqlite3", clock, said, room)
    assert [queue.put(SERVICE, text, bytes(50)) for text in "abc"] == [0, 0, 0]
    assert all_of(queue) == [("a", None), ("b", None), ("c", bytes(50))]
    assert [queue.put(SERVICE, text, bytes(50)) for text in "abcd"] == [0, 0, 0, 1]
    assert all_of(queue) == [("b", None), ("c", None), ("d", None)]
    queue.close()


def test_what_waits_too_long_expires(tmp_path: Path, clock: Clock, said: list[str]) -> None:
    file = tmp_path / "notices.sqlite3"
    queue = opened(file, clock, said)
    queue.put(SERVICE, "old", None)
    queue.close()
    clock.seconds += 3000
    queue = opened(file, clock, said)
    queue.put(SERVICE, "new", None)
    clock.seconds += 700
    assert queue.expire("another") == 0
    assert queue.expire(SERVICE) == 1
    assert all_of(queue) == [("new", None)]
    queue.close()


def test_nothing_expires_before_the_clock_can_be_trusted(
    tmp_path: Path, clock: Clock, said: list[str]
) -> None:
    file = tmp_path / "notices.sqlite3"
    queue = opened(file, clock, said)
    queue.put(SERVICE, "old", None)
    queue.close()
    clock.seconds += 36_000
    queue = opened(file, clock, said)
    assert queue.expire(SERVICE) == 0
    clock.seconds += SETTLED_SECONDS
    assert queue.expire(SERVICE) == 1
    queue.close()


def test_services_that_are_gone_are_dropped(clock: Clock, said: list[str]) -> None:
    queue = opened(None, clock, said)
    for service in ("kept", "gone", "gone"):
        queue.put(service, "text", None)
    assert queue.keep_only(["kept"]) == 2
    assert queue.waiting() == {"kept": 1}
    queue.close()


def test_what_a_full_disk_does_not_take_waits_in_memory(
    tmp_path: Path, clock: Clock, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = opened(tmp_path / "notices.sqlite3", clock, said)
    queue.put(SERVICE, "before", None)
    put = NoticeQueue.put

    def full(self: NoticeQueue, *arguments: object) -> int:
        if self is queue._disk:
            raise sqlite3.OperationalError("database or disk is full")
        return put(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(NoticeQueue, "put", full)
        for text in ("full", "still full"):
            queue.put(SERVICE, text, b"picture")
    assert said == [
        "notices can't be kept on the disk (database or disk is full) and wait in memory"
    ]
    assert not queue.lasting
    clock.seconds += RETRY_SECONDS
    queue.put(SERVICE, "after", None)
    assert [text for text, _ in all_of(queue)] == ["before", "full", "still full", "after"]
    queue.put(SERVICE, "at last", None)
    assert queue.lasting
    queue.close()


def test_what_is_done_with_is_not_sent_again_though_it_stays_on_the_disk(
    tmp_path: Path, clock: Clock, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "notices.sqlite3"
    queue = opened(file, clock, said)
    for text in "ab":
        queue.put(SERVICE, text, None)

    def full(self: NoticeQueue, number: int) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(NoticeQueue, "remove", full)
        assert all_of(queue) == [("a", None), ("b", None)]
    clock.seconds += RETRY_SECONDS
    assert queue.first(SERVICE) is None
    queue.close()
    queue = opened(file, clock, said)
    assert queue.waiting() == {}
    queue.close()


def test_a_broken_file_is_moved_aside(tmp_path: Path, clock: Clock, said: list[str]) -> None:
    file = tmp_path / "notices.sqlite3"
    file.write_bytes(b"no database" * 1000)
    queue = opened(file, clock, said)
    queue.put(SERVICE, "text", None)
    assert queue.lasting
    assert all_of(queue) == [("text", None)]
    queue.close()
    aside = tmp_path / "notices.broken-1"
    assert aside.exists()
    assert said == [f"the file of notices was broken (file is not a database) and is now {aside}"]
