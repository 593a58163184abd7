"""An outbox whose disk fails: full, not writable, corrupt, locked."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from streamwatch.elapsed import Elapsed
from streamwatch.publisher.outbox.durable import RETRY_SECONDS, DurableOutbox
from streamwatch.publisher.outbox.sqlite import SqliteOutbox
from tests.publisher.events import MOMENT, clip_of, end_event, new_event, update_event
from tests.publisher.running import Clock

CAME = 0.0


class Shelf:
    """Opens a durable outbox in a folder, with its clock and its complaints."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "outbox.sqlite3"
        self.clock = Clock()
        self.complaints: list[str] = []

    def open(self) -> DurableOutbox:
        return DurableOutbox(
            self.file,
            max_bytes=10_000_000,
            max_age=timedelta(days=7),
            complain=self.complaints.append,
            seconds=self.clock,
            elapsed=Elapsed(self.clock, lambda: MOMENT + timedelta(seconds=self.clock())),
        )


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "state")


def waiting(outbox: DurableOutbox) -> list[str]:
    found = [outbox.take(number) for number in outbox.rewind()]
    return [each.told.id for each in found if each]


def fill_the_disk(outbox: DurableOutbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave SQLite no room, as on a full disk."""
    assert outbox._disk is not None
    database = outbox._disk._database
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}")


def give_room(outbox: DurableOutbox) -> None:
    assert outbox._disk is not None
    outbox._disk._database.execute("PRAGMA max_page_count = 1000000")


def test_a_full_disk_is_reported_and_no_alert_is_lost(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = shelf.open()
    first = outbox.add(new_event(id="first"), CAME)
    fill_the_disk(outbox, monkeypatch)
    names = [f"visit{number}" for number in range(40)]
    numbers = [outbox.add(new_event(id=name), CAME) for name in names]
    assert numbers == sorted(numbers)
    assert waiting(outbox) == ["first", *names]
    (complaint,) = shelf.complaints
    assert "can't be written (database or disk is full): alerts wait in memory" in complaint
    outbox.remove(first)
    outbox.remove(numbers[-1])
    assert waiting(outbox) == names[:-1]

    give_room(outbox)
    shelf.clock.seconds += RETRY_SECONDS
    last = outbox.add(new_event(id="last"), CAME)
    assert last > numbers[-1]
    outbox.close()
    assert waiting(shelf.open()) == [*names[:-1], "last"]
    assert len(shelf.complaints) == 1


def test_a_folder_that_cannot_be_created_is_reported_and_retried(shelf: Shelf) -> None:
    shelf.file.parent.write_text("in the way")
    outbox = shelf.open()
    outbox.add(new_event(id="a"), CAME)
    assert waiting(outbox) == ["a"]
    assert len(shelf.complaints) == 1
    shelf.file.parent.unlink()
    shelf.clock.seconds += RETRY_SECONDS
    outbox.add(end_event("a"), CAME)
    outbox.close()
    assert waiting(shelf.open()) == ["a", "a"]


def test_alerts_in_a_file_that_was_locked_keep_their_order(shelf: Shelf) -> None:
    before = shelf.open()
    before.add(new_event(id="before"), CAME)
    shelf.clock.seconds += 1
    late = shelf.open()  # the first still has it open
    late.add(new_event(id="meanwhile"), CAME)
    assert "locked" in shelf.complaints[0]
    before.close()
    shelf.clock.seconds += RETRY_SECONDS
    assert waiting(late) == ["before", "meanwhile"]


def test_visits_in_a_file_that_was_locked_are_kept_for_the_next_start(shelf: Shelf) -> None:
    before = shelf.open()
    before.add(new_event(id="before"), CAME)
    late = shelf.open()  # the first still has it open
    late.add(new_event(id="here"), CAME)
    assert [visit.last.id for visit in late.visits()] == ["here"]
    before.close()
    shelf.clock.seconds += RETRY_SECONDS
    late.add(update_event("here"), CAME)
    late.remember([update_event("here")])
    assert [visit.last.id for visit in late.visits()] == ["before", "here"]
    late.remember([])
    late.close()
    assert [visit.last.id for visit in shelf.open().visits()] == ["before"]


def test_a_visit_that_ended_while_the_disk_was_full_is_closed(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = shelf.open()
    outbox.add(new_event(id="a"), CAME)
    fill_the_disk(outbox, monkeypatch)
    for number in range(40):
        outbox.add(new_event(id=f"visit{number}"), CAME)
    outbox.add(end_event("a"), CAME)
    give_room(outbox)
    shelf.clock.seconds += RETRY_SECONDS
    outbox.add(new_event(id="b"), CAME)
    outbox.remember([new_event(id="b")])
    assert [visit.last.id for visit in outbox.visits()] == ["b"]


def test_a_file_that_is_no_database_is_renamed(shelf: Shelf) -> None:
    shelf.file.parent.mkdir()
    shelf.file.write_bytes(b"not a database" * 1000)
    outbox = shelf.open()
    outbox.add(new_event(id="a"), CAME)
    outbox.close()
    assert waiting(shelf.open()) == ["a"]
    assert shelf.complaints[0].endswith(
        "is broken (file is not a database); it is kept as outbox.broken-1, alerts read of it: 0"
    )
    assert shelf.file.with_suffix(".broken-1").read_bytes().startswith(b"not a database")


def test_open_visits_survive_a_restart(shelf: Shelf) -> None:
    outbox = shelf.open()
    for event in (new_event(id="a"), update_event("a"), new_event(id="b"), end_event("b")):
        outbox.remove(outbox.add(event, CAME))
    outbox.close()
    after = shelf.open()
    assert [(visit.last.id, visit.last.type) for visit in after.visits()] == [("a", "update")]
    after.remember([])
    assert after.visits() == []


def test_after_an_unexpected_database_error_removed_alerts_stay_removed(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = shelf.open()
    outbox.add(new_event(id="a"), CAME)

    def broken(*_: object) -> int:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(SqliteOutbox, "remove", broken)
    (number,) = outbox.rewind()
    outbox.remove(number)
    assert waiting(outbox) == []
    assert len(outbox) == 0


def overwrite(file: Path, start: int, length: int) -> None:
    with file.open("r+b") as database:
        database.seek(start)
        database.write(b"garbage!" * (length // 8))


def fill(outbox: DurableOutbox, visits: int) -> list[str]:
    ids = [f"visit{number:03}" for number in range(visits)]
    for name in ids:
        outbox.add(new_event(id=name), CAME)
    return ids


def test_of_a_file_with_a_page_of_garbage_the_rest_is_sent(shelf: Shelf) -> None:
    outbox = shelf.open()
    ids = fill(outbox, 200)
    outbox.add(clip_of("visit200"), CAME)
    outbox.close()
    content = shelf.file.read_bytes()
    for start in range(4096, len(content), 4096):
        if b'"id":"visit100"' in content[start : start + 4096]:
            overwrite(shelf.file, start, 4096)
    again = shelf.open()
    assert again.lasting
    found = waiting(again)
    assert found == sorted(found)
    assert 100 < len(found) < len(ids)
    assert found[-1] == "visit200", "the clip"
    assert f"alerts read of it: {len(found)}" in shelf.complaints[0]
    assert shelf.file.with_suffix(".broken-1").exists()
    again.add(end_event("visit000"), CAME)
    again.close()
    assert waiting(shelf.open()) == [*found, "visit000"]
    assert len(shelf.complaints) == 1


def test_a_file_that_breaks_while_it_is_in_use_is_renewed(shelf: Shelf) -> None:
    outbox = shelf.open()
    ids = fill(outbox, 200)
    outbox.close()
    outbox = shelf.open()
    overwrite(shelf.file, 4096, shelf.file.stat().st_size // 2 - 4096)
    assert outbox._disk is not None
    outbox._disk._database.execute("PRAGMA shrink_memory")
    numbers = outbox.rewind()
    for number in numbers:
        outbox.take(number)
    last = outbox.add(new_event(id="last"), CAME)
    assert last >= len(ids)
    assert outbox.lasting
    assert waiting(outbox)[-1] == "last"
    outbox.close()
    assert waiting(shelf.open())[-1] == "last"


def test_the_files_are_readable_by_their_owner_alone(shelf: Shelf) -> None:
    before = os.umask(0o022)
    try:
        outbox = shelf.open()
        outbox.add(new_event(), CAME)
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in shelf.file.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert len(modes) >= 2
    outbox.close()
    shelf.file.chmod(0o644)  # as former versions made it
    shelf.open().close()
    assert shelf.file.stat().st_mode & 0o777 == 0o600


def test_a_database_of_something_else_is_moved_aside(shelf: Shelf) -> None:
    shelf.file.parent.mkdir()
    with closing(sqlite3.connect(shelf.file)) as other:
        other.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, title TEXT)")
    outbox = shelf.open()
    outbox.add(new_event(id="a"), CAME)
    assert waiting(outbox) == ["a"]
    assert outbox.lasting
    assert "it is kept as outbox.broken-1" in shelf.complaints[0]


def test_an_event_put_aside_while_the_disk_is_full_counts_once(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = shelf.open()
    first = outbox.add(new_event(id="first"), CAME)
    fill_the_disk(outbox, monkeypatch)
    fill(outbox, 40)
    assert not outbox.lasting
    give_room(outbox)
    outbox.put_aside(first, "it can't be sent")
    assert outbox.set_aside == 1
    assert "first" not in waiting(outbox)


def make_read_only(outbox: DurableOutbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be deleted on the disk any more, as on one that has become read-only."""
    assert outbox._disk is not None

    def refused(*_: object) -> int:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(outbox._disk, "_delete", refused)
    monkeypatch.setattr(outbox._disk, "_insert", refused)


def test_events_that_another_has_told_are_discarded(shelf: Shelf) -> None:
    """Of this run, these cameras and this time alone."""
    before = shelf.open()
    before.add(new_event(id="of an earlier run"), CAME)
    before.close()
    outbox = shelf.open()
    outbox.add(new_event(id="early"), 10.0)
    outbox.add(new_event(id="in between"), 13.0)
    outbox.add(update_event("in between"), 14.0)
    outbox.add(new_event(id="late"), 20.0)
    outbox.add(update_event("early"), 21.0)
    outbox.add(new_event(id="elsewhere", camera="yard"), 22.0)
    gone = outbox.discard(["porch"], new_after=15.0)
    assert [(event.id, event.type) for event in gone] == [
        ("in between", "update"),
        ("late", "new"),
        ("early", "update"),
    ]
    assert waiting(outbox) == ["of an earlier run", "early", "in between", "elsewhere"]
    assert len(outbox) == 4
    assert outbox._disk is not None
    for number in outbox.rewind():
        outbox.remove(number)
    assert outbox._disk._bytes == len(outbox) == 0


def test_what_is_discarded_from_a_disk_that_cannot_be_written_is_not_sent(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = shelf.open()
    acknowledged = outbox.add(new_event(id="acknowledged"), 20.0)
    outbox.add(new_event(id="on the disk"), 20.0)
    outbox.add(new_event(id="elsewhere", camera="yard"), 20.0)
    with monkeypatch.context() as patch:
        make_read_only(outbox, patch)
        outbox.add(new_event(id="in memory"), 21.0)
        outbox.remove(acknowledged)
        assert len(outbox) == 3
        gone = outbox.discard(["porch"], new_after=15.0)
        assert [event.id for event in gone] == ["on the disk", "in memory"]
        assert waiting(outbox) == ["elsewhere"]
        assert len(outbox) == 1
    shelf.clock.seconds += RETRY_SECONDS
    assert waiting(outbox) == ["elsewhere"]
    assert len(outbox) == 1
    outbox.close()
    assert waiting(shelf.open()) == ["elsewhere"]


def test_acknowledged_events_of_a_failing_disk_are_counted_once(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = shelf.open()
    with monkeypatch.context() as patch:
        make_read_only(outbox, patch)
        for number in [outbox.add(new_event(), CAME) for _ in range(3)]:
            outbox.remove(number)
        assert len(outbox) == 0
