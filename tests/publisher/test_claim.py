"""One daemon a topic prefix: nobody clears what another declares."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamwatch.errors import PublisherError
from streamwatch.publisher.contract.topics import Topics
from streamwatch.publisher.mqtt import claim
from streamwatch.publisher.mqtt.attempt import Arrived, Subscribed
from streamwatch.publisher.mqtt.claim import (
    MOST_CONNECTIONS,
    QUIET_SECONDS,
    SILENCE_SECONDS,
    SUBSCRIBE_SECONDS,
    Claim,
)
from tests.parts.daemon import Daemon
from tests.parts.mosquitto import Mosquitto, StartMosquitto, Subscriber
from tests.parts.waiting import wait_until
from tests.publisher.running import Clock, make, running
from tests.publisher.test_publisher import A_STATS, an_info

MINE, OTHER, THIRD = "01MINE", "01OTHER", "01THIRD"


class Line:
    """A connection that only counts subscriptions; None where it can't subscribe."""

    def __init__(self, answer: int | None = 1) -> None:
        self.answer = answer
        self.filters: Sequence[str] = ()

    def subscribe(self, filters: Sequence[str], *, retained: bool) -> int | None:
        self.filters = filters
        return self.answer


class Scene:
    def __init__(self) -> None:
        self.clock = Clock()
        self.claim = Claim(Topics("home"), MINE, self.clock)

    def begin(self, line: Line | None = None) -> None:
        self.claim.begin(line or Line())  # type: ignore[arg-type]

    def answered(self, refusal: str | None = None) -> None:
        self.claim.subscribed(Subscribed(1, 1, refusal))

    def hears(self, topic: str, content: Any, *, retained: bool = True) -> None:
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.claim.arrived(Arrived(1, f"home/{topic}", payload, retained, None, None))

    def wait(self, seconds: float) -> bool:
        """Whether the prefix is free then."""
        self.clock.seconds += seconds
        return self.claim.is_free


def test_without_a_connection_nothing_is_due() -> None:
    """Else the publisher's thread would turn without a pause while the broker is away."""
    scene = Scene()
    assert scene.claim.seconds_left == float("inf")
    assert not scene.wait(1000)
    scene.begin()
    scene.claim.lost()
    assert scene.claim.seconds_left == float("inf")


def test_a_prefix_without_information_is_free_after_a_moment() -> None:
    scene = Scene()
    assert not scene.claim.is_free
    scene.begin()
    assert not scene.claim.is_free
    scene.answered()
    assert not scene.wait(QUIET_SECONDS / 2)
    assert scene.wait(QUIET_SECONDS)


@pytest.mark.parametrize(
    "info", [{"instance": MINE}, {"version": "0.1"}, [], b"\xff", b"", b"[" * 100_000, None]
)
def test_our_own_information_and_that_of_former_versions_are_no_others(info: Any) -> None:
    scene = Scene()
    scene.begin()
    scene.hears("status", b"online")
    scene.hears("info", info)
    scene.answered()
    assert scene.wait(QUIET_SECONDS)


@pytest.mark.parametrize("order", [("info", "status"), ("status", "info")])
def test_another_that_is_online_is_waited_for(order: tuple[str, str]) -> None:
    scene = Scene()
    scene.begin()
    for topic in order:
        scene.hears(topic, b"online" if topic == "status" else {"instance": OTHER})
    scene.answered()
    assert not scene.wait(SILENCE_SECONDS - 1)
    assert scene.wait(1)
    assert scene.claim.owner is None


def test_another_that_sends_statistics_lives() -> None:
    scene = Scene()
    scene.begin()
    scene.hears("info", {"instance": OTHER})
    scene.answered()
    scene.hears("stats", {"instance": MINE}, retained=False)
    scene.hears("stats", b"?", retained=False)
    assert scene.claim.owner is None
    scene.hears("stats", {"instance": OTHER}, retained=False)
    assert scene.claim.owner == OTHER
    assert not scene.wait(SILENCE_SECONDS)


def test_statistics_of_a_third_show_that_it_lives_too() -> None:
    scene = Scene()
    scene.begin()
    scene.answered()
    scene.hears("stats", {"instance": THIRD}, retained=False)
    assert scene.claim.owner == THIRD


@pytest.mark.parametrize("order", [("info", "status"), ("status", "info")])
def test_another_that_is_offline_need_not_be_waited_for(order: tuple[str, str]) -> None:
    scene = Scene()
    scene.begin()
    for topic in order:
        scene.hears(topic, b"offline" if topic == "status" else {"instance": OTHER})
    scene.answered()
    assert scene.wait(QUIET_SECONDS)


