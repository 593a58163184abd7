"""What it costs to plan which worker watches which camera, and how many cameras move.

    python -m benchmarks.fleet_planning [--cameras 10000] [--workers 500]

Cameras of 1 to 10 frames a second on workers that are equal, twice as strong as others at most, or
a hundred times. Planned are a start from nothing, the death of a worker, its return, every capacity
measured anew (up to 3 % off), and all cameras on one worker, as if a fleet had grown from it. Fails
where a death or a return moves any other camera, or takes more than `MOST_SECONDS`.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from streamwatch.fleet.planning import moves, plan

RATES = (1.0, 2.0, 5.0, 5.0, 10.0)
LEAST_CAPACITY = 50.0
SPREADS = (1, 2, 100)
REPEATS = 9
MOST_SECONDS = 0.5
"""Several times what it takes: a death is noticed after seconds."""


@dataclass(frozen=True, slots=True)
class Row:
    """How long a plan took, how many cameras it moved, and, where that is known, how many of those
    were neither the dead worker's nor went to the one that joined."""

    name: str
    seconds: float
    moves: int
    needless: int | None = None


def timed(
    loads: Mapping[str, float], workers: Mapping[str, float], before: Mapping[str, str]
) -> tuple[Mapping[str, str], float]:
    """Where a plan has the cameras, and the median of the seconds that it took."""
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        planned = plan(loads, workers, before)
        seconds.append(time.perf_counter() - started)
    return planned.at, statistics.median(seconds)


def measure(cameras: int, count: int, spread: float, chance: random.Random) -> Iterator[Row]:
    """What happens to a fleet whose strongest worker has `spread` times the least capacity."""
    loads = {f"camera-{each:05}": chance.choice(RATES) for each in range(cameras)}
    workers = {
        f"worker-{each:03}": LEAST_CAPACITY * chance.uniform(1, spread) for each in range(count)
    }
    start, seconds = timed(loads, workers, {})
    yield Row("a start", seconds, cameras)

    dead = chance.choice(sorted(workers))
    living = {worker: workers[worker] for worker in workers if worker != dead}
    death, seconds = timed(loads, living, start)
    moved = moves(start, death)
    yield Row("a death", seconds, len(moved), sum(start[camera] != dead for camera in moved))

    back, seconds = timed(loads, workers, death)
    moved = moves(death, back)
    yield Row("its return", seconds, len(moved), sum(back[camera] != dead for camera in moved))

    anew = {worker: workers[worker] * chance.uniform(0.97, 1.03) for worker in workers}
    after, seconds = timed(loads, anew, start)
    yield Row("capacities anew", seconds, len(moves(start, after)))

    grown, seconds = timed(loads, workers, dict.fromkeys(loads, dead))
    yield Row("all on one", seconds, len(moves(dict.fromkeys(loads, dead), grown)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cameras", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=500)
    arguments = parser.parse_args()
    table = Table(title=f"{arguments.cameras} cameras, {arguments.workers} workers")
    for heading in ("strongest", "", "ms", "moves", "needless"):
        table.add_column(heading, justify="right")
    chance, failed = random.Random(2026), False
    for spread in SPREADS:
        for row in measure(arguments.cameras, arguments.workers, spread, chance):
            milliseconds, needless = f"{row.seconds * 1000:.0f}", row.needless
            table.add_row(
                f"{spread}x",
                row.name,
                milliseconds,
                str(row.moves),
                "" if needless is None else str(needless),
            )
            failed |= needless is not None and (needless > 0 or row.seconds > MOST_SECONDS)
    console = Console()
    console.print(table)
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
