"""The messages of Home Assistant's MQTT discovery, in its device form. Pure.

One device per camera and one for the daemon, each in one retained message (Home Assistant 2024.11
or newer):
https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload
Templates hold names of cameras and watches (a-z, 0-9, _ and -), never their display names.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from streamwatch.publisher.contract.topics import Topics
from streamwatch.records import AlertType

ORIGIN = "streamwatch"
BIRTH = b"online"
"""The payload at `Discovery.birth_topic` when Home Assistant has started."""

Component = dict[str, Any]
Device = dict[str, Any]
"""The payload of one discovery message, to be encoded as JSON."""


@dataclass(frozen=True, slots=True)
class AnnouncedCamera:
    """A camera, enabled or not: its display name, and the watches that apply to it."""

    title: str | None
    watches: Sequence[str]


@dataclass(frozen=True, slots=True)
class Roster:
    """All that is announced. `watches` gives display names, of disabled watches too."""

    version: str
    cameras: Mapping[str, AnnouncedCamera]
    watches: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Discovery:
    """Makes the messages of one daemon; `commands` says whether it accepts any."""

    topics: Topics
    prefix: str
    commands: bool

    @property
    def birth_topic(self) -> str:
        return f"{self.prefix}/status"

    def owns(self, topic: str) -> bool:
        """Whether one of `filters` matches."""
        levels = topic.removeprefix(f"{self.prefix}/device/{self._id}/").split("/")
        return topic == self.topic_of() or (len(levels) == 2 and topic == self.topic_of(levels[0]))

    @property
    def filters(self) -> tuple[str, str]:
        """Topic filters that match every discovery message of this daemon."""
        return self.topic_of(), self.topic_of("+")

    def devices(self, roster: Roster) -> dict[str, Device]:
        """The messages by topic, the daemon's first, since Home Assistant links cameras to it."""
        cameras = {
            self.topic_of(name): self._camera(name, camera, roster)
            for name, camera in roster.cameras.items()
        }
        return {self.topic_of(): self._daemon(roster), **cameras}

    def topic_of(self, *levels: str) -> str:
        """That of the daemon, or of the camera that `levels` names."""
        return "/".join((self.prefix, "device", self._id, *levels, "config"))

    @property
    def _id(self) -> str:
        """The topic prefix as one level of a discovery topic, unique per prefix."""
        plain = re.sub(r"[^a-zA-Z0-9_-]", "_", self.topics.prefix)
        if plain == self.topics.prefix:
            return plain
        return f"{plain}-{hashlib.sha256(self.topics.prefix.encode()).hexdigest()[:8]}"

    def _daemon(self, roster: Roster) -> Device:
        prefix = self.topics.prefix
        title = "streamwatch" if prefix == "streamwatch" else f"streamwatch {prefix}"
        components = dict(self._about_the_daemon())
        for watch, called in roster.watches.items():
            watch_title = _title(watch, called)
            if self.commands:
                components[f"watches/{watch}"] = self._watch_switch(watch, watch_title)
            components[f"watches/{watch}/suggested_confidence"] = self._suggested(
                watch, watch_title
            )
        return self._device(
            self._id,
            {"name": title, "sw_version": roster.version},
            components,
            availability=[self._daemon_online],
            version=roster.version,
        )

    def _camera(self, camera: str, announced: AnnouncedCamera, roster: Roster) -> Device:
        components = dict(self._about_the_camera(camera))
        if self.commands:
            components["enabled"] = self._camera_switch(camera)
        for watch in announced.watches:
            components |= self._of_a_watch(camera, watch, _title(watch, roster.watches[watch]))
        return self._device(
            f"{self._id}/cameras/{camera}",
            {"name": _title(camera, announced.title), "via_device": self._id},
            components,
            availability=[self._daemon_online, self._camera_online(camera)],
            version=roster.version,
        )

    def _device(
        self,
        identifier: str,
        about: Mapping[str, str],
        components: Mapping[str, Component],
        *,
        availability: Sequence[Mapping[str, str]],
        version: str,
    ) -> Device:
        return {
            "device": {"identifiers": [identifier], "manufacturer": "streamwatch", **about},
            "origin": {"name": ORIGIN, "sw_version": version},
            "availability": list(availability),
            "availability_mode": "all",
            "components": {
                name: {"unique_id": f"{identifier}/{name}", **component}
                for name, component in components.items()
            },
        }

    def _entity(self, platform: str, name: str) -> str:
        return _entity_id(platform, self.topics.prefix, name)

    @property
    def _daemon_online(self) -> dict[str, str]:
        return {"topic": self.topics.status}

    def _camera_online(self, camera: str) -> dict[str, str]:
        return {
            "topic": self.topics.camera_status(camera),
            # Of other words, such as `disabled`, Home Assistant takes no notice.
            "value_template": "{{ 'online' if value == 'online' else 'offline' }}",
        }

    def _about_the_daemon(self) -> Iterator[tuple[str, Component]]:
        yield (
            "status",
            {
                "platform": "binary_sensor",
                "name": "Status",
                "default_entity_id": self._entity("binary_sensor", "status"),
                "device_class": "connectivity",
                "entity_category": "diagnostic",
                "availability": [],  # else it were unavailable in place of off
                "state_topic": self.topics.status,
                "payload_on": "online",
                "payload_off": "offline",
            },
        )
        yield (
            "problem",
            {
                "platform": "binary_sensor",
                "name": "Problem",
                "default_entity_id": self._entity("binary_sensor", "problem"),
                "device_class": "problem",
                "entity_category": "diagnostic",
                "state_topic": self.topics.info,
                "value_template": "{{ 'ON' if value_json.problems else 'OFF' }}",
                "json_attributes_topic": self.topics.info,
                "json_attributes_template": (
                    "{{ {'problems': value_json.problems | map(attribute='message') | list}"
                    " | to_json }}"
                ),
            },
        )
        yield (
            "started",
            {
                "platform": "sensor",
                "name": "Started",
                "default_entity_id": self._entity("sensor", "started"),
                "device_class": "timestamp",
                "entity_category": "diagnostic",
                "state_topic": self.topics.info,
                "value_template": "{{ value_json.started_at }}",
            },
        )
        for name, title, value, unit in (
            ("latency", "Latency", "value_json.latency_ms.p95", "ms"),
            ("detector_time", "Detector time", "value_json.detector.ms_p95", "ms"),
            ("waiting_alerts", "Waiting alerts", "value_json.outbox", None),
            ("alerts_held_back", "Alerts held back", "value_json.second_looks.held_back", None),
        ):
            entity_id = self._entity("sensor", name)
            yield name, self._measured(entity_id, title, self.topics.stats, value, unit)

    def _about_the_camera(self, camera: str) -> Iterator[tuple[str, Component]]:
        yield (
            "connectivity",
            {
                "platform": "binary_sensor",
                "name": "Connectivity",
                "default_entity_id": _entity_id("binary_sensor", camera, "connectivity"),
                "device_class": "connectivity",
                "entity_category": "diagnostic",
                "availability": [self._daemon_online],
                "state_topic": self.topics.camera_status(camera),
                # A disabled camera is neither: Home Assistant makes `unknown` of None.
                "value_template": "{{ {'online': 'ON', 'offline': 'OFF'}.get(value) }}",
            },
        )
        counted = f"value_json.cameras.get('{camera}', {{}})"
        for name, title, value, unit in (
            ("frames_analysed", "Frames analysed", f"{counted}.get('fps')", "fps"),
            ("age_of_newest_frame", "Age of newest frame", f"{counted}.get('age_s')", "s"),
        ):
            entity_id = _entity_id("sensor", camera, name)
            yield name, self._measured(entity_id, title, self.topics.stats, value, unit)

    def _measured(
        self, entity_id: str, title: str, topic: str, value: str, unit: str | None
    ) -> Component:
        """A number in a topic's payload: the template `value` gives it, None while there is
        none."""
        component: Component = {
            "platform": "sensor",
            "name": title,
            "default_entity_id": entity_id,
            "state_class": "measurement",
            "entity_category": "diagnostic",
            "availability": [self._daemon_online],
            "state_topic": topic,
            "value_template": f"{{{{ {value} }}}}",
        }
        if unit is not None:
            component["unit_of_measurement"] = unit
        if unit in ("s", "ms"):
            component["device_class"] = "duration"
            component["suggested_display_precision"] = 1 if unit == "s" else 0
        return component

    def _of_a_watch(self, camera: str, watch: str, title: str) -> dict[str, Component]:
        """Whether something is there, available only while the camera is online and the watch
        exists; the newest alert, which stays available when the camera goes offline; and, with
        commands, what to say of that alert.
        """
        place = camera, watch
        running = [self._daemon_online, self._camera_online(camera), self._watch_runs(watch)]
        buttons = self._teaching(camera, watch, title) if self.commands else {}
        return {
            f"{watch}/presence": {
                "platform": "binary_sensor",
                "name": title,
                "default_entity_id": _entity_id("binary_sensor", *place),
                "device_class": "occupancy",
                "availability": running,
                "state_topic": self.topics.state(*place),
                "qos": 1,
            },
            f"{watch}/alert": {
                "platform": "event",
                "name": f"{title} alert",
                "default_entity_id": _entity_id("event", *place, "alert"),
                "icon": "mdi:bell-ring",
                "availability": [self._daemon_online],
                "state_topic": self.topics.event(*place),
                "qos": 1,
                "event_types": list(get_args(AlertType)),
                "value_template": "{{ dict(value_json, event_type=value_json.type) | to_json }}",
            },
            f"{watch}/picture": {
                "platform": "image",
                "name": f"{title} picture",
                "default_entity_id": _entity_id("image", *place, "picture"),
                "availability": [self._daemon_online],
                "image_topic": self.topics.snapshot(*place),
                "content_type": "image/jpeg",
            },
            f"{watch}/confidence": {
                "platform": "sensor",
                "name": f"{title} confidence",
                "default_entity_id": _entity_id("sensor", *place, "confidence"),
                "icon": "mdi:percent",
                "state_class": "measurement",
                "unit_of_measurement": "%",
                "suggested_display_precision": 0,
                "availability": [self._daemon_online],
                "state_topic": self.topics.event(*place),
                "value_template": "{{ (value_json.confidence * 100) | round(1) }}",
            },
            **buttons,
        }

    def _watch_runs(self, watch: str) -> dict[str, str]:
        return {
            "topic": self.topics.info,
            "value_template": (
                f"{{{{ 'online' if '{watch}' in value_json.watches else 'offline' }}}}"
            ),
        }

    def _teaching(self, camera: str, watch: str, title: str) -> dict[str, Component]:
        """Buttons that say whether the newest alert was right, which may be about a camera that is
        offline by now."""
        return {
            f"{watch}/{said}": {
                "platform": "button",
                "name": f"{title} was {said}",
                "default_entity_id": _entity_id("button", camera, watch, "was", said),
                "icon": icon,
                "availability": [self._daemon_online, self._watch_runs(watch)],
                "qos": 1,
                "command_topic": self.topics.command("teach"),
                "payload_press": json.dumps({"camera": camera, "watch": watch, "is": said}),
            }
            for said, icon in (("wrong", "mdi:thumb-down"), ("right", "mdi:thumb-up"))
        }

    def _suggested(self, watch: str, title: str) -> Component:
        return self._measured(
            self._entity("sensor", f"{watch}_suggested_confidence"),
            f"{title} suggested confidence",
            self.topics.info,
            f"value_json.watches.get('{watch}', {{}}).get('suggested_confidence')",
            None,
        )

    def _watch_switch(self, watch: str, title: str) -> Component:
        return {
            "platform": "switch",
            "name": title,
            "default_entity_id": self._entity("switch", watch),
            "state_topic": self.topics.info,
            "value_template": f"{{{{ 'on' if '{watch}' in value_json.watches else 'off' }}}}",
            **self._switching("watch/switch", watch),
        }

    def _camera_switch(self, camera: str) -> Component:
        return {
            "platform": "switch",
            "name": "Enabled",
            "default_entity_id": _entity_id("switch", camera, "enabled"),
            "entity_category": "config",
            "availability": [self._daemon_online],
            "state_topic": self.topics.camera_status(camera),
            "value_template": "{{ 'off' if value == 'disabled' else 'on' }}",
            **self._switching("camera/switch", camera),
        }

    def _switching(self, verb: str, name: str) -> Component:
        """A switch has one command topic, so one verb does both."""
        return {
            "icon": "mdi:eye",
            "qos": 1,
            "command_topic": self.topics.command(verb),
            "payload_on": json.dumps({"name": name, "enabled": True}),
            "payload_off": json.dumps({"name": name, "enabled": False}),
            "state_on": "on",
            "state_off": "off",
        }


def replacing(device: Device, former: Device) -> Device:
    """`device` with entries that remove the components that only `former` had.

    Home Assistant removes a component that has nothing but its platform. These come first, since it
    stops reading at a component that it is still processing from the former message.
    """
    gone = {
        name: {"platform": component["platform"]}
        for name, component in former["components"].items()
        if name not in device["components"] and len(component) > 1
    }
    return {**device, "components": {**gone, **device["components"]}}


def announced_before(payload: bytes) -> Device | None:
    """A device found on the broker; None if the message is not ours."""
    try:
        device = json.loads(payload)
        ours = device["origin"]["name"] == ORIGIN
        well_formed = all(
            isinstance(component["platform"], str) for component in device["components"].values()
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return device if ours and well_formed else None


def _entity_id(platform: str, *parts: str) -> str:
    """The default entity id, unless the user chose another or it is taken."""
    name = re.sub("[^a-z0-9]+", "_", "_".join(parts).lower()).strip("_")
    return f"{platform}.{name or 'unnamed'}"


def _title(name: str, title: str | None) -> str:
    """The display name; without one, the name as a title: `front-door` becomes `Front door`."""
    return title or re.sub(r"[_-]+", " ", name).strip().capitalize() or name
