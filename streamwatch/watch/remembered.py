"""Visits of the daemon's previous run that may go on in this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from streamwatch.geometry import Box, iou, rescaled
from streamwatch.records import EndReason, Event, Frame, Remembered

MEMORY_SECONDS = 600.0
"""A visit may be continued for this long after its thing was last seen."""
SAME_PLACE_IOU = 0.5
"""From this IoU on with its last box, a thing is assumed to be the same."""


def ends(visits: Iterable[Remembered], reason: EndReason) -> list[Event]:
    """The `end` of each visit that has none yet, with its last sighting."""
    return [
        replace(
            visit.last,
            type="end",
            ended_at=visit.last.captured_at,
            sequence=visit.last.sequence + 1,
            reason=reason,
        )
        for visit in visits
        if visit.open
    ]


class RememberedVisits:
    """The visits of one watch that wait for their things to be seen again. Not thread-safe."""

    def __init__(self) -> None:
        self._visits: list[Remembered] = []
        self._first_seconds: float | None = None
        """Of the frames since the start, or since the camera was away."""
        self._newest_seconds = 0.0
        self._gone_seconds = 0.0
        """How long the camera has given no frame; ages are without it until the next."""

    @property
    def visits(self) -> Sequence[Remembered]:
        return tuple(self._visits)

    def add(self, visit: Remembered) -> None:
        self._visits.append(visit)

    def pass_time(self, frame: Frame) -> None:
        """Update the visits' ages to `frame`.

        At the first frame by the time that the camera gave none, since seconds start anew.
        """
        begins = self._first_seconds is None
        elapsed = frame.seconds - self._newest_seconds
        if self._first_seconds is None:
            self._first_seconds = frame.seconds
        self._newest_seconds = frame.seconds
        for number, visit in enumerate(self._visits):
            age = visit.age_seconds
            age += self._gone_seconds if begins else elapsed
            self._visits[number] = replace(visit, age_seconds=age)
        self._gone_seconds = 0.0

    def at(self, box: Box, size: tuple[int, int]) -> Remembered | None:
        """The visit that a thing in `box`, in a frame of this size, would continue."""
        return next((visit for _, visit in self._matches({0: box}, size)), None)

    def take_matches(
        self, boxes: Mapping[int, Box], size: tuple[int, int]
    ) -> list[tuple[int, Remembered]]:
        """Remove and return the visits that continue, each after the key of its box; best IoU
        first."""
        matches = self._matches(boxes, size)
        taken = [visit for _, visit in matches]
        self._take(lambda visit: visit in taken)
        return matches

    def take_gone(self, leave_seconds: float) -> list[Remembered]:
        """Remove and return those unseen for `leave_seconds` of frames or for MEMORY_SECONDS."""
        first = self._newest_seconds if self._first_seconds is None else self._first_seconds
        gone = self._newest_seconds - first >= leave_seconds
        return self._take(lambda visit: gone or visit.age_seconds > MEMORY_SECONDS)

    def take_lost(self, gone_seconds: float) -> list[Remembered]:
        """Remove and return those too old after the camera gave no frame for `gone_seconds`."""
        self._first_seconds = None
        self._gone_seconds = gone_seconds
        return self._take(lambda visit: visit.age_seconds + gone_seconds > MEMORY_SECONDS)

    def take_all(self) -> list[Remembered]:
        return self._take(lambda _: True)

    def _matches(
        self, boxes: Mapping[int, Box], size: tuple[int, int]
    ) -> list[tuple[int, Remembered]]:
        found = [
            (iou(box, rescaled(visit.last.box, visit.last.frame_size, size)), key, visit)
            for key, box in boxes.items()
            for visit in self._visits
            if visit.age_seconds <= MEMORY_SECONDS
        ]
        matches: dict[int, Remembered] = {}
        for overlap, key, visit in sorted(found, key=lambda match: match[0], reverse=True):
            if overlap >= SAME_PLACE_IOU and key not in matches and visit not in matches.values():
                matches[key] = visit
        return list(matches.items())

    def _take(self, chosen: Callable[[Remembered], bool]) -> list[Remembered]:
        """Remove these from what waits."""
        taken = [visit for visit in self._visits if chosen(visit)]
        self._visits = [visit for visit in self._visits if visit not in taken]
        return taken
