"""What learning tells, and what it costs.

    python -m benchmarks.learning [--rounds 3]

First the bundled clip with a confidence that is much too high: for each thing that is really there,
the alert or the reason why there was none. Then eight cameras on that clip as fast as they go, with
three watches each and the gate off, in a process of its own each time: with learning (near misses
on disk, histograms in a file) and, in turn, with the same watches and no learning. Counted is the
CPU time of all threads for each analysed frame, that within the watches' learning alone, and the
most memory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from rich.console import Console
from rich.progress import track as progress
from rich.table import Table

from streamwatch.config import Config
from streamwatch.learning.learning import Learning
from streamwatch.learning.learnt import NearMiss
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.records import Event
from streamwatch.watch.learner import Learner
from tests.truth import street

CAMERAS = 8
TOO_HIGH = 0.95
LEARNING = ("see", "stay", "settle", "tell_visit")
"""The methods of `Learner` that are called for a frame or a visit."""
WATCHES: dict[str, dict[str, Any]] = {
    "people": {"prompt": ["pedestrian", "cyclist"]},
    "vehicles": {"prompt": ["red car", "blue car", "truck"], "confidence": "auto"},
    "things": {"prompt": ["parcel", "red backpack"], "confidence": 0.9},
}
"""One of them finds most of what it looks for and tells little of it: that costs the most."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run; milliseconds for each analysed frame."""

    cpu_ms: float
    learning_ms: float
    rss: float
    near_misses: int


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    console = Console(highlight=False)
    console.print(f"{platform.machine()}, {psutil.cpu_count()} cores, {platform.platform()}")
    console.print(_against_truth())
    _compare(console, arguments.rounds)


def _against_truth() -> Table:
    """Each visit of the clip, and what came of it."""
    names = [visit.name for visit in street().visits]
    watches = {name.replace(" ", "-"): {"prompt": name, "confidence": TOO_HIGH} for name in names}
    events: list[Event] = []
    misses: list[NearMiss] = []
    with tempfile.TemporaryDirectory() as folder:
        _watch(_config(folder, 1, watches), Path(folder), events, misses)
    table = Table(title=f"The clip with a confidence of {TOO_HIGH}")
    for heading in ("really there", "from", "to", "told", "near miss", "reason"):
        table.add_column(heading)
    for visit in street().visits:
        begun = [e for e in events if e.type == "new" and e.prompt == visit.name]
        near = [miss for miss in misses if miss.prompt == visit.name]
        best = max(near, key=lambda miss: miss.confidence, default=None)
        table.add_row(
            visit.name,
            f"{visit.start:.1f} s",
            f"{visit.end:.1f} s",
            f"at {begun[0].confidence:.2f}" if begun else "",
            "" if best is None or begun else f"{best.confidence:.3f}",
            "" if best is None or begun else best.reason,
        )
    return table


def _compare(console: Console, rounds: int) -> None:
    costs: dict[bool, list[Cost]] = {True: [], False: []}
    turns = [learning for _ in range(rounds) for learning in (True, False)]
    for learning in progress(turns, console=console, transient=True):
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            costs[learning].append(executor.submit(_cost, learning).result())
    table = Table(title=f"{CAMERAS} cameras with {len(WATCHES)} watches each, {rounds} rounds")
    for heading in ("", "CPU a frame", "of it learning", "most memory", "near misses"):
        table.add_column(heading, justify="left" if not heading else "right")
    for learning, found in costs.items():
        table.add_row(
            "learning" if learning else "not learning",
            f"{_median(found, lambda cost: cost.cpu_ms):.2f} ms",
            f"{_median(found, lambda cost: cost.learning_ms):.3f} ms",
            f"{_median(found, lambda cost: cost.rss) / 1e6:.0f} MB",
            f"{_median(found, lambda cost: cost.near_misses):.0f}",
        )
    console.print(table)
    ours, peer = (_median(costs[each], lambda cost: cost.cpu_ms) for each in (True, False))
    within = _median(costs[True], lambda cost: cost.learning_ms)
    console.print(f"CPU with learning: {ours / peer:.3f} of that without")
    console.print(f"CPU within learning: {within / ours:.2%} of all (goal: 1 %)")


def _median(costs: list[Cost], of: Callable[[Cost], float]) -> float:
    return statistics.median(map(of, costs))


def _cost(learning: bool) -> Cost:
    """In a process of its own."""
    events: list[Event] = []
    misses: list[NearMiss] = []
    spent = _Spent()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        for name in LEARNING:
            timed = spent.timed(name, learning)
            stack.enter_context(mock.patch.object(Learner, name, timed))
        config = _config(folder, CAMERAS, WATCHES)
        began = time.process_time()
        frames = _watch(config, Path(folder), events, misses)
        cpu = time.process_time() - began
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Cost(1000 * cpu / frames, 1000 * spent.seconds / frames, rss, len(misses))


class _Spent:
    """CPU seconds within calls, of the thread that makes them."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, name: str, learning: bool) -> Callable[..., None]:
        method = getattr(Learner, name)

        @wraps(method)
        def call(learner: Learner, *arguments: Any) -> None:
            if not learning:
                return
            began = time.thread_time()
            method(learner, *arguments)
            self.seconds += time.thread_time() - began

        return call


def _watch(config: Config, folder: Path, events: list[Event], misses: list[NearMiss]) -> int:
    """How many frames were analysed."""
    learning = Learning(
        folder / "learnt.sqlite3",
        config,
        on_near_miss=lambda miss, _path: misses.append(miss),
        on_change=lambda: None,
        complain=print,
    )
    learning.start()
    with Pipeline(config, publish=events.append, lessons=learning) as pipeline:
        pipeline.wait()
        frames = pipeline.counts.analysed.total()
    learning.stop(10)
    return frames


def _config(folder: str, cameras: int, watches: dict[str, dict[str, Any]]) -> Config:
    camera = {"url": "bundled:street", "pace": False, "motion": "off"}
    return Config.model_validate(
        {
            "detector": {"model": "toybox", "device": "cpu"},
            "cameras": {f"camera-{number}": camera for number in range(cameras)},
            "watches": watches,
            "near_misses": {"path": f"{folder}/near"},
        }
    )


if __name__ == "__main__":
    main()
