"""Discovery, switches and automations in a real Home Assistant.

It is no dependency: the tests are skipped unless $STREAMWATCH_HOMEASSISTANT names a Python that has
it (see CONTRIBUTING.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streamwatch.config.sections.whole import SnapshotSettings
from streamwatch.publisher import AnnouncedCamera, Publisher, Roster
from streamwatch.publisher.contract.topics import Topics
from streamwatch.publisher.homeassistant_discovery import Discovery
from streamwatch.records import Event
from tests.parts.home_assistant import HomeAssistant, StartHomeAssistant
from tests.parts.mosquitto import StartMosquitto, Subscriber
from tests.publisher.events import end_event, new_event, picture
from tests.publisher.running import Broker, running, settings
from tests.publisher.test_homeassistant_announcer import tell
from tests.publisher.test_publisher import A_STATS, an_info

pytestmark = pytest.mark.timeout(240)

ROSTER = Roster(
    "0.1",
    {"porch": AnnouncedCamera(None, ["car", "dog"]), "yard": AnnouncedCamera(None, ["car"])},
    {"car": None, "dog": None},
)
ENTITIES = sum(
    len(device["components"])
    for device in Discovery(Topics("streamwatch"), "homeassistant", True).devices(ROSTER).values()
)
AUTOMATIONS = Path(__file__).parents[1] / "examples" / "homeassistant"


def publisher(broker: Broker, **changes: Any) -> Publisher:
    mqtt = settings(broker, "streamwatch", homeassistant=True, commands=True)
    return Publisher(mqtt, SnapshotSettings(), None, **changes)


def tell_all(told: Publisher, roster: Roster = ROSTER) -> None:
    tell(told, roster)
    told.info(an_info())
    told.camera_status("porch", "online")
    told.camera_status("yard", "disabled")


def wait_until(condition: Callable[[], bool], home: HomeAssistant) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"{home.states}\n{home.log}"
        time.sleep(0.2)


def state(home: HomeAssistant, entity: str) -> str | None:
    found: str | None = home.states.get(entity, {}).get("state")
    return found


def test_it_creates_devices_and_updates_their_entities(
    tmp_path: Path, start_mosquitto: StartMosquitto, start_home_assistant: StartHomeAssistant
) -> None:
    broker = start_mosquitto()
    with running(publisher(broker)) as told:
        tell_all(told)
        home = start_home_assistant(tmp_path / "home", broker.port)
        wait_until(lambda: home.settled, home)
        assert len(home.states) == ENTITIES
        devices = home.devices
        assert {name: device["via"] for name, device in devices.items()} == {
            "streamwatch": None,
            "Porch": "streamwatch",
            "Yard": "streamwatch",
        }
        event = new_event(snapshot=True, picture=picture())
        told.event(event)
        told.stats(A_STATS)
        told.stats(replace(A_STATS, uptime_s=20.0))
        wait_until(lambda: state(home, "binary_sensor.porch_car") == "on", home)
        wait_until(lambda: state(home, "sensor.porch_car_confidence") == "83.0", home)
        wait_until(lambda: state(home, "sensor.streamwatch_detector_time") == "120.0", home)
        states = home.states
        alert = states["event.porch_car_alert"]["attributes"]
        assert alert["event_type"] == "new"
        assert alert["id"] == event.id
        assert alert["box"] == [100.0, 120.0, 200.0, 300.0]
        size = home.picture_bytes("image.porch_car_picture")
        assert size is not None
        assert size > 1000
        assert states["binary_sensor.streamwatch_status"]["state"] == "on"
        assert states["binary_sensor.streamwatch_problem"]["state"] == "on"
        assert states["binary_sensor.porch_connectivity"]["state"] == "on"
        assert states["binary_sensor.yard_connectivity"]["state"] == "unknown"
        assert states["binary_sensor.porch_dog"]["state"] == "unavailable"  # not running
        assert states["binary_sensor.yard_car"]["state"] == "unavailable"
        assert states["switch.yard_enabled"]["state"] == "off"
        assert states["button.porch_car_was_wrong"]["state"] == "unknown"  # never pressed
        assert states["button.porch_dog_was_wrong"]["state"] == "unavailable"  # not running
        assert states["sensor.streamwatch_car_suggested_confidence"]["state"] == "unknown"
        assert states["switch.streamwatch_car"]["state"] == "on"
        assert states["switch.streamwatch_dog"]["state"] == "off"
        told.event(end_event(event.id))
        wait_until(lambda: state(home, "binary_sensor.porch_car") == "off", home)
        told.camera_status("porch", "offline")
        wait_until(lambda: state(home, "binary_sensor.porch_car") == "unavailable", home)
        assert home.states["image.porch_car_picture"]["state"] != "unavailable"
    wait_until(lambda: state(home, "binary_sensor.streamwatch_status") == "off", home)
    wait_until(lambda: state(home, "image.porch_car_picture") == "unavailable", home)
    assert home.complaints == []


def test_its_switches_and_buttons_send_commands(
    tmp_path: Path, start_mosquitto: StartMosquitto, start_home_assistant: StartHomeAssistant
) -> None:
    broker = start_mosquitto()
    with (
        running(publisher(broker)) as told,
        Subscriber(broker.port, "streamwatch/command/#") as subscriber,
    ):
        tell_all(told)
        home = start_home_assistant(tmp_path / "home", broker.port)
        wait_until(lambda: state(home, "switch.streamwatch_car") == "on", home)
        home.call("switch.turn_off", "switch.streamwatch_car")
        home.call("switch.turn_on", "switch.yard_enabled")
        home.call("button.press", "button.porch_car_was_wrong")
        messages = subscriber.wait_for(lambda messages: len(messages) == 3)
        assert [(m.topic, m.json, m.retain) for m in messages] == [
            ("streamwatch/command/watch/switch", {"name": "car", "enabled": False}, False),
            ("streamwatch/command/camera/switch", {"name": "yard", "enabled": True}, False),
            (
                "streamwatch/command/teach",
                {"camera": "porch", "watch": "car", "is": "wrong"},
                False,
            ),
        ]
        told.info(replace(an_info(), watches={}))
        wait_until(lambda: state(home, "switch.streamwatch_car") == "off", home)


def test_removed_cameras_and_watches_disappear(
    tmp_path: Path, start_mosquitto: StartMosquitto, start_home_assistant: StartHomeAssistant
) -> None:
    """While both run, and while streamwatch was stopped."""
    broker = start_mosquitto()
    first = replace(ROSTER, cameras={"porch": AnnouncedCamera(None, ["car", "dog"])})
    second = replace(
        ROSTER, cameras={"porch": AnnouncedCamera(None, ["car"])}, watches={"car": None}
    )
    with running(publisher(broker)) as told:
        tell_all(told)
        home = start_home_assistant(tmp_path / "home", broker.port)
        wait_until(lambda: home.settled, home)
        assert "binary_sensor.yard_car" in home.states
        tell(told, first)
        wait_until(lambda: "Yard" not in home.devices, home)
        assert "binary_sensor.porch_dog" in home.states
        assert told.stop() == 0
    with running(publisher(broker)) as told:
        tell(told, second)
        wait_until(lambda: not [name for name in home.states if "dog" in name], home)
        assert "binary_sensor.porch_car" in home.states
        tell(told, ROSTER)
        wait_until(lambda: "binary_sensor.porch_dog" in home.states, home)
        wait_until(lambda: "binary_sensor.yard_car" in home.states, home)
    assert home.complaints == []


def test_after_its_restart_it_has_the_same_entities(
    tmp_path: Path, start_mosquitto: StartMosquitto, start_home_assistant: StartHomeAssistant
) -> None:
    broker = start_mosquitto()
    with running(publisher(broker)) as told:
        tell_all(told)
        seen = []
        for _ in range(2):
            home = start_home_assistant(tmp_path / "home", broker.port)
            wait_until(lambda home=home: home.settled, home)  # type: ignore[misc]
            assert len(home.states) == ENTITIES
            seen.append(home.devices)
            home.__exit__(None, None, None)
    assert seen[0] == seen[1]


def notified_ids(home: HomeAssistant) -> list[str]:
    return [notification["data"]["tag"] for notification in home.notifications]


def test_automations_notify_once_and_not_again_after_a_restart(
    tmp_path: Path, start_mosquitto: StartMosquitto, start_home_assistant: StartHomeAssistant
) -> None:
    """Those of the parcel, with an event entity, which comes back with its last event."""
    broker = start_mosquitto()
    parcel = Roster("0.1", {"porch": AnnouncedCamera(None, ["parcel"])}, {"parcel": None})

    def at_the_steps(event: Event) -> Event:
        return replace(event, camera="porch", watch="parcel", prompt="parcel")

    seconds = time.monotonic()
    with running(publisher(broker, seconds=lambda: seconds)) as told:
        tell_all(told, parcel)
        home = start_home_assistant(
            tmp_path / "home", broker.port, AUTOMATIONS / "porch-parcel.yaml"
        )
        wait_until(lambda: home.settled, home)
        event = at_the_steps(new_event())
        told.event(event)
        wait_until(lambda: notified_ids(home) == [event.id], home)
        assert home.notifications[0]["message"] == "A parcel is on the steps (83 % sure)."
        assert told.stop() == 0
    wait_until(lambda: state(home, "event.porch_parcel_alert") == "unavailable", home)
    with running(publisher(broker)) as told:
        tell_all(told, parcel)
        wait_until(
            lambda: state(home, "event.porch_parcel_alert") not in ("unavailable", "unknown"), home
        )
        told.event(at_the_steps(end_event(event.id)))
        wait_until(lambda: len(home.notifications) == 2, home)
    assert notified_ids(home) == [event.id, event.id]
    assert home.notifications[1]["message"] == "The parcel is gone."
    assert "Error" not in "".join(line for line in home.log.splitlines() if "automation" in line)
