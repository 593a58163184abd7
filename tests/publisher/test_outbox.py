from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from streamwatch.publisher.outbox import MemoryOutbox
from streamwatch.records import Event
from tests.publisher.events import end_event, new_event, update_event


def left(outbox: MemoryOutbox) -> list[tuple[str, str, int]]:
    """What would be sent now: id, type, sequence."""
    waiting = [outbox.take(number) for number in outbox.rewind()]
    return [(each.event.id, each.event.type, each.event.sequence) for each in waiting if each]


def filled(max_events: int, events: Sequence[Event]) -> MemoryOutbox:
    outbox = MemoryOutbox(max_events)
    for event in events:
        outbox.add(event, 0.0)
    return outbox


def visit(name: str) -> list[Event]:
    return [new_event(id=name), update_event(name, 1), end_event(name, 2)]


def test_events_keep_their_order_until_they_are_removed() -> None:
    outbox = MemoryOutbox()
    numbers = [outbox.add(event, 1.5) for event in visit("a")]
    assert numbers == sorted(numbers)
    taken = outbox.take(numbers[0])
    assert taken is not None
    assert (taken.event.type, taken.since_seconds) == ("new", 1.5)
    assert outbox.take(numbers[0]) is taken
    outbox.remove(numbers[0])
    outbox.remove(numbers[0])
    assert outbox.take(numbers[0]) is None
    assert left(outbox) == [("a", "update", 1), ("a", "end", 2)]
    assert len(outbox) == 2


def test_updates_go_first_the_oldest_first() -> None:
    outbox = filled(4, [*visit("a"), *visit("b")])
    assert left(outbox) == [("a", "new", 0), ("a", "end", 2), ("b", "new", 0), ("b", "end", 2)]
    assert outbox.dropped == 2


def test_then_whole_visits_from_the_oldest() -> None:
    events = [event for name in "abc" for event in (new_event(id=name), end_event(name))]
    outbox = filled(4, events)
    assert left(outbox) == [("b", "new", 0), ("b", "end", 1), ("c", "new", 0), ("c", "end", 1)]
    assert outbox.dropped == 2


def test_what_comes_later_of_a_dropped_visit_is_dropped_too() -> None:
    outbox = filled(1, [new_event(id="a"), new_event(id="b")])
    outbox.add(update_event("a"), 0.0)
    outbox.add(end_event("a", 2), 0.0)
    assert left(outbox) == [("b", "new", 0)]
    assert outbox.dropped == 3
    # Its end was seen, so nothing is remembered of it for ever.
    outbox.remove(outbox.rewind()[0])
    outbox.add(new_event(id="a"), 0.0)
    assert left(outbox) == [("a", "new", 0)]


def test_the_end_of_a_visit_that_was_announced_is_kept_as_long_as_possible() -> None:
    outbox = MemoryOutbox(2)
    begun = outbox.add(new_event(id="a"), 0.0)
    outbox.take(begun)
    outbox.remove(begun)
    outbox.add(end_event("a"), 0.0)
    outbox.add(new_event(id="b"), 0.0)
    outbox.add(new_event(id="c"), 0.0)
    assert left(outbox) == [("a", "end", 1), ("c", "new", 0)]


def test_what_was_handed_over_is_not_dropped() -> None:
    outbox = MemoryOutbox(1)
    first = outbox.add(update_event("a"), 0.0)
    assert outbox.take(first) is not None
    outbox.add(new_event(id="b"), 0.0)
    assert left(outbox) == [("a", "update", 1)]
    assert outbox.dropped == 1


STEPS = st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), max_size=80)


@given(steps=STEPS, max_events=st.integers(1, 10))
def test_no_visit_is_left_without_its_beginning_or_its_end(
    steps: list[tuple[str, bool]], max_events: int
) -> None:
    """Whatever comes, with nothing sent meanwhile: a `new` is there for all that waits, and an
    `end` for each visit that ended."""
    outbox = MemoryOutbox(max_events)
    open_visits: dict[str, str] = {}
    ended: set[str] = set()
    for count, (name, ends) in enumerate(steps):
        if name not in open_visits:
            open_visits[name] = f"{name}{count}"
            outbox.add(new_event(id=open_visits[name]), 0.0)
        elif ends:
            ended.add(open_visits[name])
            outbox.add(end_event(open_visits.pop(name), 2), 0.0)
        else:
            outbox.add(update_event(open_visits[name]), 0.0)
        assert len(outbox) <= max_events
    kinds: dict[str, list[str]] = {}
    for visit_id, kind, _ in left(outbox):
        kinds.setdefault(visit_id, []).append(kind)
    for visit_id, seen in kinds.items():
        assert seen[0] == "new"
        assert (seen[-1] == "end") == (visit_id in ended)
