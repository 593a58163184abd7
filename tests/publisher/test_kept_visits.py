"""The open visits of a worker's cameras, as the broker keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.publisher.contract.topics import Topics
from streamwatch.publisher.mqtt.delivery import Delivery
from streamwatch.publisher.mqtt.steps import Message
from streamwatch.publisher.outbox.outbox import Waiting
from streamwatch.publisher.outbox.rows import FORMAT, row_of
from streamwatch.publisher.outbox.sqlite import SqliteOutbox
from streamwatch.publisher.visits import KeptVisits, visits_of, visits_text
from streamwatch.records import Event
from tests.publisher.events import MOMENT, end_event, new_event, picture, update_event
from tests.publisher.running import Clock

TOPICS = Topics("p", "one")


class Shelf:
    """Visits, and what the next connection would send of them."""

    def __init__(self) -> None:
        self.delivery = Delivery(
            SqliteOutbox(), compose=_not_composed, complain=_not_complained, seconds=Clock()
        )
        self.visits = KeptVisits(self.delivery)

    def at_the_broker(self, camera: str = "porch") -> list[bytes] | None:
        """None where nothing is sent there."""
        topic = TOPICS.visits(camera)
        for step in self.delivery._retained:
            if step.message.topic == topic:
                return rows([visit.last for visit in visits_of(step.message.payload, MOMENT)])
        return [] if any(c.topic == topic for c in self.delivery._retained.clearings) else None


def rows(events: Iterable[Event]) -> list[bytes]:
    """Events as they are compared."""
    return [row_of(event) for event in events]


def _not_composed(_: Waiting) -> Message:
    raise AssertionError


def _not_complained(_: str) -> None:
    raise AssertionError


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def test_visits_of_several_cameras_are_kept_apart(shelf: Shelf) -> None:
    a, b, c = new_event(id="a"), new_event(id="b", picture=picture()), new_event(camera="yard")
    for event in (a, b, c):
        shelf.visits.note(event, TOPICS)
        shelf.visits.sent(event, TOPICS)
    assert shelf.at_the_broker() == rows([a, replace(b, picture=None)])
    assert shelf.at_the_broker("yard") == rows([c])
    shelf.visits.note(end_event("a"), TOPICS)
    shelf.visits.sent(end_event("a"), TOPICS)
    shelf.visits.leave("yard", TOPICS)
    assert shelf.at_the_broker() == rows([replace(b, picture=None)])
    assert shelf.at_the_broker("yard") is None


def test_a_visit_takes_the_place_of_the_one_that_it_continues(shelf: Shelf) -> None:
    shelf.visits.adopt(["porch"], [new_event(id="a")], TOPICS)
    b = new_event(id="b", continues="a")
    shelf.visits.note(b, TOPICS)
    assert shelf.at_the_broker() == rows([b])


def test_what_is_not_kept_is_not_remembered(shelf: Shelf) -> None:
    shelf.visits.adopt(["porch"], [], TOPICS)
    shelf.visits.remember([update_event("unknown"), update_event("x", camera="yard")], TOPICS)
    assert shelf.at_the_broker() == []
    assert shelf.at_the_broker("yard") is None


def test_what_has_not_changed_is_not_sent_again(shelf: Shelf) -> None:
    shelf.visits.adopt(["porch"], [new_event(id="a")], TOPICS)
    shelf.delivery.drop(TOPICS.visits("porch"))
    shelf.visits.remember([update_event("a", 0)], TOPICS)
    assert shelf.at_the_broker() is None
    shelf.visits.remember([update_event("a", 0, confidence=0.5)], TOPICS)
    assert shelf.at_the_broker() == rows([new_event(id="a", confidence=0.5)])


def test_an_end_without_a_beginning_leaves_nothing(shelf: Shelf) -> None:
    shelf.visits.note(end_event("a"), TOPICS)
    shelf.visits.sent(end_event("a"), TOPICS)
    assert shelf.at_the_broker() == []


def test_visits_that_come_twice_are_kept_once(shelf: Shelf) -> None:
    a = new_event(id="a")
    for _ in range(2):
        shelf.visits.adopt(["porch"], [a], TOPICS)
    assert shelf.at_the_broker() == rows([a])
    shelf.visits.leave("porch", TOPICS)
    shelf.visits.adopt(["porch"], [], TOPICS)
    assert shelf.at_the_broker() == []


def test_a_camera_that_is_no_more_is_cleared(shelf: Shelf) -> None:
    shelf.visits.adopt(["porch"], [new_event(id="a")], TOPICS)
    shelf.visits.forget("porch", TOPICS)
    shelf.visits.remember([update_event("a")], TOPICS)
    assert shelf.at_the_broker() == []


def broken(**changes: Any) -> bytes:
    """A payload with one visit, some of whose fields are others."""
    fields = json.loads(visits_text([new_event()]))
    fields["visits"][0] |= changes
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    "payload",
    [
        *(None, b"", b"\xff\xfe", b"{", b"[]", b"null", b"1", b'"x"', b"{}", b"[" * 100_000),
        *(b'{"format":"1","visits":[]}', b'{"format":1}', b'{"format":1,"visits":{}}'),
        b'{"format":1,"visits":[null,1,"x",[],{}]}',
        b'{"format":1,"visits":[' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"]}",
        visits_text([new_event()]).replace(b'"format":1', b'"format":2'),
        *(broken(confidence=10**400), broken(confidence=float("nan")), broken(box=[1, 2, 3])),
        *(broken(captured_at="yesterday"), broken(captured_at="2026-01-02"), broken(more=1)),
        broken(camera="a/b"),
    ],
)
def test_what_is_not_understood_holds_no_visits(payload: bytes | None) -> None:
    assert visits_of(payload, MOMENT) == []


def test_the_visits_beside_a_broken_one_are_read() -> None:
    a, b = new_event(id="a"), new_event(id="b")
    payload = visits_text([a, b]).replace(b'"visits":[', b'"visits":[{"id":"x"},')
    assert rows(visit.last for visit in visits_of(payload, MOMENT)) == rows([a, b])
    assert f'"format":{FORMAT}'.encode() in payload


def test_an_age_is_never_negative() -> None:
    ages = [
        visit.age_seconds
        for visit in visits_of(
            visits_text(
                new_event(captured_at=MOMENT + timedelta(seconds=seconds)) for seconds in (-9, 9)
            ),
            MOMENT,
        )
    ]
    assert ages == [9.0, 0.0]


ZONES = st.sampled_from((UTC, timezone(timedelta(hours=-9, minutes=30))))
EVENTS = st.builds(
    new_event,
    id=st.text(),
    type=st.sampled_from(("new", "update", "end")),
    prompt=st.text(),
    track=st.integers(0, 10**9),
    confidence=st.floats(0, 1),
    box=st.tuples(*[st.floats(-1e6, 1e6)] * 4),
    zones=st.lists(st.text(), max_size=3).map(tuple),
    captured_at=st.datetimes(timezones=ZONES),
    sequence=st.integers(0, 10**9),
    reason=st.sampled_from((None, "left", "restart")),
    continues=st.none() | st.text(),
    snapshot=st.booleans(),
)


@given(st.lists(EVENTS, max_size=4))
def test_visits_are_read_as_they_were_written(events: list[Event]) -> None:
    read = [visit.last for visit in visits_of(visits_text(events), MOMENT)]
    assert rows(read) == rows(events)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
def test_any_field_may_be_broken(value: object) -> None:
    for name in json.loads(visits_text([new_event()]))["visits"][0]:
        visits_of(broken(**{name: value}), MOMENT)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(("event", "end", "remember")))))
def test_the_broker_has_the_newest_event_of_each_open_visit(steps: list[tuple[str, str]]) -> None:
    shelf = Shelf()
    shelf.visits.adopt(["porch"], [], TOPICS)
    there: dict[str, Event] = {}
    for number, (visit, step) in enumerate(steps):
        if step == "remember":
            there = {
                id: replace(event, confidence=number / len(steps)) for id, event in there.items()
            }
            shelf.visits.remember(there.values(), TOPICS)
        else:
            sequence = there[visit].sequence + 1 if visit in there else 0
            event = (end_event if step == "end" else update_event)(visit, sequence)
            shelf.visits.note(event, TOPICS)
            there[visit] = event
            assert shelf.at_the_broker() == rows(list(there.values()))
            shelf.visits.sent(event, TOPICS)
            if step == "end":
                del there[visit]
        assert shelf.at_the_broker() == rows(list(there.values()))
