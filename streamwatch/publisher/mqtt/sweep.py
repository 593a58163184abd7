"""Retained topics that the previous run left on the broker, of what was removed since."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from streamwatch.config import NAME_PATTERN
from streamwatch.publisher.contract.topics import Pair, Topics

SWEEP_SECONDS = 5.0
"""How long to wait for another retained message: brokers don't say which is the last."""
SWEEPS = 2
"""Most tries: some brokers close the connection when a subscription is not allowed."""


@dataclass(frozen=True, slots=True)
class Declared:
    """All cameras, and all pairs of camera and watch, that exist.

    With `workers` those publish the states, and `workers` are all that exist; None for a daemon
    that is alone on its prefix.
    """

    cameras: Collection[str] = ()
    pairs: Collection[Pair] = ()
    workers: Collection[str] | None = None


def filters(topics: Topics) -> tuple[str, ...]:
    """Topic filters that match everything that may be left over."""
    return (
        *(topics.camera_status("+"), topics.state("+", "+"), topics.snapshot("+", "+")),
        *(topics.owner("+"), topics.visits("+")),
        *(topics.of("+").status, topics.of("+").info),
    )


def is_left_over(topic: str, topics: Topics, declared: Declared) -> bool:
    """Whether a topic is ours, of something that no longer exists."""
    above, _, below = topic.partition(f"{topics.prefix}/")
    if above:
        return False
    match below.split("/"):
        case ["cameras", camera, "status"] if _is_name(camera):
            return camera not in declared.cameras
        case ["state" | "snapshot", camera, watch] if _is_name(camera) and _is_name(watch):
            return (camera, watch) not in declared.pairs
        case ["cameras", camera, "worker"] | ["visits", camera] if _is_name(camera):
            return declared.workers is None or camera not in declared.cameras
        case ["workers", worker, "status" | "info"] if _is_name(worker):
            return worker not in (declared.workers or ())
    return False


def _is_name(text: str) -> bool:
    return re.fullmatch(NAME_PATTERN, text) is not None


class Sweep:
    """When to sweep: once per broker and prefix, as soon as it is declared what exists."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._sweeps_left = SWEEPS
        self._until: float | None = None

    @property
    def under_way(self) -> bool:
        return self._until is not None

    @property
    def seconds_left(self) -> float | None:
        return None if self._until is None else max(0.0, self._until - self._seconds())

    def begin(self) -> bool:
        """Start a sweep; False if one is under way or all are done."""
        if self.under_way or not self._sweeps_left:
            return False
        self._sweeps_left -= 1
        self.go_on()
        return True

    def go_on(self) -> None:
        """A retained message arrived: wait for more."""
        self._until = self._seconds() + SWEEP_SECONDS

    def interrupt(self) -> None:
        """The connection is lost."""
        self._until = None

    def end(self) -> None:
        self._until = None
        self._sweeps_left = 0
