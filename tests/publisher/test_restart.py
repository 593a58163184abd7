"""What a publisher remembers over a restart, and what it publishes because of that."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from streamwatch.publisher import Publisher
from streamwatch.publisher.outbox.sqlite import SqliteOutbox
from tests.parts.mosquitto import Mosquitto, StartMosquitto, Subscriber
from tests.publisher.events import MOMENT, end_event, new_event, update_event
from tests.publisher.running import make, running

PORCH = ("porch", "car")


def publisher_of_run(
    broker: Mosquitto, folder: Path, step: timedelta = timedelta(0), *, passed: float = 0.0
) -> Publisher:
    """The clock was set by `step` since the last run, and so many seconds have `passed`."""
    return make(
        broker,
        folder.name,
        outbox=folder / "outbox.sqlite3",
        now=lambda: MOMENT + step,
        seconds=lambda: time.monotonic() + passed,
    )


def test_visits_from_before_a_restart_are_known_with_their_age(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    with running(publisher_of_run(mosquitto, tmp_path)) as publisher:
        assert publisher.remembered == ()
        for event in (
            *(new_event(id="open"), update_event("open", captured_at=MOMENT)),
            *(new_event(id="left"), end_event("left")),
            *(new_event(id="stopped"), replace(end_event("stopped"), reason="shutdown")),
            new_event(id="missed"),
        ):
            publisher.event(event)
        seen = update_event("open", captured_at=MOMENT + timedelta(seconds=20))
        publisher.remember([seen, end_event("stopped")])
    found = publisher_of_run(mosquitto, tmp_path, passed=500.0).remembered
    assert [(visit.last.id, visit.last.sequence, visit.open) for visit in found] == [
        ("open", 1, True),
        ("stopped", 1, False),
    ]
    assert [visit.age_seconds for visit in found] == [pytest.approx(500, abs=60)] * 2


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_that_was_set_makes_no_visit_older(
    tmp_path: Path, mosquitto: Mosquitto, days: int
) -> None:
    with running(publisher_of_run(mosquitto, tmp_path)) as publisher:
        publisher.event(new_event())
    (visit,) = publisher_of_run(mosquitto, tmp_path, timedelta(days=days)).remembered
    assert visit.age_seconds < 60


def test_a_state_stays_on_over_a_restart(tmp_path: Path, mosquitto: Mosquitto) -> None:
    state = f"{tmp_path.name}/state/porch/car"
    with Subscriber(mosquitto.port, f"{tmp_path.name}/#") as subscriber:
        with running(publisher_of_run(mosquitto, tmp_path)) as publisher:
            publisher.declare(["porch"], [PORCH])
            publisher.event(new_event(id="a"))
            subscriber.wait_for_payload(state, b"ON")
        with running(publisher_of_run(mosquitto, tmp_path)) as publisher:
            publisher.declare(["porch"], [PORCH])
            publisher.event(update_event("a"))
            publisher.event(end_event("a", 2))
            subscriber.wait_for_payload(state, b"OFF")
        assert [message.payload for message in subscriber.of(state)] == [
            b"OFF",
            b"ON",
            b"ON",
            b"OFF",
        ]


def test_a_state_is_off_after_a_clean_stop(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Even if the broker has a retained ON."""
    state = f"{tmp_path.name}/state/porch/car"
    with running(publisher_of_run(mosquitto, tmp_path)) as publisher:
        publisher.event(new_event(id="a"))
        publisher.event(replace(end_event("a"), reason="shutdown"))
    with Subscriber(mosquitto.port, f"{tmp_path.name}/#") as subscriber:
        subscriber.publish(state, b"ON", retain=True)
        with running(publisher_of_run(mosquitto, tmp_path)) as publisher:
            publisher.declare(["porch"], [PORCH])
            subscriber.wait_for_payload(state, b"OFF")


