"""The example configurations are valid, and the example automations do what they promise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jsonschema import Draft202012Validator

from streamwatch.config import Config, load, schema
from streamwatch.config.document.reading import read
from streamwatch.publisher.contract.payloads import encode, event_fields
from streamwatch.publisher.contract.topics import Topics
from streamwatch.publisher.homeassistant_discovery import Discovery
from streamwatch.records import Event
from streamwatch.status.report import roster
from tests.publisher.events import MOMENT, end_event, new_event, update_event

FOLDER = Path(__file__).parents[1] / "examples"
CONFIGURATIONS = sorted(FOLDER.glob("*.yaml"))
AUTOMATIONS = sorted((FOLDER / "homeassistant").glob("*.yaml"))
TOPICS = Topics("streamwatch")


def name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=name)
def test_a_configuration_is_valid_and_uses_all_its_zones(path: Path) -> None:
    config = load(path)
    for watch in config.watches:
        assert config.cameras_of(watch), f"{watch} is watched for by no camera"
    for camera, settings in config.cameras.items():
        used = {zone for watch in config.watches_of(camera).values() for zone in watch.zones or ()}
        assert used >= settings.zones.keys(), f"{camera} has zones that no watch names"


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=name)
def test_a_configuration_matches_the_schema_for_editors(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=../config.schema.json\n")
    content = read(text, path.name).content
    assert [error.message for error in Draft202012Validator(schema()).iter_errors(content)] == []


def test_the_readme_lists_every_configuration() -> None:
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(CONFIGURATIONS) == 6
    for path in CONFIGURATIONS:
        assert f"({path.name})" in listed


# --- automations ---------------------------------------------------------------------------------


class Automation:
    """One automation: whether it would run for an event, and its notification."""

    def __init__(self, written: Mapping[str, Any]) -> None:
        self.written = written
        (self.trigger,) = written["triggers"]
        self._environment = ImmutableSandboxedEnvironment()
        self._environment.globals["as_timestamp"] = lambda text: datetime.fromisoformat(
            text
        ).timestamp()
        self._environment.filters["timestamp_custom"] = lambda seconds, layout: (
            datetime.fromtimestamp(seconds).strftime(layout)
        )

    def runs(self, event: Mapping[str, Any]) -> bool:
        rendered = [self._render(text, event) for text in self.written["conditions"]]
        assert set(rendered) <= {"True", "False"}
        return set(rendered) == {"True"}

    def notification(self, event: Mapping[str, Any]) -> Any:
        (action,) = (a for a in self.written["actions"] if a["action"].startswith("notify."))
        return self._filled(action["data"], event)

    def _filled(self, value: Any, event: Mapping[str, Any]) -> Any:
        if isinstance(value, dict):
            return {key: self._filled(item, event) for key, item in value.items()}
        return self._render(value, event)

    def _render(self, text: str, event: Mapping[str, Any]) -> str:
        """With Home Assistant's `trigger` variable: an MQTT message, or an entity's new state."""
        if self.trigger["trigger"] == "mqtt":
            trigger: dict[str, Any] = {"payload_json": event}
        else:
            trigger = {"to_state": {"attributes": {**event, "event_type": event["type"]}}}
        return self._environment.from_string(text).render(trigger=trigger).strip()


def automations() -> list[Automation]:
    return [
        Automation(written)
        for path in AUTOMATIONS
        for written in yaml.safe_load(path.read_text(encoding="utf-8"))
    ]


def automation(alias: str) -> Automation:
    (found,) = (one for one in automations() if one.written["alias"] == alias)
    return found


COMES = ("A parcel has come", "Somebody is outside at night")
GOES = "A parcel has been taken"
PLACES = {
    COMES[0]: ("porch", "parcel"),
    COMES[1]: ("yard", "person-at-night"),
    GOES: ("porch", "parcel"),
}


def payload(alias: str, event: Event, *, delayed: bool = False, **more: Any) -> dict[str, Any]:
    """The payload of `event` for the camera and watch of the automation."""
    fields = event_fields(event, TOPICS, snapshot_path=None, published_at=MOMENT, delayed=delayed)
    camera, watch = PLACES[alias]
    told: dict[str, Any] = json.loads(encode({**fields, "camera": camera, "watch": watch, **more}))
    return told


def test_each_automation_is_tested_and_has_a_unique_id() -> None:
    assert sorted(one.written["alias"] for one in automations()) == sorted(PLACES)
    assert len({one.written["id"] for one in automations()}) == len(PLACES)


@pytest.mark.parametrize("alias", COMES)
def test_an_arrival_automation_runs_only_for_current_new_events(alias: str) -> None:
    one = automation(alias)
    assert one.runs(payload(alias, new_event()))
    assert not one.runs(payload(alias, update_event("X")))
    assert not one.runs(payload(alias, end_event("X")))
    assert not one.runs(payload(alias, new_event(), delayed=True))
    assert not one.runs(payload(alias, new_event(), continues="01J0000000000000000000000A"))


@pytest.mark.parametrize("reason", ["left", "lost", "shutdown", "restart", "changed"])
def test_the_departure_automation_runs_only_for_the_reason_left(reason: str) -> None:
    one = automation(GOES)
    assert one.runs(payload(GOES, end_event("X"), reason=reason)) is (reason == "left")


def test_the_departure_automation_ignores_delayed_and_new_events() -> None:
    one = automation(GOES)
    assert not one.runs(payload(GOES, end_event("X"), delayed=True))
    assert not one.runs(payload(GOES, new_event()))


@pytest.mark.parametrize("alias", PLACES)
def test_the_notifications_templates_are_filled_in(alias: str) -> None:
    event = end_event("X") if alias == GOES else new_event(prompt="cardboard box")
    told = automation(alias).notification(payload(alias, event))
    assert told["data"]["tag"] == event.id
    assert "{" not in str(told["message"])
    if alias == COMES[0]:
        assert told["message"] == "A cardboard box is on the steps (83 % sure)."
    if alias == COMES[1]:
        assert told["message"].startswith("Yard, at ")
        assert told["message"].endswith(":05")


def test_automations_use_existing_entities_and_topics() -> None:
    announced: set[str] = set()
    for path in CONFIGURATIONS:
        if path.stem in map(name, AUTOMATIONS):
            announced |= entity_ids(load(path))
    for one in automations():
        alias = one.written["alias"]
        if one.trigger["trigger"] == "state":
            assert one.trigger["entity_id"] in announced
        else:
            _, watch = PLACES[alias]
            assert one.trigger["topic"] == TOPICS.event("+", watch)
        picture = one.notification(payload(alias, new_event()))["data"].get("image")
        if picture is not None:
            assert picture.removeprefix("/api/image_proxy/") in announced


def entity_ids(config: Config) -> set[str]:
    assert config.mqtt.homeassistant
    devices = Discovery(TOPICS, "homeassistant", commands=False).devices(roster(config))
    return {
        component["default_entity_id"]
        for device in devices.values()
        for component in device["components"].values()
    }
