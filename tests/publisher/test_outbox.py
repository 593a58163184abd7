from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.publisher.outbox.sqlite import ROW_BYTES, SqliteOutbox
from streamwatch.records import Clip, Event, Told
from tests.publisher.events import (
    MOMENT,
    clip_of,
    end_event,
    event_in,
    new_event,
    update_event,
)

NOW = time.monotonic()
LONGEST = 457
"""Bytes of the longest event here, as stored."""


def left(outbox: SqliteOutbox) -> list[tuple[str, str, int]]:
    """The events that would be sent now: id, type, sequence."""
    waiting = [outbox.take(number) for number in outbox.rewind()]
    events = [event_in(each) for each in waiting if each and not isinstance(each.told, Clip)]
    return [(event.id, event.type, event.sequence) for event in events]


def filled(max_events: int, events: Sequence[Told]) -> SqliteOutbox:
    outbox = room_for(max_events)
    for event in events:
        outbox.add(event, NOW)
    return outbox


def room_for(events: int) -> SqliteOutbox:
    """An outbox with room for so many of the events used here, which are about equally long."""
    return SqliteOutbox(max_bytes=events * (LONGEST + ROW_BYTES))


def fields_of(event: Event) -> dict[str, object]:
    """Events are compared by identity, since pictures can't be compared."""
    return {field.name: getattr(event, field.name) for field in fields(Event)}


def visit(name: str) -> list[Event]:
    return [new_event(id=name), update_event(name, 1), end_event(name, 2)]


def test_events_keep_their_order_until_they_are_removed() -> None:
    outbox = SqliteOutbox()
    numbers = [outbox.add(event, NOW) for event in visit("a")]
    assert numbers == sorted(numbers)
    taken = outbox.take(numbers[0])
    assert taken is not None
    assert taken.told.type == "new"
    assert outbox.take(numbers[0]) is not None
    outbox.remove(numbers[0])
    outbox.remove(numbers[0])
    assert outbox.take(numbers[0]) is None
    assert left(outbox) == [("a", "update", 1), ("a", "end", 2)]
    assert len(outbox) == 2


def test_a_full_outbox_drops_updates_first() -> None:
    outbox = filled(4, [*visit("a"), *visit("b")])
    assert left(outbox) == [("a", "new", 0), ("a", "end", 2), ("b", "new", 0), ("b", "end", 2)]
    assert outbox.dropped == 2


def test_without_updates_whole_visits_are_dropped_from_the_oldest() -> None:
    events = [event for name in "abc" for event in (new_event(id=name), end_event(name))]
    outbox = filled(4, events)
    assert left(outbox) == [("b", "new", 0), ("b", "end", 1), ("c", "new", 0), ("c", "end", 1)]
    assert outbox.dropped == 2


def test_later_events_of_a_dropped_visit_are_dropped_too() -> None:
    outbox = filled(1, [new_event(id="a"), new_event(id="b")])
    outbox.add(update_event("a"), NOW)
    outbox.add(end_event("a", 2), NOW)
    assert left(outbox) == [("b", "new", 0)]
    assert outbox.dropped == 3
    # After its end the dropped visit is forgotten: its id may be used again.
    outbox.remove(outbox.rewind()[0])
    outbox.add(new_event(id="a"), NOW)
    assert left(outbox) == [("a", "new", 0)]


def test_the_end_of_an_announced_visit_is_kept_as_long_as_possible() -> None:
    outbox = room_for(2)
    begun = outbox.add(new_event(id="a"), NOW)
    outbox.take(begun)
    outbox.remove(begun)
    outbox.add(end_event("a"), NOW)
    outbox.add(new_event(id="b"), NOW)
    outbox.add(new_event(id="c"), NOW)
    assert left(outbox) == [("a", "end", 1), ("c", "new", 0)]


def test_an_event_being_sent_is_not_dropped() -> None:
    outbox = room_for(1)
    first = outbox.add(update_event("a"), NOW)
    assert outbox.take(first) is not None
    outbox.add(new_event(id="b"), NOW)
    assert left(outbox) == [("a", "update", 1)]
    assert outbox.dropped == 1


def kinds(outbox: SqliteOutbox) -> list[tuple[str, str]]:
    """The same with the clips: id, type."""
    waiting = [outbox.take(number) for number in outbox.rewind()]
    return [(each.told.id, each.told.type) for each in waiting if each]


def test_of_what_is_told_clips_go_after_updates_and_before_visits() -> None:
    whole = (new_event(id="a"), end_event("a", 2), clip_of("a"))
    outbox = filled(4, [*whole, new_event(id="b"), update_event("b")])
    assert kinds(outbox) == [("a", "new"), ("a", "end"), ("a", "clip"), ("b", "new")]
    outbox.rewind()  # nothing is being sent
    outbox.add(end_event("b", 2), NOW)
    assert kinds(outbox) == [("a", "new"), ("a", "end"), ("b", "new"), ("b", "end")]
    assert outbox.dropped == 2


def test_the_clip_of_a_dropped_visit_is_dropped() -> None:
    outbox = filled(1, [new_event(id="a"), new_event(id="b")])
    outbox.add(clip_of("a"), NOW)
    assert kinds(outbox) == [("b", "new")]
    outbox.add(end_event("a", 2), NOW)
    outbox.remove(outbox.rewind()[0])
    outbox.add(clip_of("a"), NOW)  # nobody waits for it any more, but what it says is true
    assert kinds(outbox) == [("a", "clip")]


