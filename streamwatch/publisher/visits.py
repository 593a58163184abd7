"""The open visits of a worker's cameras, kept at the broker, so that they outlive its machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from streamwatch.publisher.contract.topics import Topics
from streamwatch.publisher.mqtt.delivery import Delivery
from streamwatch.publisher.outbox.rows import FORMAT, NotUnderstood, event_of, row_of
from streamwatch.records import Event, Remembered

OnLost = Callable[[str, Sequence[Event]], None]
"""Takes a camera that another worker has got, with the visits there whose `end` was discarded and
that the other perhaps does not know."""


class KeptVisits:
    """What `P/visits/<camera>` retains: the newest event of each open visit.

    It is written before the event is sent, and once more after an `end`, so that a crash in between
    loses neither. Only for the publisher's thread.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._visits: dict[str, dict[str, Event]] = {}

    def note(self, event: Event, topics: Topics) -> None:
        """Before an event is sent."""
        there = self._visits.setdefault(event.camera, {})
        if event.continues is not None:
            there.pop(event.continues, None)
        there[event.id] = replace(event, picture=None)
        self._keep(event.camera, topics)

    def sent(self, event: Event, topics: Topics) -> None:
        """After an event."""
        if event.type == "end":
            self._visits.get(event.camera, {}).pop(event.id, None)
            self._keep(event.camera, topics)

    def adopt(self, cameras: Iterable[str], visits: Iterable[Event], topics: Topics) -> None:
        """Keep the visits of these cameras from now on; these another has begun."""
        for event in visits:
            self._visits.setdefault(event.camera, {})[event.id] = event
        for camera in cameras:
            self._keep(camera, topics)

    def remember(self, visits: Iterable[Event], topics: Topics) -> None:
        """How the open visits stand now; one that is not open any more is left out.

        What was a `new` stays one until the next event: that may not be delivered yet, and is
        perhaps sent again by another.
        """
        changed = set()
        for event in visits:
            there = self._visits.get(event.camera, {})
            before = there.get(event.id)
            if before is None:
                continue
            if before.sequence == event.sequence:
                event = replace(event, type=before.type)
            if row_of(event) != row_of(before):
                there[event.id] = event
                changed.add(event.camera)
        for camera in changed:
            self._keep(camera, topics)

    def leave(self, camera: str, topics: Topics) -> None:
        """Leave what is retained to another."""
        self._visits.pop(camera, None)
        self._delivery.drop(topics.visits(camera))

    def forget(self, camera: str, topics: Topics) -> None:
        """Clear what is retained of a camera that is no more."""
        self._visits.pop(camera, None)
        self._delivery.clear(topics.visits(camera))

    def _keep(self, camera: str, topics: Topics) -> None:
        visits = self._visits.get(camera)
        if visits:
            self._delivery.retain("visits", topics.visits(camera), visits_text(visits.values()))
        else:
            self._delivery.clear(topics.visits(camera))


def visits_text(visits: Iterable[Event]) -> bytes:
    """The payload of `P/visits/<camera>`."""
    rows = b",".join(row_of(visit) for visit in visits)
    return b'{"format":%d,"visits":[%s]}' % (FORMAT, rows)


def visits_of(payload: bytes | None, now: datetime) -> list[Remembered]:
    """The visits in such a payload, with their ages; those of a newer version are left out."""
    try:
        fields = json.loads(payload or b"{}")
        rows = fields["visits"] if fields["format"] <= FORMAT else []
    except (ValueError, RecursionError, KeyError, TypeError):
        return []
    found = []
    for row in rows if isinstance(rows, list) else []:
        try:
            event = event_of(json.dumps(row))
        except NotUnderstood:
            continue
        found.append(Remembered(event, max(0.0, (now - event.captured_at).total_seconds())))
    return found
