"""What it costs to plan which worker watches which camera, and how many cameras move.

    python -m benchmarks.fleet_planning [--cameras 10000] [--workers 500]

Cameras of 1 to 10 frames a second on workers that are equal, twice as strong as others at most, or
a hundred times. Planned are a start from nothing, the death of a worker, its return, every capacity
measured anew (up to 3 % off), and all cameras on one worker, as if a fleet had grown from it. Fails
where a death or a return moves any camera that it need not, or takes more than `MOST_SECONDS`.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import sys
import time
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from streamwatch.fleet.planning import Plan, moves, plan

RATES = (1.0, 2.0, 5.0, 5.0, 10.0)
LEAST_CAPACITY = 50.0
SPREADS = (1, 2, 100)
REPEATS = 9
MOST_SECONDS = 0.5
"""Several times what it takes: a death is noticed after seconds."""


def timed(
    loads: Mapping[str, float], workers: Mapping[str, float], before: Mapping[str, str]
) -> tuple[Plan, float]:
    """A plan, and the median of the seconds that it took."""
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        planned = plan(loads, workers, before)
        seconds.append(time.perf_counter() - started)
    return planned, statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cameras", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=500)
    arguments = parser.parse_args()
    table = Table(title=f"{arguments.cameras} cameras, {arguments.workers} workers")
    for heading in ("strongest", "", "ms", "moves", "needed"):
        table.add_column(heading, justify="right")
    chance = random.Random(2026)
    failed = False
    for spread in SPREADS:
        loads = {f"camera-{each:05}": chance.choice(RATES) for each in range(arguments.cameras)}
        workers = {
            f"worker-{each:03}": LEAST_CAPACITY * chance.uniform(1, spread)
            for each in range(arguments.workers)
        }
        start, start_seconds = timed(loads, workers, {})
        dead = chance.choice(sorted(workers))
        living = {worker: workers[worker] for worker in workers if worker != dead}
        death, death_seconds = timed(loads, living, start.at)
        died = moves(start.at, death.at)
        its_own = [camera for camera in died if start.at[camera] == dead]
        back, back_seconds = timed(loads, workers, death.at)
        came = moves(death.at, back.at)
        for_it = [camera for camera in came if back.at[camera] == dead]
        noisy = {worker: workers[worker] * chance.uniform(0.97, 1.03) for worker in workers}
        noise, noise_seconds = timed(loads, noisy, start.at)
        grown_from = dict.fromkeys(loads, dead)
        grown, grown_seconds = timed(loads, workers, grown_from)
        for name, seconds, moved, needed in (
            ("a start", start_seconds, arguments.cameras, arguments.cameras),
            ("a death", death_seconds, len(died), len(its_own)),
            ("its return", back_seconds, len(came), len(for_it)),
            ("measured anew", noise_seconds, len(moves(start.at, noise.at)), 0),
            ("all on one", grown_seconds, len(moves(grown_from, grown.at)), None),
        ):
            needed_text = "" if needed is None else str(needed)
            table.add_row(f"{spread}x", name, f"{seconds * 1000:.0f}", str(moved), needed_text)
        failed |= died != its_own or came != for_it
        failed |= max(death_seconds, back_seconds) > MOST_SECONDS
    console = Console()
    console.print(table)
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
