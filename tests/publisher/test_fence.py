"""Whether the cameras of a worker are still its own, with a connection that is told what to say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from streamwatch.publisher.contract.topics import Topics
from streamwatch.publisher.mqtt.attempt import Arrived, Subscribed
from streamwatch.publisher.mqtt.connection import Connection
from streamwatch.publisher.mqtt.fence import QUIET_SECONDS, SUBSCRIBE_SECONDS, Fence
from tests.publisher.running import Clock


class Line:
    """A connection that notes what is subscribed to."""

    def __init__(self, *, subscribes: bool = True) -> None:
        self.filters: list[str] = []
        self.subscriptions = 0
        self._subscribes = subscribes

    def subscribe(self, filters: Sequence[str], *, retained: bool, qos: int) -> int | None:
        assert retained
        assert qos == 0
        if not self._subscribes:
            return None
        self.filters += filters
        self.subscriptions += 1
        return self.subscriptions

    def unsubscribe(self, filters: Sequence[str]) -> None:
        for topic in filters:
            self.filters.remove(topic)


class Gate:
    """A fence with its clock, and what it has told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lost: list[str] = []
        self.complaints: list[str] = []
        self.fence = Fence(Topics("p", "one"), self.lost.append, self.clock, self.complaints.append)

    def connect(self, **options: bool) -> Line:
        line = Line(**options)
        self.fence.begin(cast("Connection", line))
        return line

    def hear(self, camera: str, owner: bytes | None, *, retained: bool = True) -> bool:
        topic = f"p/cameras/{camera}/worker"
        return self.fence.arrived(Arrived(1, topic, owner, retained, None, None))

    def answered(self, subscription: int, refusal: str | None = None) -> None:
        self.fence.subscribed(Subscribed(1, subscription, refusal))

    @property
    def seconds_left(self) -> float:
        return self.fence.seconds_left


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_without_cameras_there_is_nothing_to_wait_for(gate: Gate) -> None:
    assert gate.seconds_left == float("inf")
    line = gate.connect()
    assert gate.seconds_left == 0
    assert line.filters == []


def test_it_waits_until_every_owner_is_heard(gate: Gate) -> None:
    gate.fence.own(["porch", "yard"])
    gate.connect()
    gate.answered(1)
    assert gate.hear("porch", b"one")
    assert 0 < gate.seconds_left <= QUIET_SECONDS
    assert gate.hear("yard", b"one")
    assert gate.seconds_left == 0
    assert gate.lost == []


def test_where_no_owner_is_retained_it_goes_on_some_seconds_after_the_answer(gate: Gate) -> None:
    gate.fence.own(["porch"])
    gate.connect()
    gate.clock.seconds += SUBSCRIBE_SECONDS - 1
    gate.answered(1)
    assert gate.seconds_left == QUIET_SECONDS
    gate.clock.seconds += QUIET_SECONDS
    assert gate.seconds_left == 0
    assert gate.fence.is_own("porch")


@pytest.mark.parametrize("subscribes", [True, False], ids=["no answer", "no subscription"])
def test_where_the_subscription_is_not_answered_it_goes_on(gate: Gate, subscribes: bool) -> None:
    gate.fence.own(["porch"])
    gate.connect(subscribes=subscribes)
    assert gate.seconds_left == SUBSCRIBE_SECONDS
    gate.clock.seconds += SUBSCRIBE_SECONDS
    assert gate.seconds_left == 0


def test_the_answer_to_another_subscription_does_not_count(gate: Gate) -> None:
    gate.fence.own(["porch"])
    gate.connect()
    gate.clock.seconds += SUBSCRIBE_SECONDS - 1
    gate.answered(7)
    assert gate.seconds_left == 1


def test_a_refused_subscription_is_told_once(gate: Gate) -> None:
    gate.fence.own(["porch"])
    for _ in range(2):
        gate.connect()
        gate.answered(1, "Not authorized")
        assert gate.seconds_left == QUIET_SECONDS
        gate.fence.lost()
    (complaint,) = gate.complaints
    assert "p/cameras/+/worker" in complaint
    assert "not authorized" in complaint


