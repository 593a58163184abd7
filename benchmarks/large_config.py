"""What a configuration file of very many cameras costs to read, and to compare with another.

    python -m benchmarks.large_config [--cameras 10000] [--rounds 5]

Each fifth camera has two zones, and of 20 watches each fourth names a seventh of the cameras.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from streamwatch.config import Edit, Switch, config_hash, describe, load, warnings
from streamwatch.daemon.changing import differences

ZONES = """\
    zones:
      door: [[0, 0], [1, 0], [1, 1]]
      yard:
        - [0.1, 0.2]
        - [0.5, 0.2]
        - [0.5, 0.9]
"""
WATCHES = 20


def configuration(cameras: int) -> str:
    return "".join(["detector: {model: toybox}\n", *_cameras(cameras), *_watches(cameras)])


def _cameras(count: int) -> Iterator[str]:
    yield "cameras:\n"
    for number in range(count):
        address = f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"
        yield f"  cam{number:05}:\n    url: rtsp://me:secret@{address}/stream?channel=1\n"
        yield f"    name: Camera {number}\n    fps: 2\n{'' if number % 5 else ZONES}"


def _watches(cameras: int) -> Iterator[str]:
    named = ", ".join(f"cam{number:05}" for number in range(0, cameras, 7))
    kinds = ("", "    zones: [door]\n", f"    cameras: [{named}]\n", "    dwell: 5s\n")
    yield "watches:\n"
    for number in range(WATCHES):
        yield f"  watch{number}:\n    prompt: person\n{kinds[number % len(kinds)]}"


def steps(path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is measured of the file at `path`, by name."""
    disabled = [Edit("cameras", "cam00000", Switch(False))]
    config, edited = load(path), load(path, None, disabled)
    yield "load", lambda: load(path)
    yield "load with an edit", lambda: load(path, None, disabled)
    yield "differences", lambda: differences(config, edited)
    yield "describe", lambda: describe(config)
    yield "warnings", lambda: warnings(config, path)
    yield "config_hash", lambda: config_hash(config)


def seconds(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(configuration(options.cameras))
        path.chmod(0o600)
        size = path.stat().st_size / 1e6
        table = Table(title=f"{options.cameras:,} cameras, {size:.1f} MB; {options.rounds} rounds")
        for heading in ("", "median", "most"):
            table.add_column(heading, justify="right")
        for name, step in steps(path):
            took = [seconds(step) for _ in range(options.rounds)]
            table.add_row(name, f"{statistics.median(took):.2f} s", f"{max(took):.2f} s")
    console = Console()
    console.print(table)
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