def test_the_retained_state_of_a_watch_removed_between_runs_is_cleared(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    state = f"{tmp_path.name}/state/porch/car"
    with running(publisher_of_run(mosquitto, tmp_path)) as publisher:
        publisher.declare(["porch"], [PORCH])
        publisher.event(new_event(id="a"))
    with Subscriber(mosquitto.port, f"{tmp_path.name}/#") as subscriber:
        subscriber.wait_for_payload(state, b"ON")
        with running(publisher_of_run(mosquitto, tmp_path)) as publisher:
            publisher.event(replace(end_event("a"), reason="restart"))
            publisher.forget((), [PORCH])
            publisher.declare(["porch"], [])
            subscriber.wait_for_payload(state, b"")
    with Subscriber(mosquitto.port, f"{tmp_path.name}/#") as after:
        after.wait_for_payload(f"{tmp_path.name}/status", b"offline")
        assert not after.of(state)


def test_alerts_that_waited_over_restarts_are_sent_in_order(
    tmp_path: Path, start_mosquitto: StartMosquitto
) -> None:
    broker = start_mosquitto()
    topic = f"{tmp_path.name}/events/porch/car"
    with Subscriber(broker.port, f"{tmp_path.name}/#", client_id="witness") as subscriber:
        broker.stop()
        for sequence, event in enumerate((new_event(id="a"), update_event("a"), end_event("a", 2))):
            publisher = publisher_of_run(broker, tmp_path)
            publisher.start()
            publisher.event(event)
            assert publisher.stop(0.5) == sequence + 1
        broker.start()
        with running(publisher_of_run(broker, tmp_path)) as publisher:
            assert publisher.remembered == ()
            subscriber.wait_for(lambda _: len(subscriber.of(topic)) == 3)
    told = [message.json for message in subscriber.of(topic)]
    assert [(event["type"], event["sequence"]) for event in told] == [
        ("new", 0), ("update", 1), ("end", 2),
    ]  # fmt: skip


@pytest.mark.expects_errors
def test_an_outbox_with_a_row_of_another_kind_is_told_and_the_rest_sent(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    file = tmp_path / "outbox.sqlite3"
    with closing(SqliteOutbox(file)) as outbox:
        for name in ("a", "b", "c"):
            outbox.add(new_event(id=name), 0.0)
        outbox._database.execute("UPDATE events SET event = '{\"mood\": 1}' WHERE visit = 'b'")
        outbox._database.execute("UPDATE visits SET event = '{\"mood\": 1}' WHERE visit = 'b'")
    with (
        Subscriber(mosquitto.port, f"{tmp_path.name}/#") as subscriber,
        running(publisher_of_run(mosquitto, tmp_path)),
    ):
        subscriber.wait_for(lambda _: subscriber.of(f"{tmp_path.name}/errors"))
        subscriber.wait_for(lambda _: len(subscriber.of(f"{tmp_path.name}/events/porch/car")) == 2)
    told = [message.json["id"] for message in subscriber.of(f"{tmp_path.name}/events/porch/car")]
    assert told == ["a", "c"]
    (report,) = subscriber.of(f"{tmp_path.name}/errors")
    assert report.json["message"].startswith(
        "alerts in the outbox not understood by this version of streamwatch: 1;"
    )


@pytest.mark.expects_errors
def test_a_broken_outbox_is_told_and_replaced(tmp_path: Path, mosquitto: Mosquitto) -> None:
    (tmp_path / "outbox.sqlite3").write_bytes(b"garbage" * 1000)
    with (
        Subscriber(mosquitto.port, f"{tmp_path.name}/#") as subscriber,
        running(publisher_of_run(mosquitto, tmp_path)) as publisher,
    ):
        publisher.event(new_event())
        subscriber.wait_for(lambda _: subscriber.of(f"{tmp_path.name}/errors"))
        subscriber.wait_for(lambda _: subscriber.of(f"{tmp_path.name}/events/porch/car"))
    (report,) = subscriber.of(f"{tmp_path.name}/errors")
    assert (
        "is broken (file is not a database); it is kept as outbox.broken-1"
        in (report.json["message"])
    )
