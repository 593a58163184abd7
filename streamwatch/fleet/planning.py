"""Which worker watches which camera.

A worker's fair share of all loads is in proportion to its capacity. A camera stays where it is,
unless its worker is gone, or has more than `TOLERATED` above its share, or another has more than
that below its own. And only steps are taken that undo an excess and a lack at once, or that lower
the higher of two workers by a factor of `WORTHWHILE`. So each step leads further down, a plan has
no such step left, and what is measured a little differently the next time moves nothing back.

Where any worker can take any camera, then, a worker above the tolerated has at most `WORTHWHILE`
times its share of all loads and of its own smallest camera for every other worker. If all are
equal, that is `WORTHWHILE * (share + smallest)`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import inf, isfinite
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

TOLERATED = 0.1
"""From the fair share. Capacities are timed, and differ by a few per cent from time to time."""
WORTHWHILE = 1.1
"""Both workers of a step can be timed wrongly, so it takes 1.1² to undo one."""
STEPS = 2**20
"""Loads are rounded to so many steps of a frame a second. Sums are exact then in any order, up to
2**33 frames a second."""
EVERYBODY = slice(None)
ANYWHERE: Mapping[str, Collection[str]] = MappingProxyType({})

Numbers = NDArray[np.float64]
"""One for each worker, in the order of their names."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Cameras with their workers, and those that no living worker can read; sorted by camera."""

    at: Mapping[str, str]
    nowhere: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """A camera that changes its worker; None is nowhere."""

    camera: str
    old: str | None
    new: str | None


def moves(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Move, ...]:
    """What differs, sorted by camera."""
    both = ((camera, before.get(camera), after.get(camera)) for camera in {*before, *after})
    return tuple(Move(*each) for each in sorted(both, key=lambda e: e[0]) if each[1] != each[2])


def plan(
    loads: Mapping[str, float],
    workers: Mapping[str, float],
    before: Mapping[str, str],
    allowed: Mapping[str, Collection[str]] = ANYWHERE,
) -> Plan:
    """Cameras' frames a second, workers' capacities in the same unit, and where the cameras are.

    `before` may name what is gone. A camera that is in `allowed` goes to no other workers than
    those. ValueError: a capacity that isn't above 0, or a load below 0.
    """
    for worker, capacity in workers.items():
        if not (isfinite(capacity) and capacity > 0):
            raise ValueError(f"worker {worker}: a capacity of {capacity} frames a second")
    for camera, load in loads.items():
        if not (isfinite(load) and load >= 0):
            raise ValueError(f"camera {camera}: a load of {load} frames a second")
    names = sorted(workers)
    places = {name: place for place, name in enumerate(names)}
    choices = {
        camera: sorted({places[name] for name in allowed[camera] if name in places})
        for camera in loads
        if camera in allowed
    }
    everywhere = range(len(names))
    standing = _Standing(np.array([workers[name] for name in names], float), choices)
    free: list[tuple[int, float, str]] = []
    nowhere: list[str] = []
    for camera in sorted(loads):
        load = round(loads[camera] * STEPS) / STEPS
        possible = choices.get(camera, everywhere)
        old = places.get(before.get(camera, ""), -1)
        if old in possible:
            standing.put(camera, load, old)
        elif possible:
            free.append((len(possible), -load, camera))
        else:
            nowhere.append(camera)
    # Those with the fewest choices first, and the largest of them: the small ones level the rest.
    for _, minus, camera in sorted(free):
        standing.put(camera, -minus, standing.lowest_with(camera, -minus))
    standing.level_out()
    at = {camera: names[standing.at[camera]] for camera in sorted(standing.at)}
    return Plan(at, tuple(nowhere))


