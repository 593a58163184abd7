"""The motion gate's estimator on scenes of chance: how soon it tells of what comes.

    python -m benchmarks.gate_random [--scenes N] [--seed S]

In each something comes after 70 s: it walks, crawls, pops up or fades in; of any size from 24 px
on, any sprite, colour and light down to 0.25, before trees that sway, in rain, in light that swings
or by a camera that shakes. The estimator's constants were chosen on other scenes, those of
`benchmarks.gate_scenes`. Fails if more than `MOST_LATE` of the arrivals are told later than
`LATE_SECONDS` or never, so that a heart-beat must find them.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import track as progress

from benchmarks.gate_scenes import QUIET_FROM, TREES, Case
from streamwatch.scheduler.motion import Motion
from tests.truth.scenes import HUES, SPRITES, Scene, Thing

FPS = 5
COMES_SECONDS, ENDS_SECONDS = 70.0, 112.0
LATE_SECONDS = 2.5
"""It may fade in within 8 s, or come from the edge in steps of a pixel."""
MOST_LATE = 0.05
NAMES = tuple(sorted(path.stem for path in SPRITES.glob("*.png")))
TROUBLES: tuple[Mapping[str, Any], ...] = (
    {},
    {},
    {"trees": TREES, "sway": 2},
    {"shake": 1.5},
    {"rain": ((0, 20),)},
    {"rain": ((0, 60),)},
    {"dimming": tuple((3.0 * number, 1 + 0.1 * (-1) ** number) for number in range(40))},
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`delay` is None where it was never told; of `quiet` frames so many were `moved`."""

    case: Case
    delay: float | None
    moved: int
    quiet: int


def drawn(seed: int) -> Case:
    chance = random.Random(seed)
    name, height = chance.choice(NAMES), chance.choice((24, 30, 40, 60, 90, 120))
    x, y = chance.uniform(60, 580), chance.uniform(220, 350)
    kind = chance.choice(("walks", "crawls", "pops up", "fades in"))
    came: tuple[float, float, float] = (COMES_SECONDS, x, y)
    path = came, (100.0, x, y)
    if kind in ("walks", "crawls"):
        crawls = kind == "crawls"
        left, right = (-float(height), chance.uniform(20, 120)) if crawls else (-60.0, 700.0)
        seconds = 40.0 if crawls else chance.uniform(4, 15)
        path = (COMES_SECONDS, left, y), (COMES_SECONDS + seconds, right, y)
    fade = chance.choice((2.0, 4.0, 8.0)) if kind == "fades in" else 0.0
    color = chance.choice((None, *HUES))
    light, trouble = chance.choice((1.0, 1.0, 0.6, 0.35, 0.25)), chance.choice(TROUBLES)
    thing = Thing(name, name, height, path, color=color, fade_in=fade)
    title = f"{name} of {height} px {kind}, light {light}, {next(iter(trouble), 'no trouble')}"
    return Case(title, Scene((thing,), ENDS_SECONDS, light=light, seed=seed, **trouble))


def judged(seed: int) -> Outcome | None:
    """None for what never shows."""
    case = drawn(seed)
    visits = case.scene.truth(FPS).visits
    if not visits:
        return None
    motion = Motion()
    moved = quiet = 0
    for index, luma in enumerate(case.lumas(FPS)):
        seconds = index / FPS
        told = motion.update(luma, seconds, None)
        if QUIET_FROM < seconds < visits[0].start:
            moved += told
            quiet += 1
        elif told and seconds >= visits[0].start:
            return Outcome(case, seconds - visits[0].start, moved, quiet)
    return Outcome(case, None, moved, quiet)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.scenes)
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        found = processes.map(judged, seeds)
        outcomes = [o for o in progress(found, total=len(seeds), transient=True) if o is not None]
    console = Console(width=110)
    late = [o for o in outcomes if o.delay is None or o.delay > LATE_SECONDS]
    for each in late:
        said = "never" if each.delay is None else f"{each.delay:.1f} s"
        console.print(f"{each.case.name}: {said}")
    delays = [each.delay for each in outcomes if each.delay is not None]
    share = sum(each.moved for each in outcomes) / sum(each.quiet for each in outcomes)
    console.print(
        f"{len(outcomes)} arrivals, {len(late)} late or never told; delay in seconds, median"
        f" {statistics.median(delays):.1f}, most {max(delays):.1f}; {share:.1%} of the quiet frames"
        " were taken for motion"
    )
    console.print(f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}")
    return len(late) > MOST_LATE * len(outcomes)


if __name__ == "__main__":
    sys.exit(main())
