"""Which worker watches which camera: fair, and with as few moves as that takes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.fleet.planning import TOLERATED, WORTHWHILE, Move, Plan, moves, plan

ROUNDING = 1e-6

cameras = st.integers(0, 30).map("camera-{}".format)
fps = st.sampled_from([0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 120.0]) | st.floats(0, 200)
loads_of = st.dictionaries(cameras, fps, max_size=30)
names = st.integers(0, 9).map("worker-{}".format)
workers_of = st.dictionaries(names, st.floats(2, 200) | st.just(10.0), max_size=8)
some_workers = st.dictionaries(names, st.floats(2, 200) | st.just(10.0), min_size=1, max_size=8)
before_of = st.dictionaries(cameras, names, max_size=30)
allowed_of = st.dictionaries(cameras, st.lists(names, max_size=3), max_size=10)
noise = st.floats(0.98, 1.02)


def used(at: Mapping[str, str], loads: Mapping[str, float], worker: str) -> float:
    return sum(loads[camera] for camera in at if at[camera] == worker)


def fair(at: Mapping[str, str], loads: Mapping[str, float], workers: Mapping[str, float]) -> float:
    """Load for each unit of capacity."""
    return sum(loads[camera] for camera in at) / sum(workers.values())


def fine_fleet(capacities: Mapping[str, float]) -> dict[str, float]:
    """Cameras that are each 4 % of the least share, or less."""
    count = int(40 * sum(capacities.values()) / min(capacities.values()))
    return {f"camera-{number:05}": (1.0, 0.5, 0.25)[number % 3] for number in range(count)}


@given(loads_of, workers_of, before_of, allowed_of)
def test_each_camera_is_planned_once_where_it_may_be(
    loads: dict[str, float],
    workers: dict[str, float],
    before: dict[str, str],
    allowed: dict[str, list[str]],
) -> None:
    planned = plan(loads, workers, before, allowed)
    assert sorted([*planned.at, *planned.nowhere]) == sorted(loads)
    for camera in loads:
        possible = workers.keys() & allowed.get(camera, workers.keys())
        assert planned.at[camera] in possible if possible else camera in planned.nowhere


@given(loads_of, workers_of, before_of, allowed_of)
def test_a_plan_of_its_own_result_moves_nothing(
    loads: dict[str, float],
    workers: dict[str, float],
    before: dict[str, str],
    allowed: dict[str, list[str]],
) -> None:
    planned = plan(loads, workers, before, allowed)
    assert plan(loads, workers, planned.at, allowed) == planned


@given(loads_of, workers_of, before_of, allowed_of, st.randoms(use_true_random=False))
def test_the_order_of_what_it_is_given_makes_no_difference(
    loads: dict[str, float],
    workers: dict[str, float],
    before: dict[str, str],
    allowed: dict[str, list[str]],
    random: st.DrawFn,
) -> None:
    def shuffled(of: Mapping[str, object]) -> dict[str, object]:
        return dict(random.sample(sorted(of.items(), key=lambda e: e[0]), len(of)))

    assert plan(loads, workers, before, allowed) == plan(
        *map(shuffled, (loads, workers, before, allowed))
    )


@given(loads_of, some_workers, before_of, st.data())
def test_noise_moves_nothing_to_and_fro(
    loads: dict[str, float], workers: dict[str, float], before: dict[str, str], data: st.DataObject
) -> None:
    at = plan(loads, workers, before).at
    seen = {camera: [worker] for camera, worker in at.items()}
    for _ in range(5):
        measured = {worker: workers[worker] * data.draw(noise) for worker in workers}
        at = plan(loads, measured, at).at
        for camera, worker in at.items():
            if worker != seen[camera][-1]:
                seen[camera].append(worker)
    for path in seen.values():
        assert len(path) == len(set(path))
