"""Which worker watches which camera.

A worker's fair share of all loads is in proportion to its capacity. A camera stays where it is,
unless its worker is gone or has too much, or another has too little (`levels.py`). A plan of a plan
moves nothing, nor does a camera come back for capacities that were measured 2 % higher or lower.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType

from streamwatch.fleet.levels import Levels

ROUNDING = 2**20
"""Loads are whole numbers of such parts of a frame a second, so that their sums are exact in any
order (up to 2**33 frames a second)."""
ANYWHERE: Mapping[str, Collection[str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Plan:
    """Cameras with their workers, and those that no living worker can read; sorted by camera."""

    at: Mapping[str, str]
    nowhere: tuple[str, ...]


def moves(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The cameras that change their worker, come or go; sorted."""
    return sorted({camera for camera, _ in before.items() ^ after.items()})


def plan(
    loads: Mapping[str, float],
    workers: Mapping[str, float],
    before: Mapping[str, str],
    allowed: Mapping[str, Collection[str]] = ANYWHERE,
) -> Plan:
    """`loads` of cameras and capacities of `workers` are in frames a second; `before` says where
    the cameras are, and may name what is gone; one in `allowed` goes to no other workers.

    ValueError: a capacity that isn't above 0, or a load below 0.
    """
    for worker, capacity in workers.items():
        if not 0 < capacity < inf:
            raise ValueError(f"worker {worker}: its capacity is {capacity} frames a second")
    for camera, load in loads.items():
        if not 0 <= load < inf:
            raise ValueError(f"camera {camera}: its load is {load} frames a second")
    names = sorted(workers)
    places = {name: place for place, name in enumerate(names)}
    choices = {
        camera: sorted({places[name] for name in readers if name in places})
        for camera, readers in allowed.items()
    }
    levels = Levels([workers[name] for name in names], choices)
    free: list[tuple[int, float, str]] = []
    nowhere: list[str] = []
    for camera in sorted(loads):
        load = round(loads[camera] * ROUNDING) / ROUNDING
        possible = choices.get(camera, range(len(names)))
        old = places.get(before.get(camera, ""))
        if old is not None and old in possible:
            levels.put(camera, load, old)
        elif possible:
            free.append((len(possible), -load, camera))
        else:
            nowhere.append(camera)
    # The fewest choices first, and of those the largest: what is small evens out the rest.
    for _, minus, camera in sorted(free):
        levels.put(camera, -minus, levels.lowest_with(camera, -minus))
    levels.even_out()
    return Plan({camera: names[levels.at[camera]] for camera in sorted(levels.at)}, tuple(nowhere))
