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
        self._movable = np.zeros((len(capacities), len(capacities)), np.int32)
        """How many of the cameras of a worker, its row, may go to each."""

    def put(self, camera: str, load: float, worker: int) -> None:
        """Where a camera comes to be, from nowhere or another worker."""
        old, self.at[camera] = self.at.get(camera), worker
        if load == 0:
            return
        places = self._choices.get(camera, ALL)
        if old is not None:
            cameras = self._cameras[old]
            del cameras[bisect_left(cameras, (load, camera))]
            self._movable[old, places] -= 1
            self._used[old] -= load
            self._smallest[old] = cameras[0][0] if cameras else inf
        insort(self._cameras[worker], (load, camera))
        self._movable[worker, places] += 1
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
        while self._mend(gives=True) | self._mend(gives=False):
            pass

    def _mend(self, gives: bool) -> bool:
        """Bring those that have too much, or too little, half-way back, so that a few per cent
        don't make them so again; whether anything moved."""
        sign = 1 if gives else -1
        off = sign * (self._used / self._shares - 1)
        waiting, moved = off > TOLERATED, False
        while (waiting & (off > TOLERATED / 2)).any():
            worst = int(np.argmax(np.where(waiting, off, -inf)))
            waiting[worst] = self._step(worst, gives)
            moved |= bool(waiting[worst])
            off = sign * (self._used / self._shares - 1)
        return moved

    def _step(self, worker: int, gives: bool) -> bool:
        """Move a camera from this worker, or to it; whether there was one."""
        used, shares = self._used, self._shares
        most = self._most(worker, ALL) if gives else self._most_spared(worker)
        smallest = self._smallest[worker if gives else ALL]
        levels = (used + smallest if gives else -used) / shares
        movable = self._movable[worker] if gives else self._movable[:, worker]
        levels[(most < smallest) | (movable == 0) | (np.arange(len(used)) == worker)] = inf
        for other in np.argsort(levels, kind="stable").tolist():
            if levels[other] == inf:
                break
            giver, taker = (worker, other) if gives else (other, worker)
            least = shares[giver] * (1 if gives else 1 - TOLERATED)
            good = min(used[giver] - least, shares[taker] - used[taker])
            if self._move(giver, taker, good, most[other]):
                return True
        return False

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
            if camera not in self._choices or taker in self._choices[camera]:
                self.put(camera, load, taker)
                return True
        return False