class _Standing:
    """What each worker has. Workers are places in the order of their names."""

    def __init__(self, capacities: Numbers, choices: Mapping[str, Sequence[int]]) -> None:
        self.at: dict[str, int] = {}
        self._capacities = capacities
        self._choices = choices
        self._used = np.zeros_like(capacities)
        self._shares = np.zeros_like(capacities)
        self._cameras: list[list[tuple[float, str]]] = [[] for _ in capacities]
        """By load, without those of load 0, which nothing is gained by moving."""
        self._smallest = np.full_like(capacities, inf)

    def put(self, camera: str, load: float, worker: int) -> None:
        """Where a camera comes to be, from nowhere or another worker."""
        old = self.at.get(camera)
        self.at[camera] = worker
        if load == 0:
            return
        row = load, camera
        if old is not None:
            self._cameras[old].remove(row)
            self._used[old] -= load
            self._smallest[old] = self._cameras[old][0][0] if self._cameras[old] else inf
        cameras = self._cameras[worker]
        cameras.insert(bisect_right(cameras, row), row)
        self._used[worker] += load
        self._smallest[worker] = cameras[0][0]

    def lowest_with(self, camera: str, load: float) -> int:
        """The worker that is least full once it has this camera too."""
        choices = self._choices.get(camera)
        if choices is None:
            return int(np.argmin((self._used + load) / self._capacities))
        return choices[int(np.argmin((self._used[choices] + load) / self._capacities[choices]))]

    def level_out(self) -> None:
        """Take steps until there is none left."""
        total = self._used.sum()
        if not total:
            return
        self._shares = self._capacities * (total / self._capacities.sum())
        moved = True
        while moved:
            levels = self._used / self._shares
            moved = any(
                [self._mend(worker, gives=True) for worker in np.argsort(-levels, kind="stable")]
                + [self._mend(worker, gives=False) for worker in np.argsort(levels, kind="stable")]
            )

    def _mend(self, worker: int, gives: bool) -> bool:
        """Where it has too much, or too little, bring it to its share; whether anything moved."""
        used, shares, moved = self._used, self._shares, False
        level = used[worker] / shares[worker]
        if level <= 1 + TOLERATED if gives else level >= 1 - TOLERATED:
            return False
        possible = np.arange(len(used)) != worker
        while used[worker] > shares[worker] if gives else used[worker] < shares[worker]:
            most = self._most(worker, EVERYBODY) if gives else self._most(EVERYBODY, worker)
            possible &= most >= self._smallest[worker if gives else EVERYBODY]
            if not possible.any():
                break
            levels = (used + self._smallest[worker] if gives else -used) / shares
            other = int(np.argmin(np.where(possible, levels, inf)))
            giver, taker = (worker, other) if gives else (other, worker)
            # Nobody gives to one that lacks until it lacks something itself.
            spare = used[giver] - shares[giver] * (1 if gives else 1 - TOLERATED)
            possible[other] = self._move(giver, taker, most[other], spare)
            moved |= bool(possible[other])
        return moved

    def _most(self, giver: int | slice, taker: int | slice) -> Numbers:
        """The largest load that may be moved."""
        used, shares = self._used, self._shares
        excess_and_lack = np.minimum(used[giver] - shares[giver], shares[taker] - used[taker])
        worthwhile = used[giver] / shares[giver] * shares[taker] / WORTHWHILE - used[taker]
        most: Numbers = np.maximum(excess_and_lack, worthwhile)
        return most

    def _move(self, giver: int, taker: int, most: float, spare: float) -> bool:
        """Move the largest camera that the one can spare and the other lacks, or else the smallest;
        whether there was one of `most` or less."""
        cameras, lack = self._cameras[giver], self._shares[taker] - self._used[taker]
        fitting = bisect_right(cameras, min(most, spare, lack), key=lambda row: row[0])
        movable = bisect_right(cameras, most, key=lambda row: row[0])
        for index in chain(reversed(range(fitting)), range(fitting, movable)):
            load, camera = cameras[index]
            if camera not in self._choices or taker in self._choices[camera]:
                self.put(camera, load, taker)
                return True
        return False
