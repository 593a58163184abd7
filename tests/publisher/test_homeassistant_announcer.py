"""Home Assistant discovery with a real broker, when the daemon or Home Assistant restarts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from streamwatch.config.sections.mqtt import HomeAssistantSettings
from streamwatch.config.sections.whole import SnapshotSettings
from streamwatch.publisher import (
    AnnouncedCamera,
    EmbeddedBroker,
    Publisher,
    Roster,
    homeassistant_announcer,
)
from tests.parts.mosquitto import Mosquitto, StartMosquitto, Subscriber
from tests.parts.waiting import wait_until
from tests.publisher.running import Broker, running, settings

ROSTER = Roster(
    "0.1",
    {"porch": AnnouncedCamera(None, ["car", "dog"]), "yard": AnnouncedCamera(None, ["car"])},
    {"car": None, "dog": None},
)
FEWER = replace(ROSTER, cameras={"porch": AnnouncedCamera(None, ["car"])})


def publisher(broker: Broker, prefix: str, **changes: Any) -> Publisher:
    mqtt = settings(broker, prefix, **{"homeassistant": True, **changes})
    return Publisher(mqtt, SnapshotSettings(), None)


def topics(prefix: str) -> list[str]:
    below = f"homeassistant/device/{prefix}"
    return [f"{below}/config", f"{below}/porch/config", f"{below}/yard/config"]


def tell(publisher: Publisher, roster: Roster) -> None:
    """Declare and announce, as the daemon does."""
    publisher.declare(
        roster.cameras,
        [(name, watch) for name, camera in roster.cameras.items() for watch in camera.watches],
    )
    publisher.announce(roster)


def retained(broker: Broker, prefix: str) -> dict[str, Any]:
    """The retained discovery messages that a starting Home Assistant gets, by topic."""
    above = f"homeassistant/device/{prefix}"
    with Subscriber(broker.port, f"{above}/#") as subscriber:
        say(broker, above, b"all that was retained has come")
        subscriber.wait_for(lambda _: subscriber.of(above))
        found = {m.topic: m.json for m in subscriber.received if m.topic != above}
    return dict(sorted(found.items()))


def gone(device: Mapping[str, Any]) -> list[str]:
    return [name for name, component in device["components"].items() if len(component) == 1]


def say(broker: Broker, topic: str, payload: bytes, *, retain: bool = False) -> None:
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect(broker.host, broker.port)
    client.loop_start()
    client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def test_devices_are_retained(mosquitto: Mosquitto) -> None:
    with (
        Subscriber(mosquitto.port, "homeassistant/device/told/#") as subscriber,
        running(publisher(mosquitto, "told")) as told,
    ):
        tell(told, ROSTER)
        messages = subscriber.wait_for(lambda messages: len(messages) == 3)
    assert [message.topic for message in messages] == topics("told")
    assert {message.qos for message in messages} == {1}
    assert list(retained(mosquitto, "told")) == topics("told")


def test_nothing_is_announced_unless_homeassistant_is_set(mosquitto: Mosquitto) -> None:
    with running(publisher(mosquitto, "quiet", homeassistant=False)) as quiet:
        tell(quiet, ROSTER)
        assert quiet.stop() == 0
    assert retained(mosquitto, "quiet") == {}


def test_removed_devices_and_components_are_cleared(mosquitto: Mosquitto) -> None:
    with running(publisher(mosquitto, "fewer")) as told:
        tell(told, ROSTER)
        tell(told, FEWER)
        assert told.stop() == 0
    found = retained(mosquitto, "fewer")
    assert list(found) == topics("fewer")[:2]
    assert [name.split("/")[0] for name in gone(found[topics("fewer")[1]])] == ["dog"] * 4


def test_devices_removed_between_two_runs_are_cleared(mosquitto: Mosquitto) -> None:
    prefix = "away"
    daemon, porch, yard = topics(prefix)
    foreign = f"homeassistant/device/{prefix}/kettle/config"
    say(mosquitto, foreign, b'{"origin": {"name": "kettle"}, "components": {}}', retain=True)
    with running(publisher(mosquitto, prefix)) as before:
        tell(before, ROSTER)
        assert before.stop() == 0
    assert list(retained(mosquitto, prefix)) == sorted([daemon, foreign, porch, yard])
    with (
        Subscriber(mosquitto.port, "homeassistant/#") as subscriber,
        running(publisher(mosquitto, prefix)) as now,
    ):
        tell(now, FEWER)
        subscriber.wait_for_payload(yard, b"")
        subscriber.wait_for(lambda _: gone(subscriber.of(porch)[-1].json))
    found = retained(mosquitto, prefix)
    assert list(found) == sorted([daemon, foreign, porch])
    assert len(gone(found[porch])) == 4
    assert gone(found[daemon]) == []


def test_devices_are_announced_again_when_home_assistant_starts(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(homeassistant_announcer, "MAX_REPEAT_SECONDS", 0.1)
    with (
        Subscriber(mosquitto.port, "homeassistant/device/born/#") as subscriber,
        running(publisher(mosquitto, "born")) as told,
    ):
        tell(told, ROSTER)
        subscriber.wait_for(lambda messages: len(messages) == 3)
        say(mosquitto, "homeassistant/status", b"offline")
        say(mosquitto, "homeassistant/status", b"online")
        messages = subscriber.wait_for(lambda messages: len(messages) == 6)
    first, second = messages[:3], messages[3:]
    assert [(m.topic, m.payload) for m in first] == [(m.topic, m.payload) for m in second]


def test_a_retained_birth_message_is_ignored(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(homeassistant_announcer, "MAX_REPEAT_SECONDS", 0.0)
    say(mosquitto, "ha/old/status", b"online", retain=True)
    old = HomeAssistantSettings(discovery_prefix="ha/old")
    with (
        Subscriber(mosquitto.port, "ha/old/device/#") as subscriber,
        running(publisher(mosquitto, "old", homeassistant=old)) as told,
    ):
        tell(told, ROSTER)
        subscriber.wait_for(lambda messages: len(messages) == 3)
        assert told.stop() == 0
        assert len(subscriber.received) == 3


def test_discovery_can_be_switched_on_off_and_moved_while_running(mosquitto: Mosquitto) -> None:
    prefix = "turned"
    with (
        Subscriber(mosquitto.port, "#") as subscriber,
        running(publisher(mosquitto, prefix, homeassistant=False)) as told,
    ):
        tell(told, ROSTER)
        subscriber.wait_for_payload(f"{prefix}/state/yard/car", b"OFF")

        def turn(**changes: Any) -> None:
            told.reconfigure(settings(mosquitto, prefix, **changes), SnapshotSettings(), None)

        turn(homeassistant=True)
        wait_until(lambda: all(subscriber.of(topic) for topic in topics(prefix)))
        assert "switch" not in str(subscriber.of(topics(prefix)[0])[-1].json)
        turn(homeassistant=True, commands=True)
        wait_until(lambda: "switch" in str(subscriber.of(topics(prefix)[0])[-1].json))
        turn(homeassistant=HomeAssistantSettings(discovery_prefix="ha"))
        elsewhere = topics(prefix)[0].replace("homeassistant", "ha")
        wait_until(lambda: bool(subscriber.of(elsewhere)))
        for topic in topics(prefix):
            subscriber.wait_for_payload(topic, b"")
        turn(homeassistant=False)
        subscriber.wait_for_payload(elsewhere, b"")


def test_devices_are_announced_without_permission_to_subscribe(
    start_mosquitto: StartMosquitto,
) -> None:
    acl = "user porch\ntopic write #\nuser house\ntopic readwrite #\n"
    broker = start_mosquitto(users={"porch": "a", "house": "b"}, acl=acl)
    login = {"username": "porch", "password": "a"}
    with (
        Subscriber(broker.port, username="house", password="b") as subscriber,
        running(publisher(broker, "sw", **login)) as told,
    ):
        tell(told, ROSTER)
        wait_until(lambda: all(subscriber.of(topic) for topic in topics("sw")))


def test_devices_are_announced_over_the_embedded_broker() -> None:
    with (
        EmbeddedBroker() as broker,
        running(publisher(broker, "sw", embedded=True)) as told,
    ):
        tell(told, ROSTER)
        with Subscriber(
            broker.port, "homeassistant/#", version=MQTTProtocolVersion.MQTTv311
        ) as subscriber:
            wait_until(lambda: all(subscriber.of(topic) for topic in topics("sw")))
