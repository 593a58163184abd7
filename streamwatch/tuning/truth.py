"""What really is in footage, and how many of a watch's alerts are right."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Protocol

from streamwatch import files
from streamwatch.config import folded
from streamwatch.errors import StreamwatchError
from streamwatch.geometry import Box, iou, rescaled
from streamwatch.tuning.footage import Footage
from streamwatch.tuning.seen import Alert

LARGEST = 500_000_000
"""Most bytes of a file: COCO's own annotations of 118,000 pictures have 470 million."""
CLIP_IOU = 0.3
"""An alert is right whose box lies so well on a thing in a clip: it may have moved a little."""
PICTURE_IOU = 0.5
"""The same in a picture, as COCO's AP50 asks."""
SLACK_SECONDS = 1.0
"""A thing is looked for so long before and after, where it is hidden in the alert's frame."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Alerts that are right, those that are not, and things that no alert told of.

    A second alert of the same thing is wrong.
    """

    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float | None:
        """The share of the alerts that is right; None without alerts."""
        told = self.right + self.wrong
        return self.right / told if told else None

    @property
    def recall(self) -> float | None:
        """The share of the things that was told; None where there are none."""
        there = self.right + self.missed
        return self.right / there if there else None

    @property
    def f1(self) -> float:
        """The harmonic mean of both; 1 where there was nothing to tell and nothing was told."""
        total = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / total if total else 1.0


class Truth(Protocol):
    def judge(
        self,
        footage: Footage,
        reached: float,
        prompts: Collection[str],
        alerts: Sequence[Alert],
        /,
    ) -> Judged:
        """Judge the alerts of a watch with these prompts, up to the position `reached`."""
        ...


def best(judged: Mapping[float, Judged]) -> float:
    """The threshold with the highest F1: of several in a row the middle one."""
    highest = max(each.f1 for each in judged.values())
    rows = [threshold for threshold in sorted(judged) if judged[threshold].f1 == highest]
    return rows[len(rows) // 2]


def read_truth(path: Path) -> Truth:
    """Truth of a clip, or COCO annotations of pictures. Raises StreamwatchError."""
    try:
        content = files.read(path, LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such name is possible"
        raise StreamwatchError(f"{path} can't be read ({reason.lower()})") from None
    if len(content) > LARGEST:
        raise StreamwatchError(f"{path} is larger than {LARGEST // 1_000_000} MB")
    try:
        document = json.loads(content)
        if isinstance(document, dict) and "annotations" in document:
            return _coco(document)
        if isinstance(document, dict) and "frames" in document:
            return _clip(document)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        said = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
        raise StreamwatchError(f"{path} is no truth that can be read ({said[:200]})") from None
    raise StreamwatchError(
        f"{path} holds neither `frames`, as the truth of a clip does, nor `annotations`, as COCO's"
    )


@dataclass(frozen=True, slots=True)
class _Thing:
    name: str
    boxes: Mapping[int, Box]
    """By the number of the frame."""

    def box_near(self, number: int, slack: int) -> Box | None:
        """Where it is in a frame, or in the nearest one that shows it."""
        if number in self.boxes:
            return self.boxes[number]
        for away in range(1, slack + 1):
            for near in (number - away, number + away):
                if near in self.boxes:
                    return self.boxes[near]
        return None


@dataclass(frozen=True, slots=True)
class ClipTruth:
    """The things of one clip, and where they are in each frame of `size` (width, height)."""

    fps: float
    size: tuple[int, int]
    things: tuple[_Thing, ...]

    def judge(
        self,
        _footage: Footage,
        reached: float,
        prompts: Collection[str],
        alerts: Sequence[Alert],
        /,
    ) -> Judged:
        meant = {folded(prompt) for prompt in prompts}
        left = [
            thing
            for thing in self.things
            if folded(thing.name) in meant and min(thing.boxes) / self.fps <= reached
        ]
        right = 0
        for alert in alerts:
            thing = self._told(alert, left)
            if thing is not None:
                left.remove(thing)
                right += 1
        return Judged(right, len(alerts) - right, len(left))

    def _told(self, alert: Alert, things: Sequence[_Thing]) -> _Thing | None:
        """The thing that an alert tells of."""
        number = round((alert.position or 0.0) * self.fps)
        box = rescaled(alert.box, alert.frame_size, self.size)
        slack = round(SLACK_SECONDS * self.fps)
        fits = [
            (iou(box, at), place)
            for place, thing in enumerate(things)
            if (at := thing.box_near(number, slack)) is not None
        ]
        overlap, place = max(fits, default=(0.0, 0))
        return things[place] if overlap >= CLIP_IOU else None


@dataclass(frozen=True, slots=True)
class PictureTruth:
    """The things of pictures, by the name of the file: what each is, and its box in pixels."""

    things: Mapping[str, Sequence[tuple[str, Box]]]

    def judge(
        self,
        footage: Footage,
        reached: float,
        prompts: Collection[str],
        alerts: Sequence[Alert],
        /,
    ) -> Judged:
        meant = {folded(prompt) for prompt in prompts}
        told: dict[str, list[Alert]] = defaultdict(list)
        for alert in alerts:
            if alert.position is not None:
                told[PurePath(footage.place(alert.position)).name].append(alert)
        right = wrong = missed = 0
        for name in footage.looked_at(reached):
            if name not in self.things:
                continue
            left = [box for what, box in self.things[name] if folded(what) in meant]
            for alert in sorted(told[name], key=lambda each: each.confidence, reverse=True):
                overlap, place = max(
                    ((iou(alert.box, box), place) for place, box in enumerate(left)),
                    default=(0.0, 0),
                )
                if overlap >= PICTURE_IOU:
                    left.pop(place)
                    right += 1
                else:
                    wrong += 1
            missed += len(left)
        return Judged(right, wrong, missed)


def _clip(document: Mapping[str, Any]) -> ClipTruth:
    boxes: dict[tuple[Any, str], dict[int, Box]] = defaultdict(dict)
    for number, things in enumerate(document["frames"]):
        for thing in things:
            boxes[thing["id"], str(thing["name"])][number] = _box(thing["xyxy"])
    fps = float(document["fps"])
    if not 0 < fps <= 1000:
        raise ValueError(f"fps is {fps:g}")
    width, height = document["size"]
    things = tuple(_Thing(name, found) for (_, name), found in boxes.items())
    return ClipTruth(fps, (int(width), int(height)), things)


def _coco(document: Mapping[str, Any]) -> PictureTruth:
    names = {row["id"]: str(row["name"]) for row in document["categories"]}
    pictures = {row["id"]: PurePath(row["file_name"]).name for row in document["images"]}
    things: dict[str, list[tuple[str, Box]]] = {name: [] for name in pictures.values()}
    for row in document["annotations"]:
        x, y, width, height = row["bbox"]
        box = _box((x, y, x + width, y + height))
        things[pictures[row["image_id"]]].append((names[row["category_id"]], box))
    return PictureTruth(things)


def _box(numbers: Sequence[Any]) -> Box:
    x1, y1, x2, y2 = (float(number) for number in numbers)
    return x1, y1, x2, y2
