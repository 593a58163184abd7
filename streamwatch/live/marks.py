"""What to draw of that which was found: see `marks`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from streamwatch.pictures.shots import Mark, in_shares
from streamwatch.records import Detection
from streamwatch.watch.rules import Counting, beaten_by

MOST_MARKS = 60
"""In one picture, the surest."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a watch looks for on a camera, when that counts, and what it must beat."""

    watch: str
    prompts: Collection[str]
    counting: Counting
    rivals: Collection[str]


def marks(
    detections: Sequence[Detection], wanted: Sequence[Wanted], size: tuple[int, int]
) -> tuple[Mark, ...]:
    """A mark for each thing found that a watch looks for, the surest first.

    `size` is the frame's (width, height) in pixels. What else must be near, or not (`with`,
    `without`), is left out.
    """
    rivals: Mapping[str, list[Detection]] = {
        each.watch: [found for found in detections if found.prompt in each.rivals]
        for each in wanted
    }
    made: list[Mark] = []
    for found in sorted(detections, key=lambda each: each.confidence, reverse=True):
        if len(made) == MOST_MARKS:
            break
        asking = [each for each in wanted if found.prompt in each.prompts]
        if not asking:
            continue
        reasons = {each.watch: _reasons(found, each, rivals[each.watch], size) for each in asking}
        counts = tuple(watch for watch, why in reasons.items() if not why)
        why = "" if counts else "; ".join(reasons[asking[0].watch])
        box = in_shares(found.box, size)
        made.append(Mark(found.prompt, found.confidence, box, counts, why))
    return tuple(made)


def _reasons(
    found: Detection, wanted: Wanted, rivals: Sequence[Detection], size: tuple[int, int]
) -> list[str]:
    """Why it does not count; none where it does."""
    _, reasons = wanted.counting.judge(found, size)
    said = [reason.text for reason in reasons]
    rival = beaten_by(found, rivals)
    if rival is not None:
        said.append(f"rather {rival.prompt} ({rival.confidence:.2f})")
    return said