def test_a_visit_that_ended_before_its_clip_was_whole_is_not_given_up_for_ever() -> None:
    outbox = room_for(3)
    told: tuple[Told, ...] = (new_event(id="a"), end_event("a", 2), clip_of("a"))
    for each in told:
        outbox.add(each, NOW)
    outbox.take(outbox.rewind()[2])
    outbox.add(new_event(id="b"), NOW)  # there is no room for it and all of the other
    outbox.add(new_event(id="a"), NOW)
    assert ("a", "new") in kinds(outbox)


def test_a_clip_waits_as_it_came_and_is_no_visit(tmp_path: Path) -> None:
    before = SqliteOutbox(tmp_path / "outbox")
    none = clip_of("b", path=None, started_at=None, codec=None, complete=False, reason="no video")
    for clip in (clip_of("a"), none):
        before.add(clip, NOW)
    assert before.visits() == ()
    assert before.left_over() == {}
    assert before.discard(["porch"], NOW - 1) == ()
    before.close()
    after = SqliteOutbox(tmp_path / "outbox")
    taken = [after.take(number) for number in after.rewind()]
    assert [each and each.told for each in taken] == [clip_of("a"), none]
    assert after.left_over() == {}


STEPS = st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), max_size=80)


@given(steps=STEPS, max_events=st.integers(1, 10))
def test_no_visit_loses_only_its_new_or_its_end(
    steps: list[tuple[str, bool]], max_events: int
) -> None:
    """Whatever is added while nothing is sent, each waiting visit has its `new`, and its `end` if
    it ended."""
    outbox = room_for(max_events)
    open_visits: dict[str, str] = {}
    ended: set[str] = set()
    for count, (name, ends) in enumerate(steps):
        if name not in open_visits:
            open_visits[name] = f"{name}{count}"
            outbox.add(new_event(id=open_visits[name]), NOW)
        elif ends:
            ended.add(open_visits[name])
            outbox.add(end_event(open_visits.pop(name), 2), NOW)
        else:
            outbox.add(update_event(open_visits[name]), NOW)
        assert len(outbox) <= max_events
    kinds: dict[str, list[str]] = {}
    for visit_id, kind, _ in left(outbox):
        kinds.setdefault(visit_id, []).append(kind)
    for visit_id, seen in kinds.items():
        assert seen[0] == "new"
        assert (seen[-1] == "end") == (visit_id in ended)


def test_waiting_events_survive_a_restart(tmp_path: Path) -> None:
    before = SqliteOutbox(tmp_path / "outbox")
    events = [new_event(id="a", position=1.5), update_event("a", 1), end_event("a", 2)]
    numbers = [before.add(event, NOW) for event in events]
    before.remove(numbers[0])
    before.close()
    after = SqliteOutbox(tmp_path / "outbox")
    assert len(after) == 2
    taken = [after.take(number) for number in after.rewind()]
    for waiting, event in zip(taken, events[1:], strict=True):
        assert fields_of(event_in(waiting)) == fields_of(event)
    assert after.add(new_event(), NOW) > numbers[2]


def test_two_outboxes_cannot_open_one_file(tmp_path: Path) -> None:
    first = SqliteOutbox(tmp_path / "outbox")
    first.add(new_event(), NOW)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        SqliteOutbox(tmp_path / "outbox")


def test_open_and_stopped_visits_are_remembered_with_their_last_event() -> None:
    outbox = SqliteOutbox()
    for event in (
        *(new_event(id="open"), update_event("open", 1)),
        *(new_event(id="left"), end_event("left")),
        *(new_event(id="stopped"), replace(end_event("stopped"), reason="shutdown")),
    ):
        outbox.remove(outbox.add(event, NOW))
    visits = [visit.last for visit in outbox.visits()]
    assert [(event.id, event.type, event.sequence) for event in visits] == [
        ("open", "update", 1),
        ("stopped", "end", 1),
    ]
    outbox.add(new_event(id="again", continues="stopped"), NOW)
    assert [visit.last.id for visit in outbox.visits()] == ["again", "open"]


def test_remember_updates_open_visits_and_forgets_the_rest() -> None:
    outbox = SqliteOutbox()
    for event in (new_event(id="gone"), new_event(id="moved"), new_event(id="still")):
        outbox.remove(outbox.add(event, NOW))
    moved = new_event(id="moved", box=(1.0, 2.0, 3.0, 4.0), captured_at=MOMENT + timedelta(hours=1))
    outbox.remember([moved, outbox.visits()[2].last, new_event(id="never told")])
    standing = {visit.last.id: visit.last for visit in outbox.visits()}
    assert standing.keys() == {"moved", "still"}
    assert fields_of(standing["moved"]) == fields_of(moved)
    assert len(outbox) == 0


def test_a_dropped_visit_is_not_continued_after_a_restart() -> None:
    outbox = room_for(1)
    outbox.add(new_event(id="a"), NOW)
    outbox.add(replace(end_event("a"), reason="shutdown"), NOW)
    assert (left(outbox), outbox.visits()) == ([], ())
