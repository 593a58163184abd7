"""What clips cost: CPU time and memory of a daemon with them, and of the same without.

    python -m benchmarks.clips [--cameras 8] [--seconds 60] [--rounds 3]

The street clip over RTSP as so many cameras at 2 frames a second, the usual settings of clips, and
eight watches that each make one of every visit. Daemons with and without clips run in turns, in
processes of their own, each for as long after its last camera has come.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import track as progress
from rich.table import Table

from benchmarks.daemon import machine
from benchmarks.visits import PRESENT
from tests.parts import STREET_CLIP
from tests.parts.daemon import PATIENCE_SECONDS, Daemon
from tests.parts.rtsp import RtspServer

FPS = 2
GOAL = 0.02
"""Of a core, a camera."""


@dataclass(frozen=True, slots=True)
class Cost:
    """`cores` are those that were busy, `bytes` the memory that is the daemon's own."""

    cores: float
    bytes: int
    clips: int
    clip_bytes: int


def settings(url: str, cameras: int, *, clips: bool) -> dict[str, Any]:
    return {
        "mqtt": {"embedded": True, "port": 0},
        "detector": {"model": "toybox"},
        "cameras": {f"camera{n}": {"url": url, "fps": FPS} for n in range(cameras)},
        "watches": {
            word.replace(" ", "-"): {"prompt": word, "snapshot": False, "clip": clips}
            for word in PRESENT
        },
        "near_misses": {"a_day": 0},
    }


def run(folder: Path, cameras: int, seconds: float, *, clips: bool) -> Cost:
    with (
        RtspServer(clip=STREET_CLIP) as server,
        Daemon(folder, settings(server.url, cameras, clips=clips)) as daemon,
    ):
        for number in range(cameras):
            daemon.wait_for_log(f"camera camera{number}: first frame", PATIENCE_SECONDS)
        process = psutil.Process(daemon.process.pid)
        time.sleep(5)
        before, began = sum(process.cpu_times()[:2]), time.monotonic()
        time.sleep(seconds)
        spent, took = sum(process.cpu_times()[:2]) - before, time.monotonic() - began
        memory = process.memory_full_info().uss
        daemon.terminate()
    kept = [*(folder / "xdg-state" / "streamwatch" / "clips").glob("*.mp4")] if clips else []
    return Cost(spent / took, memory, len(kept), sum(path.stat().st_size for path in kept))


def main() -> int:
    parser = argparse.ArgumentParser(description="What clips cost.")
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    console = Console()
    costs: dict[bool, list[Cost]] = {False: [], True: []}
    turns = [
        (number, clips)
        for number in range(wanted.rounds)
        for clips in ((False, True) if number % 2 == 0 else (True, False))
    ]
    with tempfile.TemporaryDirectory() as folder:
        for number, clips in progress(turns, "passes", console=console):
            place = Path(folder) / f"{number}-{clips}"
            costs[clips].append(run(place, wanted.cameras, wanted.seconds, clips=clips))
    show(console, wanted.cameras, costs[False], costs[True])
    return int(a_camera(costs[False], costs[True], wanted.cameras) > GOAL)


def a_camera(without: list[Cost], with_clips: list[Cost], cameras: int) -> float:
    """The cores that its clips keep busy."""
    return (_cores(with_clips) - _cores(without)) / cameras


def _cores(costs: list[Cost]) -> float:
    return statistics.median(each.cores for each in costs)


def show(console: Console, cameras: int, without: list[Cost], with_clips: list[Cost]) -> None:
    both = (without, with_clips)
    memory = [statistics.median(each.bytes for each in costs) for costs in both]
    title = f"{cameras} cameras, median of {len(without)} passes"
    table = Table("", "without clips", "with clips", title=title)
    table.add_row("CPU, of one core", *(f"{_cores(costs):.1%}" for costs in both))
    passes = (" ".join(f"{each.cores:.1%}" for each in costs) for costs in both)
    table.add_row("  of each pass", *passes)
    table.add_row("memory of its own", *(f"{each / 1e6:.0f} MB" for each in memory))
    clips = sum(each.clips for each in with_clips)
    size = sum(each.clip_bytes for each in with_clips)
    table.add_row("clips", "", f"{clips}, {size / 1e6:.0f} MB")
    console.print(table)
    console.print(
        f"Clips take {a_camera(without, with_clips, cameras):.2%} of a core a camera (most"
        f" allowed: {GOAL:.0%}), and {(memory[1] - memory[0]) / 1e6:.0f} MB in all."
    )
    console.print(machine())


if __name__ == "__main__":
    raise SystemExit(main())
