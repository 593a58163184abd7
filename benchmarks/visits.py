"""The bundled clip at several frame rates: visits found, missed, split, doubled, and false alerts.

    python -m benchmarks.visits

Each rate runs the whole daemon on the clip with the words of its truth and some absent ones, alerts
read back from a broker inside. `pace: false`, so the figures do not depend on the machine's speed.
"""

from __future__ import annotations

import platform
import tempfile
import time
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from streamwatch.cli.demo import AlertListener
from streamwatch.config import load
from streamwatch.daemon.daemon import Daemon
from tests.truth import Score, score, street

RATES = (1, 2, 5, 15)
PRESENT = (
    "red car", "pedestrian", "blue car", "truck", "parcel", "dog", "red backpack", "cyclist",
)  # fmt: skip
ABSENT = ("elephant", "giraffe", "sailing boat", "airplane")


def run(fps: int, folder: Path) -> Score:
    """Every alert of one pass over the clip, held against its truth."""
    path = folder / f"config-{fps}.yaml"
    config = {
        "mqtt": {"embedded": True, "port": 0},
        "detector": {"model": "toybox"},
        "cameras": {"street": {"url": "bundled:street", "fps": fps, "pace": False}},
        "watches": {
            prompt.replace(" ", "-"): {"prompt": prompt, "snapshot": False}
            for prompt in PRESENT + ABSENT
        },
        "snapshots": {"path": str(folder)},
    }
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    settings = load(path)
    with Daemon(settings) as daemon:
        listener = AlertListener(daemon.mqtt)
        try:
            daemon.run()
            listener.wait_finished()
        finally:
            listener.close()
    return score(street(), listener.events)


def main() -> None:
    table = Table(title="street.mp4, 8 visits, 4 prompts for absent things")
    for heading in ("fps", "found", "missed", "split", "doubled", "false", "seconds"):
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        for fps in RATES:
            started = time.monotonic()
            result = run(fps, Path(folder))
            counts = [
                ", ".join(names) if names and title != "found" else str(len(names))
                for title, names in (
                    ("found", result.found),
                    ("missed", result.missed),
                    ("split", result.split),
                    ("doubled", result.doubled),
                    ("false", result.false),
                )
            ]
            table.add_row(str(fps), *counts, f"{time.monotonic() - started:.1f}")
    console = Console()
    console.print(table)
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
