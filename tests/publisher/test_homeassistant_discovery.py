"""Discovery messages, checked against Home Assistant's documented schema and template engine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jsonschema import Draft202012Validator

from streamwatch.config import Edit, Switch
from streamwatch.daemon.commands.parsing import EditRequest, TeachRequest, parse
from streamwatch.publisher import AnnouncedCamera, Command, Info, Reply, Roster, Stats
from streamwatch.publisher.contract.payloads import encode, event_fields
from streamwatch.publisher.contract.topics import Topics
from streamwatch.publisher.homeassistant_announcer import MAX_REPEAT_SECONDS, Announcer
from streamwatch.publisher.homeassistant_discovery import (
    Component,
    Device,
    Discovery,
    announced_before,
    replacing,
)
from tests.publisher.events import MOMENT, end_event, new_event, update_event
from tests.publisher.running import Clock
from tests.publisher.test_publisher import A_STATS, an_info

TOPICS = Topics("streamwatch")
DISCOVERY = Discovery(TOPICS, "homeassistant", commands=True)
ROSTER = Roster(
    "0.1",
    {
        "porch": AnnouncedCamera(None, ["car", "red-bag"]),
        "yard": AnnouncedCamera("Garden", ["car"]),
    },
    {"car": "Red car", "red-bag": None},
)
DAEMON_TOPIC = "homeassistant/device/streamwatch/config"
PORCH_TOPIC = "homeassistant/device/streamwatch/porch/config"

# --- Home Assistant's schema, but strict: the real one ignores unknown keys of components -------
# From https://www.home-assistant.io/integrations/mqtt/ and the pages of the six platforms there.

TEXT = {"type": "string", "minLength": 1}
TEMPLATE = {"type": "string", "pattern": r"^\{\{ .+ \}\}$"}
TOPIC = {"type": "string", "pattern": "^[^#+\0]+$"}
AVAILABILITY = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"topic": TOPIC, "value_template": TEMPLATE},
        "required": ["topic"],
        "additionalProperties": False,
    },
}
COMMON = {
    "unique_id": TEXT,
    "name": TEXT,
    "default_entity_id": {"type": "string"},
    "icon": {"type": "string", "pattern": "^mdi:[a-z-]+$"},
    "entity_category": {"enum": ["config", "diagnostic"]},
    "availability": AVAILABILITY,
    "qos": {"enum": [0, 1, 2]},
}
STATE = {"state_topic": TOPIC, "value_template": TEMPLATE}
ATTRIBUTES = {"json_attributes_topic": TOPIC, "json_attributes_template": TEMPLATE}
PLATFORMS: dict[str, dict[str, Any]] = {
    "binary_sensor": {
        **STATE,
        **ATTRIBUTES,
        "payload_on": TEXT,
        "payload_off": TEXT,
        "device_class": {"enum": ["connectivity", "problem", "occupancy"]},
    },
    "sensor": {
        **STATE,
        "device_class": {"enum": ["duration", "timestamp"]},
        "state_class": {"const": "measurement"},
        "unit_of_measurement": {"enum": ["s", "ms", "%", "fps"]},
        "suggested_display_precision": {"type": "integer", "minimum": 0},
    },
    "event": {**STATE, "event_types": {"type": "array", "items": TEXT, "minItems": 1}},
    "image": {"image_topic": TOPIC, "content_type": {"const": "image/jpeg"}},
    "switch": {
        **STATE,
        "command_topic": TOPIC,
        **dict.fromkeys(("payload_on", "payload_off", "state_on", "state_off"), TEXT),
    },
    "button": {"command_topic": TOPIC, "payload_press": TEXT},
}
REQUIRED = {
    "binary_sensor": ["state_topic"],
    "sensor": ["state_topic"],
    "event": ["state_topic", "event_types"],
    "image": ["image_topic"],
    "switch": ["command_topic"],
    "button": ["command_topic"],
}


def component_schema(platform: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "platform": {"const": platform},
            **COMMON,
            **PLATFORMS[platform],
            "default_entity_id": {
                "type": "string",
                "pattern": rf"^{platform}\.[a-z0-9][a-z0-9_]*$",
            },
        },
        "required": ["platform", "unique_id", "name", *REQUIRED[platform]],
        "additionalProperties": False,
    }


def strict(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


DEVICE = Draft202012Validator(
    strict(
        {
            "device": strict(
                {
                    "identifiers": {"type": "array", "items": TEXT, "minItems": 1},
                    **dict.fromkeys(("name", "manufacturer", "sw_version", "via_device"), TEXT),
                },
                "identifiers",
                "name",
            ),
            "origin": strict({"name": TEXT, "sw_version": TEXT}, "name"),
            "availability": AVAILABILITY,
            "availability_mode": {"enum": ["all", "any", "latest"]},
            "components": {
                "type": "object",
                "propertyNames": {"pattern": r"^\S+$"},
                "additionalProperties": {"type": "object", "required": ["platform"]},
            },
        },
        *("device", "origin", "components"),
    )
)


def check(device: Device) -> None:
    DEVICE.validate(device)
    for component in device["components"].values():
        Draft202012Validator(component_schema(component["platform"])).validate(component)


NAMES = (
    "a",
    "a-b",
    "a_b",
    "car",
    "alert",
    "car_alert",
    "fps",
    "enabled",
    "watches",
    "cameras",
    "-",
)


@pytest.mark.parametrize("commands", [True, False])
@pytest.mark.parametrize("prefix", ["streamwatch", "home/sw", "home_sw", "Größe/1", "-"])
def test_every_message_fits_the_schema(prefix: str, commands: bool) -> None:
    names = dict.fromkeys(NAMES)
    roster = Roster("0.1", {name: AnnouncedCamera("Ähm {{ 1/0 }}", NAMES) for name in NAMES}, names)
    devices = Discovery(Topics(prefix), "ha/discovery", commands).devices(roster)
    assert len(devices) == 1 + len(NAMES)
    for device in devices.values():
        check(json.loads(encode(device)))


def test_the_schema_is_strict() -> None:
    device = DISCOVERY.devices(ROSTER)[PORCH_TOPIC]
    for wrong in (
        {**device, "qos": 1},
        {**device, "components": {"x": {**device["components"]["frames_analysed"], "unit": "s"}}},
        {**device, "components": {"x": {"platform": "event"}}},
    ):
        with pytest.raises(Exception, match=r"is a required property|was unexpected"):
            check(wrong)


def test_topics_identifiers_and_unique_ids_never_collide() -> None:
    """Even if names contain the words and separators that ids are made with."""
    prefixes = ("home/sw", "home_sw", "home-sw", "streamwatch", "streamwatch_a")
    cameras = {name: AnnouncedCamera(None, NAMES) for name in NAMES}
    roster = Roster("0.1", cameras, dict.fromkeys(NAMES))
    topics: list[str] = []
    identifiers: list[str] = []
    unique_ids: list[str] = []
    for prefix in prefixes:
        for topic, device in Discovery(Topics(prefix), "ha", True).devices(roster).items():
            topics.append(topic)
            identifiers += device["device"]["identifiers"]
            unique_ids += [c["unique_id"] for c in device["components"].values()]
    for found in (topics, identifiers, unique_ids):
        assert len(found) == len(set(found))


def test_each_camera_is_a_device_below_the_daemons_device() -> None:
    devices = DISCOVERY.devices(ROSTER)
    assert list(devices) == [
        DAEMON_TOPIC,
        PORCH_TOPIC,
        "homeassistant/device/streamwatch/yard/config",
    ]
    (daemon,) = devices[DAEMON_TOPIC]["device"]["identifiers"]
    porch, yard = (devices[topic]["device"] for topic in list(devices)[1:])
    assert (porch["name"], yard["name"]) == ("Porch", "Garden")
    assert porch["via_device"] == yard["via_device"] == daemon
    assert devices[DAEMON_TOPIC]["device"]["sw_version"] == "0.1"
    assert devices[PORCH_TOPIC]["origin"] == {"name": "streamwatch", "sw_version": "0.1"}


def test_a_watch_has_presence_alert_picture_confidence_and_two_buttons() -> None:
    components = DISCOVERY.devices(ROSTER)[PORCH_TOPIC]["components"]
    mine = [component for name, component in components.items() if name.startswith("red-bag/")]
    assert [(c["platform"], c["name"], c["default_entity_id"]) for c in mine] == [
        ("binary_sensor", "Red bag", "binary_sensor.porch_red_bag"),
        ("event", "Red bag alert", "event.porch_red_bag_alert"),
        ("image", "Red bag picture", "image.porch_red_bag_picture"),
        ("sensor", "Red bag confidence", "sensor.porch_red_bag_confidence"),
        ("button", "Red bag was wrong", "button.porch_red_bag_was_wrong"),
        ("button", "Red bag was right", "button.porch_red_bag_was_right"),
    ]
    presence, alert, picture, *_ = mine
    assert presence["state_topic"] == "streamwatch/state/porch/red-bag"
    assert alert["state_topic"] == "streamwatch/events/porch/red-bag"
    assert alert["event_types"] == ["new", "update", "end"]
    assert picture["image_topic"] == "streamwatch/snapshot/porch/red-bag"


def test_entity_ids_are_the_same_in_every_home_assistant_version() -> None:
    """Before 2025.10 it ignores `default_entity_id` and joins the names of device and entity."""
    roster = Roster("0.1", {"porch": AnnouncedCamera(None, ["red-bag"])}, {"red-bag": None})
    for device in DISCOVERY.devices(roster).values():
        for component in device["components"].values():
            made = f"{device['device']['name']} {component['name']}".lower().replace(" ", "_")
            assert component["default_entity_id"] == f"{component['platform']}.{made}"


def test_a_watch_of_another_camera_has_no_entities() -> None:
    yard = DISCOVERY.devices(ROSTER)["homeassistant/device/streamwatch/yard/config"]
    assert "car/alert" in yard["components"]
    assert "red-bag/alert" not in yard["components"]


def test_without_commands_there_are_no_switches_and_buttons() -> None:
    def commanding(discovery: Discovery) -> list[str]:
        return [
            component["unique_id"]
            for device in discovery.devices(ROSTER).values()
            for component in device["components"].values()
            if component["platform"] in ("switch", "button")
        ]

    assert commanding(DISCOVERY) == [
        "streamwatch/watches/car",
        "streamwatch/watches/red-bag",
        "streamwatch/cameras/porch/enabled",
        "streamwatch/cameras/porch/car/wrong",
        "streamwatch/cameras/porch/car/right",
        "streamwatch/cameras/porch/red-bag/wrong",
        "streamwatch/cameras/porch/red-bag/right",
        "streamwatch/cameras/yard/enabled",
        "streamwatch/cameras/yard/car/wrong",
        "streamwatch/cameras/yard/car/right",
    ]
    assert commanding(replace(DISCOVERY, commands=False)) == []


@pytest.mark.parametrize("enabled", [True, False])
def test_the_payloads_of_switches_are_valid_commands(enabled: bool) -> None:
    devices = DISCOVERY.devices(ROSTER)
    watch = devices[DAEMON_TOPIC]["components"]["watches/car"]
    camera = devices[PORCH_TOPIC]["components"]["enabled"]
    assert watch["command_topic"] == "streamwatch/command/watch/switch"
    assert camera["command_topic"] == "streamwatch/command/camera/switch"
    payload = "payload_on" if enabled else "payload_off"
    asked = Command("watch/switch", watch[payload].encode(), Reply(None, None))
    edit = Edit("watches", "car", Switch(enabled))
    assert parse(asked) == EditRequest(None, edit, persist=False)
    asked = Command("camera/switch", camera[payload].encode(), Reply(None, None))
    edit = Edit("cameras", "porch", Switch(enabled))
    assert parse(asked) == EditRequest(None, edit, persist=False)


@pytest.mark.parametrize("right", [True, False])
def test_what_a_button_sends_is_a_valid_command(right: bool) -> None:
    button = porch("red-bag/right" if right else "red-bag/wrong")
    assert button["command_topic"] == "streamwatch/command/teach"
    pressed = Command("teach", button["payload_press"].encode(), Reply(None, None))
    assert parse(pressed) == TeachRequest(None, None, "porch", "red-bag", right)


# --- templates, rendered with real payloads -----------------------------------------------------


def rendered(component: Mapping[str, Any], payload: bytes, key: str = "value_template") -> str:
    """As Home Assistant does it: `value` is the payload, `value_json` the parsed payload."""
    environment = ImmutableSandboxedEnvironment()
    environment.filters["to_json"] = json.dumps
    known: dict[str, Any] = {"value": payload.decode()}
    if payload[:1] in b"{[":
        known["value_json"] = json.loads(payload)
    return environment.from_string(component[key]).render(known)


def porch(name: str) -> Component:
    component: Component = DISCOVERY.devices(ROSTER)[PORCH_TOPIC]["components"][name]
    return component


def daemon(name: str) -> Component:
    component: Component = DISCOVERY.devices(ROSTER)[DAEMON_TOPIC]["components"][name]
    return component


def info(**changes: Any) -> bytes:
    told: Info = replace(an_info(), **changes)
    return encode(told.fields())


def stats(now: Stats = A_STATS, before: Stats | None = None) -> bytes:
    return encode(now.fields(before))


@pytest.mark.parametrize("event", [new_event(), update_event("X"), end_event("X")])
def test_an_event_entity_gets_the_type_and_all_fields(event: Any) -> None:
    payload = encode(
        event_fields(event, TOPICS, snapshot_path=None, published_at=MOMENT, delayed=True)
    )
    alert = json.loads(rendered(porch("car/alert"), payload))
    assert alert.pop("event_type") == event.type
    assert event.type in porch("car/alert")["event_types"]
    assert alert == json.loads(payload)
    assert alert["delayed"] is True
    assert float(rendered(porch("car/confidence"), payload)) == 83.0


@pytest.mark.parametrize(
    ("status", "connected", "switch", "available"),
    [
        (b"online", "ON", "on", "online"),
        (b"offline", "OFF", "on", "offline"),
        (b"disabled", "None", "off", "offline"),
    ],
)
def test_connectivity_switch_and_availability_follow_the_camera_status(
    status: bytes, connected: str, switch: str, available: str
) -> None:
    assert rendered(porch("connectivity"), status) == connected
    assert rendered(porch("enabled"), status) == switch
    presence = porch("car/presence")["availability"]
    assert presence[0] == {"topic": "streamwatch/status"}
    assert presence[1]["topic"] == "streamwatch/cameras/porch/status"
    assert rendered(presence[1], status) == available


def test_a_watch_is_available_while_it_runs() -> None:
    for payload, switch, available in (
        (info(), "on", "online"),
        (info(watches={}), "off", "offline"),
    ):
        assert rendered(daemon("watches/car"), payload) == switch
        assert rendered(porch("car/presence")["availability"][2], payload) == available
        for button in ("car/wrong", "car/right"):
            daemon_online, runs = porch(button)["availability"]
            assert daemon_online == {"topic": "streamwatch/status"}
            assert rendered(runs, payload) == available


def test_alert_picture_and_confidence_stay_available_while_the_camera_is_offline() -> None:
    for name in ("car/alert", "car/picture", "car/confidence"):
        assert porch(name)["availability"] == [{"topic": "streamwatch/status"}]


def test_problems_are_on_or_off_and_listed_as_attributes() -> None:
    problem = daemon("problem")
    assert rendered(problem, info()) == "ON"
    attributes = rendered(problem, info(), "json_attributes_template")
    assert json.loads(attributes) == {"problems": ["gone"]}
    assert rendered(problem, info(problems=())) == "OFF"
    assert rendered(daemon("started"), info()) == "2026-01-02T03:04:05.678Z"


def test_measurements_are_numbers_or_unknown() -> None:
    later = replace(A_STATS, uptime_s=20.0)
    assert rendered(porch("frames_analysed"), stats(later, A_STATS)) == "0.0"
    assert rendered(porch("frames_analysed"), stats()) == "None"
    assert rendered(porch("age_of_newest_frame"), stats()) == "0.2"
    assert rendered(porch("age_of_newest_frame"), stats(replace(A_STATS, cameras={}))) == "None"
    assert rendered(daemon("detector_time"), stats()) == "120.0"
    assert rendered(daemon("latency"), stats()) == "None"
    assert rendered(daemon("waiting_alerts"), stats()) == "0"
    assert rendered(daemon("alerts_held_back"), stats()) == "2"


def test_a_suggested_confidence_is_unknown_until_there_is_one() -> None:
    suggested = daemon("watches/car/suggested_confidence")
    assert suggested["state_topic"] == "streamwatch/info"
    watch = replace(an_info().watches["car"], suggested_confidence=0.35)
    assert rendered(suggested, info(watches={"car": watch})) == "0.35"
    assert rendered(suggested, info()) == "None"
    assert rendered(suggested, info(watches={})) == "None"


def templates() -> Iterator[str]:
    for device in DISCOVERY.devices(ROSTER).values():
        for component in device["components"].values():
            places: Sequence[Mapping[str, Any]] = [component, *component.get("availability", ())]
            for place in places:
                yield from (text for key, text in place.items() if key.endswith("template"))


def test_no_template_contains_a_friendly_name() -> None:
    assert len(list(templates())) > 20
    assert not [text for text in templates() if "Red" in text or "Garden" in text]


# --- what was announced before -------------------------------------------------------------------


def test_removed_components_keep_only_their_platform_and_come_first() -> None:
    former = DISCOVERY.devices(ROSTER)[PORCH_TOPIC]
    fewer = replace(ROSTER, cameras={"porch": AnnouncedCamera(None, ["car"])})
    now = DISCOVERY.devices(fewer)[PORCH_TOPIC]
    told = replacing(now, former)
    assert list(told["components"].items())[:6] == [
        ("red-bag/presence", {"platform": "binary_sensor"}),
        ("red-bag/alert", {"platform": "event"}),
        ("red-bag/picture", {"platform": "image"}),
        ("red-bag/confidence", {"platform": "sensor"}),
        ("red-bag/wrong", {"platform": "button"}),
        ("red-bag/right", {"platform": "button"}),
    ]
    assert list(told["components"].items())[6:] == list(now["components"].items())
    assert replacing(now, told) == now  # removed components are announced once
    assert replacing(former, now) == former


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b'"streamwatch"',
        b"{}",
        b'{"origin": null, "components": {}}',
        b'{"origin": {"name": "zigbee2mqtt"}, "components": {}}',
        b'{"origin": {"name": "streamwatch"}}',
        b'{"origin": {"name": "streamwatch"}, "components": []}',
        b'{"origin": {"name": "streamwatch"}, "components": {"a": 1}}',
        b'{"origin": {"name": "streamwatch"}, "components": {"a": {"platform": []}}}',
        b"[" * 100_000,
    ],
)
def test_foreign_or_broken_payloads_are_no_device_of_ours(payload: bytes) -> None:
    assert announced_before(payload) is None


def test_an_announced_device_can_be_read_back() -> None:
    device = DISCOVERY.devices(ROSTER)[PORCH_TOPIC]
    assert announced_before(encode(device)) == device


def test_our_discovery_topics_are_recognized() -> None:
    for topic in (DAEMON_TOPIC, PORCH_TOPIC):
        assert DISCOVERY.owns(topic)
    for topic in (
        "homeassistant/device/streamwatch",
        "homeassistant/device/streamwatch/a/b/config",
        "homeassistant/device/streamwatch/porch/state",
        "homeassistant/device/other/config",
        "homeassistant/device/streamwatch2/porch/config",
        "homeassistant/sensor/streamwatch/porch/config",
        "x/homeassistant/device/streamwatch/porch/config",
        "streamwatch/status",
    ):
        assert not DISCOVERY.owns(topic), topic


class Broker:
    """Records what is retained and what was published."""

    def __init__(self) -> None:
        self.retained: dict[str, Device] = {}
        self.published: list[str] = []

    def publish(self, topic: str, device: Device) -> None:
        self.retained[topic] = device
        self.published.append(topic)

    def clear(self, topic: str) -> None:
        self.retained.pop(topic, None)


def announcer(broker: Broker, clock: Clock | None = None) -> Announcer:
    return Announcer(publish=broker.publish, clear=broker.clear, seconds=clock or Clock())


def test_an_unchanged_device_is_announced_once() -> None:
    broker = Broker()
    announcing = announcer(broker)
    announcing.announce(ROSTER)
    assert broker.published == []
    announcing.use(DISCOVERY)
    assert broker.retained == DISCOVERY.devices(ROSTER)
    announcing.use(DISCOVERY)
    announcing.announce(ROSTER)
    assert len(broker.published) == 3


def test_only_changed_devices_are_announced_and_removed_ones_cleared() -> None:
    broker = Broker()
    announcing = announcer(broker)
    announcing.use(DISCOVERY)
    announcing.announce(ROSTER)
    announcing.announce(replace(ROSTER, cameras={"porch": AnnouncedCamera(None, ["car"])}))
    assert list(broker.retained) == [DAEMON_TOPIC, PORCH_TOPIC]
    assert broker.published[3:] == [PORCH_TOPIC]
    assert broker.retained[PORCH_TOPIC]["components"]["red-bag/alert"] == {"platform": "event"}
    announcing.announce(ROSTER)
    assert broker.retained == DISCOVERY.devices(ROSTER)


def test_changed_discovery_settings_clear_the_old_topics() -> None:
    broker = Broker()
    announcing = announcer(broker)
    announcing.use(DISCOVERY)
    announcing.announce(ROSTER)
    elsewhere = replace(DISCOVERY, prefix="ha")
    announcing.use(elsewhere)
    assert broker.retained == elsewhere.devices(ROSTER)
    announcing.use(None)
    assert broker.retained == {}


@pytest.mark.parametrize("found_first", [True, False])
def test_devices_announced_before_a_restart_are_cleared_if_removed(found_first: bool) -> None:
    broker = Broker()
    fewer = replace(ROSTER, cameras={"porch": AnnouncedCamera(None, ["car"])})
    announcing = announcer(broker)
    announcing.use(DISCOVERY)
    for topic, device in DISCOVERY.devices(ROSTER).items():
        broker.retained[topic] = device
    foreign = "homeassistant/device/streamwatch/kettle/config"
    broker.retained[foreign] = {"origin": {"name": "kettle"}, "components": {}}
    found = {topic: encode(device) for topic, device in broker.retained.items()}
    if not found_first:
        announcing.announce(fewer)
    for topic, payload in found.items():
        announcing.found(topic, payload)
    if found_first:
        announcing.announce(fewer)
    assert list(broker.retained) == [DAEMON_TOPIC, PORCH_TOPIC, foreign]
    assert broker.retained[PORCH_TOPIC]["components"]["red-bag/alert"] == {"platform": "event"}
    assert broker.published == [DAEMON_TOPIC, PORCH_TOPIC] + [PORCH_TOPIC] * (not found_first)


def test_devices_are_announced_again_shortly_after_home_assistant_starts() -> None:
    broker, clock = Broker(), Clock()
    announcing = announcer(broker, clock)
    announcing.use(DISCOVERY)
    announcing.announce(ROSTER)
    assert announcing.seconds_to_repeat is None
    announcing.ask_to_repeat()
    assert announcing.seconds_to_repeat is not None
    assert announcing.seconds_to_repeat <= MAX_REPEAT_SECONDS
    clock.seconds += MAX_REPEAT_SECONDS
    assert announcing.seconds_to_repeat == 0
    announcing.repeat()
    assert announcing.seconds_to_repeat is None
    assert broker.published == 2 * list(DISCOVERY.devices(ROSTER))