def test_where_nothing_can_be_read_the_prefix_is_free() -> None:
    unable, refused, silent = Scene(), Scene(), Scene()
    unable.begin(Line(None))
    assert unable.claim.is_free
    refused.begin()
    refused.answered("Not authorized")
    assert refused.claim.is_free
    silent.begin()
    assert not silent.wait(SUBSCRIBE_SECONDS - 1)
    assert silent.wait(1)


def test_a_broker_that_closes_at_the_subscription_is_tried_twice() -> None:
    scene = Scene()
    for _ in range(MOST_CONNECTIONS):
        scene.begin()
        scene.claim.lost()
        assert not scene.wait(1000)
    scene.begin()
    assert scene.claim.is_free


def test_a_publisher_waits_for_its_claim_and_then_publishes(mosquitto: Mosquitto) -> None:
    with (
        Subscriber(mosquitto.port, "own/#") as subscriber,
        running(make(mosquitto, "own", instance=MINE)) as publisher,
    ):
        publisher.info(replace(an_info(), instance=MINE))
        subscriber.wait_for_payload("own/status", b"online")
        wait_until(lambda: bool(subscriber.of("own/info")))
    assert [m.payload for m in subscriber.of("own/status")] == [b"online", b"offline"]
    with running(make(mosquitto, "own", instance=MINE)):  # the same again
        pass


def test_a_prefix_of_another_that_lives_is_left_alone(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        Subscriber(mosquitto.port, "two/#") as subscriber,
        running(make(mosquitto, "two", instance=OTHER)) as first,
    ):
        first.declare(["porch"], [("porch", "car")])
        first.info(replace(an_info(), instance=OTHER))
        wait_until(lambda: bool(subscriber.of("two/info") and subscriber.of("two/state/porch/car")))
        before = len(subscriber.received)
        second = make(mosquitto, "two", instance=MINE)
        second.declare([], [])
        second.info(replace(an_info(), instance=MINE))
        second.start()
        assert not second.wait_connected(2)
        first.stats(replace(A_STATS, instance=OTHER))
        wait_until(lambda: second.failure is not None)
        assert str(second.failure) == (
            f"mqtt.topic_prefix: two belongs to another streamwatch on the broker"
            f" 127.0.0.1:{mosquitto.port} (instance {OTHER}); give each its own"
        )
        assert isinstance(second.failure, PublisherError)
        second.stop()
        wait_until(lambda: len(subscriber.received) > before)
        assert {m.topic for m in subscriber.received[before:]} == {"two/stats"}


def test_the_prefix_of_one_that_died_is_taken_over(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "SILENCE_SECONDS", 1.0)
    with Subscriber(mosquitto.port, "left/#") as subscriber:
        subscriber.publish("left/info", json.dumps({"instance": OTHER}), retain=True)
        subscriber.publish("left/status", b"online", retain=True)
        with running(make(mosquitto, "left", instance=MINE)) as publisher:
            publisher.info(replace(an_info(), instance=MINE))
            subscriber.wait_for(
                lambda _: [m for m in subscriber.of("left/info") if m.json["instance"] == MINE]
            )


@pytest.mark.slow(seconds=40)
def test_of_two_daemons_with_one_prefix_the_second_ends_with_3(
    tmp_path: Path, start_mosquitto: StartMosquitto
) -> None:
    broker = start_mosquitto()
    settings: dict[str, Any] = {
        "mqtt": {"host": broker.host, "port": broker.port},
        "detector": {"model": "toybox"},
        "cameras": {"street": {"url": "bundled:street", "loop": True}},
        "watches": {"car": {"prompt": "red car"}},
    }
    with (
        Subscriber(broker.port, "streamwatch/#") as subscriber,
        Daemon(tmp_path / "first", settings) as first,
    ):
        subscriber.wait_for_payload("streamwatch/status", b"online", 60)
        settings["mqtt"]["client_id"] = "another"
        settings["watches"] = {"dog": {"prompt": "dog"}}
        with Daemon(tmp_path / "second", settings) as second:
            assert second.wait() == 3
        said = second.log.splitlines()[-1]
        assert said.startswith("streamwatch: mqtt.topic_prefix: streamwatch belongs to another")
        assert "Traceback" not in second.log
        instance = subscriber.of("streamwatch/info")[0].json["instance"]
        assert instance in said
        assert {m.json["instance"] for m in subscriber.of("streamwatch/stats")} == {instance}
        assert [m.payload for m in subscriber.of("streamwatch/status")] == [b"online"]
        assert not subscriber.of("streamwatch/state/street/dog")
        assert first.terminate() == 0
    assert yaml.safe_load(first.config.read_text())["watches"].keys() == {"car"}
