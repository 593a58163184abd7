"""A visit as it is kept, and what an event adds to it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from streamwatch.records import Event, EventType, SecondLook

MOST_STEPS = 60
"""Of a visit; of more, those in the middle are left out."""

State = Literal["open", "ended", "rejected"]


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a visit."""

    type: EventType
    at: datetime
    prompt: str
    confidence: float
    zones: tuple[str, ...]
    reason: str | None
    note: str | None
    """What a second look has said of it."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One thing's visit, as far as it was told. `rejected` ones were held back by a second look."""

    id: str
    camera: str
    watch: str
    prompt: str
    state: State
    started_at: datetime
    ended_at: datetime | None
    confidence: float
    """Its best."""
    zones: tuple[str, ...]
    steps: tuple[Step, ...]


def with_event(visit: Visit | None, event: Event) -> Visit:
    """The visit with an event more; None where it is the first."""
    at = event.captured_at
    note = None if event.second_look is None else _note(event.second_look)
    step = Step(event.type, at, event.prompt, event.confidence, event.zones, event.reason, note)
    state: State = "open"
    if event.type in ("end", "rejected"):
        state = "ended" if event.type == "end" else "rejected"
    before = () if visit is None else visit.steps
    if len(before) >= MOST_STEPS:
        half = MOST_STEPS // 2
        before = (*before[:half], *before[-(MOST_STEPS - half - 1) :])
    return Visit(
        event.id,
        event.camera,
        event.watch,
        event.prompt,
        state,
        event.started_at if visit is None else visit.started_at,
        event.ended_at,
        max(event.best_confidence, 0.0 if visit is None else visit.confidence),
        event.zones or (() if visit is None else visit.zones),
        (*before, step),
    )


def _note(look: SecondLook) -> str:
    if look.answer is not None:
        said = f'a second look says "{look.answer}"'
    elif look.score is not None:
        said = f"a second look gives {look.score:.0%}"
    else:
        said = "no second look could be taken"
    return said + ("" if look.beaten_by is None else f', rather "{look.beaten_by}"')


def row_of(visit: Visit) -> dict[str, Any]:
    """What JSON can hold of it, beside what has columns of its own."""
    return {
        "prompt": visit.prompt,
        "state": visit.state,
        "ended_at": None if visit.ended_at is None else visit.ended_at.timestamp(),
        "confidence": visit.confidence,
        "zones": list(visit.zones),
        "steps": [
            {
                "type": step.type,
                "at": step.at.timestamp(),
                "prompt": step.prompt,
                "confidence": step.confidence,
                "zones": list(step.zones),
                "reason": step.reason,
                "note": step.note,
            }
            for step in visit.steps
        ],
    }


def visit_of(
    id: str, camera: str, watch: str, started_at: float, row: Mapping[str, Any]
) -> Visit | None:
    """The visit of a row; None for one that another version wrote, or that is broken."""
    try:
        steps = tuple(
            Step(
                step["type"],
                _time(step["at"]),
                str(step["prompt"]),
                float(step["confidence"]),
                tuple(map(str, step["zones"])),
                step["reason"],
                step["note"],
            )
            for step in row["steps"]
        )
        if row["state"] not in get_args(State):
            return None
        return Visit(
            id,
            camera,
            watch,
            str(row["prompt"]),
            row["state"],
            _time(started_at),
            None if row["ended_at"] is None else _time(row["ended_at"]),
            float(row["confidence"]),
            tuple(map(str, row["zones"])),
            steps,
        )
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
