"""The text of a notice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from streamwatch.config import NotifySettings, filled
from streamwatch.records import Event, EventType

SENTENCES: Mapping[EventType, str] = {
    "new": "{watch} on {camera}: {prompt}, {confidence}, at {time}",
    "update": "{watch} on {camera}, still there: {prompt}, {confidence}, at {time}",
    "end": "{watch} on {camera} is over: {reason}, at {time}",
}
"""Where no template is written."""


@dataclass(frozen=True, slots=True)
class Names:
    """How people call cameras and watches, and the time zone to tell times in; None is the
    system's."""

    cameras: Mapping[str, str | None] = field(default_factory=dict)
    watches: Mapping[str, str | None] = field(default_factory=dict)
    zone: ZoneInfo | None = None


def wants(settings: NotifySettings, event: Event) -> bool:
    """Whether this event is told to this service; what a restart opens anew was told before."""
    return (
        event.type in settings.on
        and not (event.type == "new" and event.continues is not None)
        and (settings.watches is None or event.watch in settings.watches)
        and (settings.cameras is None or event.camera in settings.cameras)
    )


def text_of(settings: NotifySettings, event: Event, names: Names) -> str:
    moment = event.ended_at if event.type == "end" and event.ended_at else event.captured_at
    return filled(
        settings.template or SENTENCES[event.type],
        {
            "camera": names.cameras.get(event.camera) or event.camera,
            "watch": names.watches.get(event.watch) or event.watch,
            "prompt": event.prompt,
            "confidence": f"{event.confidence:.0%}",
            "zones": ", ".join(event.zones),
            "time": f"{moment.astimezone(names.zone):%Y-%m-%d %H:%M:%S}",
            "type": event.type,
            "reason": event.reason or "",
            "id": event.id,
        },
    )
