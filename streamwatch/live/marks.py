"""What to draw of that which was found: see `marks`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from streamwatch.live.pictures import Mark, in_shares
from streamwatch.records import Detection
from streamwatch.watch.rules import beaten

MOST_MARKS = 60
"""In one picture, the surest."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a watch looks for on a camera, as sure as that must be, and what it must beat."""

    watch: str
    prompts: Collection[str]
    confidence: float
    rivals: Collection[str]


def marks(
    detections: Sequence[Detection], wanted: Sequence[Wanted], size: tuple[int, int]
) -> tuple[Mark, ...]:
    """A mark for each thing found that a watch looks for, the surest first.

    `size` is the frame's (width, height) in pixels.
    """
    rivals: Mapping[str, list[Detection]] = {
        each.watch: [found for found in detections if found.prompt in each.rivals]
        for each in wanted
    }
    made = []
    for found in sorted(detections, key=lambda each: each.confidence, reverse=True):
        asking = [each for each in wanted if found.prompt in each.prompts]
        if not asking:
            continue
        sure = tuple(
            each.watch
            for each in asking
            if found.confidence >= each.confidence and not beaten(found, rivals[each.watch])
        )
        made.append(Mark(found.prompt, found.confidence, in_shares(found.box, size), sure))
    return tuple(made[:MOST_MARKS])
