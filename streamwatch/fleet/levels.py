"""How full the workers are, and the few moves that make them about as full as each other.

Where one has more than `TOLERATED` above its fair share, or below, steps are taken. A step moves a
camera, and either undoes an excess and a lack at once or lowers the fuller of two workers by
`WORTHWHILE`. So all steps lead down, and it takes a change of several per cent to go one back.

Where any worker can take any camera, then, one above the tolerated has less than `WORTHWHILE` times
its share of all loads and, once for each other worker, of its own smallest camera. If capacities
are equal, that is less than `WORTHWHILE * (share + smallest)`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence
from itertools import chain
from math import inf
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

TOLERATED = 0.1
"""Of the fair share. Capacities are timed, and each time comes out a few per cent different."""
WORTHWHILE = 1.1
ALL = slice(None)

Numbers = NDArray[np.float64]
"""One for each worker."""


class Levels:
    """What each worker has. Workers are numbers from 0 on, loads and capacities frames a second.

    Loads should have exact sums, or another order of the same could lead elsewhere.
    """

    def __init__(self, capacities: Sequence[float], choices: Mapping[str, Sequence[int]]) -> None:
        """A camera in `choices` goes to no other workers."""
        self.at: dict[str, int] = {}
        self._capacities = self._shares = np.array(capacities, np.float64)
        self._choices = choices
        self._used = np.zeros(len(capacities))
        self._smallest = np.full(len(capacities), inf)
        self._cameras: list[list[tuple[float, str]]] = [[] for _ in capacities]
        """Sorted by load, without those of load 0, which nothing is gained by moving."""

    def put(self, camera: str, load: float, worker: int) -> None:
        """Where a camera comes to be, from nowhere or another worker."""
        old, self.at[camera] = self.at.get(camera), worker
        if load == 0:
            return
        if old is not None:
            cameras = self._cameras[old]
            del cameras[bisect_left(cameras, (load, camera))]
            self._used[old] -= load
            self._smallest[old] = cameras[0][0] if cameras else inf
        insort(self._cameras[worker], (load, camera))
        self._used[worker] += load
        self._smallest[worker] = min(load, self._smallest[worker])

    def lowest_with(self, camera: str, load: float) -> int:
        """The worker that is least full once it has this camera too."""
        choices = self._choices.get(camera)
        if choices is None:
            return int(np.argmin((self._used + load) / self._capacities))
        return choices[int(np.argmin((self._used[choices] + load) / self._capacities[choices]))]

    def even_out(self) -> None:
        """Take steps until there is none left."""
        if not self._used.any():
            return
        self._shares = self._capacities * (self._used.sum() / self._capacities.sum())
        moved = True
        while moved:
            moved = False
            fullest_first = np.argsort(-self._used / self._shares, kind="stable").tolist()
            for worker in fullest_first:
                moved |= self._mend(worker, gives=True)
            for worker in reversed(fullest_first):
                moved |= self._mend(worker, gives=False)

    def _mend(self, worker: int, gives: bool) -> bool:
        """Bring one that has too much, or too little, half-way back, so that a few per cent don't
        make it so again; whether anything moved."""
        used, shares, moved = self._used, self._shares, False
        sign, least = (1, 1.0) if gives else (-1, 1 - TOLERATED)
        if sign * (used[worker] - shares[worker]) <= shares[worker] * TOLERATED:
            return False
        possible = np.arange(len(used)) != worker
        while sign * (used[worker] - shares[worker]) > shares[worker] * TOLERATED / 2:
            most = self._most(worker, ALL) if gives else self._most_spared(worker)
            possible &= most >= self._smallest[worker if gives else ALL]
            if not possible.any():
                break
            levels = (used + self._smallest[worker] if gives else -used) / shares
            other = int(np.argmin(np.where(possible, levels, inf)))
            giver, taker = (worker, other) if gives else (other, worker)
            good = min(used[giver] - least * shares[giver], shares[taker] - used[taker])
            possible[other] = self._move(giver, taker, good, most[other])
            moved |= bool(possible[other])
        return moved

    def _most(self, giver: int | slice, taker: int | slice) -> Numbers:
        """The largest loads that a step may move."""
        used, shares = self._used, self._shares
        undone = np.minimum(used[giver] - shares[giver], shares[taker] - used[taker])
        lowered = used[giver] / shares[giver] * shares[taker] / WORTHWHILE - used[taker]
        most: Numbers = np.maximum(undone, lowered)
        return most

    def _most_spared(self, taker: int) -> Numbers:
        """The same of those who then still have enough, or are no less full than the taker."""
        used, shares = self._used, self._shares
        even = (used * shares[taker] - used[taker] * shares) / (shares + shares[taker])
        spared = np.maximum(used - shares * (1 - TOLERATED), even)
        most: Numbers = np.minimum(self._most(ALL, taker), spared)
        return most

    def _move(self, giver: int, taker: int, good: float, most: float) -> bool:
        """Move the largest camera up to the load `good`, so that few do, or else the smallest up
        to `most`; whether there was one."""
        cameras = self._cameras[giver]
        fitting = bisect_right(cameras, min(good, most), key=itemgetter(0))
        movable = bisect_right(cameras, most, key=itemgetter(0))
        for index in chain(reversed(range(fitting)), range(fitting, movable)):
            load, camera = cameras[index]
            if taker in self._choices.get(camera, (taker,)):
                self.put(camera, load, taker)
                return True
        return False