def test_while_the_connection_is_away_it_is_never_passed(gate: Gate) -> None:
    gate.fence.own(["porch"])
    gate.connect()
    gate.fence.lost()
    gate.clock.seconds += 60
    assert gate.seconds_left == float("inf")
    gate.connect()
    assert gate.seconds_left == SUBSCRIBE_SECONDS


@pytest.mark.parametrize("payload", [b"", None], ids=["empty", "too large"])
def test_what_names_nobody_leaves_the_camera_where_it_is(gate: Gate, payload: bytes | None) -> None:
    gate.fence.own(["porch"])
    gate.connect()
    assert gate.hear("porch", payload)
    assert gate.seconds_left == 0
    assert gate.fence.is_own("porch")


@pytest.mark.parametrize("stale", [b"one", b"two"])
def test_what_was_kept_for_the_former_connection_does_not_count(gate: Gate, stale: bytes) -> None:
    gate.fence.own(["porch", "yard"])
    gate.connect()
    gate.hear("porch", stale, retained=False)
    gate.hear("yard", stale, retained=False)
    assert gate.lost == []
    gate.answered(1)
    assert gate.seconds_left == QUIET_SECONDS
    gate.hear("porch", b"two")
    gate.hear("yard", b"one", retained=False)
    assert gate.lost == ["porch"]
    assert gate.seconds_left == 0


def test_what_was_said_before_a_camera_came_again_does_not_count(gate: Gate) -> None:
    gate.connect()
    gate.fence.own(["porch"])
    gate.hear("porch", b"two", retained=False)
    gate.hear("porch", b"one")
    gate.answered(1)
    assert gate.lost == []
    gate.hear("porch", b"two", retained=False)
    assert gate.lost == ["porch"]


def test_a_camera_of_another_is_lost_once_while_waiting_and_later(gate: Gate) -> None:
    gate.fence.own(["porch", "yard"])
    line = gate.connect()
    gate.hear("porch", b"two")
    gate.hear("porch", b"three")
    gate.hear("yard", b"one")
    assert gate.lost == ["porch"]
    assert line.filters == ["p/cameras/yard/worker"]
    gate.fence.passed = True
    gate.hear("yard", b"two")
    assert gate.lost == ["porch", "yard"]
    assert line.filters == []


def test_a_camera_that_is_left_while_waiting_is_not_waited_for(gate: Gate) -> None:
    gate.fence.own(["porch"])
    gate.connect()
    gate.fence.disown(["porch", "porch", "unknown"])
    assert gate.seconds_left == 0
    assert not gate.hear("porch", b"two")
    assert gate.lost == []


def test_a_camera_that_comes_twice_is_subscribed_to_once(gate: Gate) -> None:
    line = gate.connect()
    gate.fence.own(["porch"])
    gate.fence.own(["porch", "yard"])
    assert line.filters == ["p/cameras/porch/worker", "p/cameras/yard/worker"]


def test_one_that_comes_while_waiting_ends_the_wait_too(gate: Gate) -> None:
    gate.fence.own(["porch"])
    gate.connect()
    gate.fence.own(["yard"])
    gate.answered(1)
    gate.answered(2)
    assert gate.seconds_left == QUIET_SECONDS
    gate.hear("porch", b"one")
    assert gate.seconds_left == 0


def test_with_another_prefix_the_cameras_stay_and_the_topics_change(gate: Gate) -> None:
    gate.fence.own(["porch"])
    gate.connect()
    gate.fence.moved(Topics("q", "one"))
    gate.fence.own(["yard"])
    line = gate.connect()
    assert line.filters == ["q/cameras/porch/worker", "q/cameras/yard/worker"]
    assert not gate.hear("porch", b"two")
    assert gate.fence.is_own("porch")
