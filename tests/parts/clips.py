"""Clips of the bundled street clip, held against what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import av

from tests.parts import STREET_CLIP
from tests.truth import Truth, clip_seconds

ROUNDING_SECONDS = 0.002
REORDERED = 3
"""So many pictures of the clip come at most in another order than they are shown."""


def frames(path: Path) -> list[tuple[float, bytes]]:
    """Each frame of a file, its position in seconds and its pixels."""
    with av.open(str(path)) as container:
        (stream,) = container.streams.video
        container.seek(0)
        packets = sum(packet.size > 0 for packet in container.demux(stream))
        container.seek(0)
        found = [
            (frame.time or 0.0, frame.to_ndarray(format="gray").tobytes())
            for frame in container.decode(stream)
        ]
    assert len(found) == packets, "a frame can't be decoded"
    return found


@cache
def _street_frames() -> tuple[bytes, ...]:
    return tuple(pixels for _, pixels in frames(STREET_CLIP))


def check_frames(clip: Mapping[str, Any], event: Mapping[str, Any], truth: Truth) -> None:
    """Every frame of the clip is one of the street's, in order, and at the event's time it shows
    what the event says: the thing is in its box."""
    began = datetime.fromisoformat(clip["started_at"]).timestamp()
    shown = frames(Path(clip["path"]))
    # Where a stop cuts it, a picture may be there and the one that is shown before it not.
    pixels = tuple(each for _, each in shown[:-REORDERED])
    street = _street_frames()
    (first,) = [n for n in range(len(street)) if street[n : n + len(pixels)] == pixels]
    assert abs(shown[-1][0] + 1 / truth.fps - clip["seconds"]) < ROUNDING_SECONDS
    at = clip_seconds(event, began)
    index = min(range(len(shown)), key=lambda each: abs(shown[each][0] - at))
    position = shown[index][0]
    assert abs(position - at) <= 0.5 / truth.fps, "the clip has no frame of that time"
    assert truth.iou(event, (first + index) / truth.fps) > 0.5, (
        f"{event['prompt']} at {position:.2f} s"
    )


def seconds_between(clip: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[float, float]:
    """How long before the visit the clip begins, and how long after its end it goes on."""
    began = datetime.fromisoformat(clip["started_at"]).timestamp()
    started = datetime.fromisoformat(event["started_at"]).timestamp()
    ended = datetime.fromisoformat(event["ended_at"]).timestamp()
    return started - began, began + clip["seconds"] - ended
