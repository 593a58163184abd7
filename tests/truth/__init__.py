"""What really happens in the bundled street clip, and how events are held against it."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from streamwatch.geometry import Box, iou

FOLDER = Path(__file__).parent
SLACK_SECONDS = 1.0
"""An event may lie this far outside the time its thing is in the picture: cameras run late."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One thing's stay in the clip; times are seconds into it, boxes by frame number."""

    name: str
    start: float
    end: float
    boxes: Mapping[int, Box]


@dataclass(frozen=True, slots=True)
class Truth:
    fps: float
    visits: tuple[Visit, ...]

    def box(self, name: str, position: float) -> Box | None:
        """Where the thing is at `position` seconds; None where it is not in the picture."""
        number = round(position * self.fps)
        boxes = [visit.boxes.get(number) for visit in self.visits if visit.name == name]
        return next((box for box in boxes if box is not None), None)

    def iou(self, event: Mapping[str, Any], position: float) -> float:
        """How well an event's box lies on the thing it names."""
        box = self.box(event["prompt"], position)
        return 0.0 if box is None else iou(box, tuple(event["box"]))


@dataclass(frozen=True, slots=True)
class Score:
    """Visits by what became of them, and alerts that belong to none."""

    found: tuple[str, ...]
    missed: tuple[str, ...]
    split: tuple[str, ...]
    doubled: tuple[str, ...]
    false: tuple[str, ...]

    @property
    def perfect(self) -> bool:
        return not (self.missed or self.split or self.doubled or self.false)


def street() -> Truth:
    recorded = json.loads((FOLDER / "street.truth.json").read_text())
    fps = recorded["fps"]
    boxes: dict[tuple[int, str], dict[int, Box]] = defaultdict(dict)
    for number, things in enumerate(recorded["frames"]):
        for thing in things:
            boxes[thing["id"], thing["name"]][number] = tuple(thing["xyxy"])
    return Truth(
        fps,
        tuple(
            Visit(name, min(found) / fps, max(found) / fps, found)
            for (_, name), found in boxes.items()
        ),
    )


def score(truth: Truth, events: Sequence[Mapping[str, Any]], offset: float = 0.0) -> Score:
    """Hold alerts, the payloads of every type, against the visits.

    When a visit begins is told by its `position` or, on a live stream, by its `captured_at` in
    seconds since 1970 less `offset`. A visit told twice is doubled if both were open at once, and
    split otherwise.
    """
    alerts = {event["id"]: event for event in events if event["type"] == "new"}
    ends = {event["id"]: event for event in events if event["type"] == "end"}
    spans = {
        number: (started := clip_seconds(alert, offset), started + _length(ends.get(number)))
        for number, alert in alerts.items()
    }
    outcomes: dict[str, list[str]] = defaultdict(list)
    claimed: set[str] = set()
    for visit in truth.visits:
        mine = [
            number
            for number, alert in alerts.items()
            if alert["prompt"] == visit.name
            and visit.start - SLACK_SECONDS <= spans[number][0] <= visit.end + SLACK_SECONDS
        ]
        claimed.update(mine)
        if len(mine) == 1:
            outcomes["found"].append(visit.name)
        elif not mine:
            outcomes["missed"].append(visit.name)
        else:
            overlap = any(
                spans[a][0] < spans[b][1] and spans[b][0] < spans[a][1]
                for a, b in itertools.combinations(mine, 2)
            )
            outcomes["doubled" if overlap else "split"].append(visit.name)
    outcomes["false"] = [a["prompt"] for number, a in alerts.items() if number not in claimed]
    return Score(*(tuple(outcomes[k]) for k in ("found", "missed", "split", "doubled", "false")))


def clip_seconds(event: Mapping[str, Any], offset: float = 0.0) -> float:
    """Seconds into the clip at which an event's box was seen."""
    if "position" in event:
        return float(event["position"])
    return datetime.fromisoformat(event["captured_at"]).timestamp() - offset


def _length(end: Mapping[str, Any] | None) -> float:
    """How long a visit lasted, from its `end`; for ever without one."""
    if end is None:
        return float("inf")
    started = datetime.fromisoformat(end["started_at"])
    return (datetime.fromisoformat(end["ended_at"]) - started).total_seconds()
