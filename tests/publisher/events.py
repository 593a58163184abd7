"""Short ways to make events for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from ulid import ULID

from streamwatch.learning.learnt import NearMiss, Subject
from streamwatch.pixels import Pixels
from streamwatch.publisher.outbox.outbox import Waiting
from streamwatch.records import Clip, Event, MarkedPicture

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


def picture(width: int = 640, height: int = 360) -> MarkedPicture:
    grey = np.full((height, width, 3), 128, np.uint8)
    return MarkedPicture(Pixels(grey), (100.0, 120.0, 200.0, 300.0), "red car 0.83")


def new_event(**changes: Any) -> Event:
    fields: dict[str, Any] = {
        "id": str(ULID()),
        "type": "new",
        "camera": "porch",
        "watch": "car",
        "prompt": "red car",
        "track": 7,
        "confidence": 0.83,
        "best_confidence": 0.91,
        "box": (100.0, 120.0, 200.0, 300.0),
        "frame_size": (640, 360),
        "zones": ("steps",),
        "captured_at": MOMENT,
        "started_at": MOMENT - timedelta(seconds=1),
        "ended_at": None,
        "position": None,
        "sequence": 0,
        "reason": None,
        "snapshot": False,
        "picture": None,
    }
    return Event(**{**fields, **changes})


def clip_of(visit: str, **changes: Any) -> Clip:
    fields: dict[str, Any] = {
        "id": visit,
        "camera": "porch",
        "watch": "car",
        "path": Path("/clips/a.mp4"),
        "started_at": MOMENT - timedelta(seconds=6),
        "seconds": 12.5,
        "bytes": 1_500_000,
        "codec": "h264",
        "complete": True,
    }
    return Clip(**{**fields, **changes})


def event_in(waiting: Waiting | None) -> Event:
    """What waits, where that is an event."""
    assert waiting is not None
    assert isinstance(waiting.told, Event)
    return waiting.told


def update_event(visit: str, sequence: int = 1, **changes: Any) -> Event:
    return new_event(id=visit, type="update", sequence=sequence, **changes)


def end_event(visit: str, sequence: int = 1, **changes: Any) -> Event:
    return new_event(
        id=visit, type="end", sequence=sequence, reason="left", ended_at=MOMENT, **changes
    )


def near_miss(**changes: Any) -> NearMiss:
    fields: dict[str, Any] = {
        "subject": Subject("porch", "car", "f00d"),
        "kind": "below",
        "reason": "0.21, and 0.3 is needed",
        "prompt": "red car",
        "confidence": 0.21,
        "needed": 0.3,
        "box": (100.0, 120.0, 200.0, 300.0),
        "frame_size": (640, 360),
        "captured_at": MOMENT,
        "picture": None,
    }
    return NearMiss(**{**fields, **changes})
