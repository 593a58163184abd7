"""The daemon for half an hour or more, with a reload every minute: does anything grow?

    python -m tests.chaos.soak [--minutes 30] [--plot soak.png]

Two cameras over RTSP, snapshots on, a subscriber, and every minute a changed prompt in the file.
Memory (resident, in MB), threads and open files of the daemon are measured every 5 s and plotted.
The exit code is 1 if a median of the last third exceeds that of the second third: by 5% for memory,
or by one thread or file.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from rich.console import Console
from rich.table import Table

from tests.parts import STREET_CLIP
from tests.parts.daemon import Daemon
from tests.parts.mosquitto import Mosquitto, Subscriber
from tests.parts.rtsp import RtspServer

SAMPLE_SECONDS = 5.0
RELOAD_SECONDS = 60.0
GROWTH = 1.05
WORDS = ("bicycle", "white cat", "bench", "umbrella", "suitcase", "kite")


@dataclass(frozen=True)
class Sample:
    seconds: float
    megabytes: float
    threads: int
    files: int


def configuration(broker: Mosquitto, servers: list[RtspServer], word: str) -> dict[str, Any]:
    prompts = ("red car", "pedestrian", "truck", "dog", "parcel", word)
    return {
        "mqtt": {"host": broker.host, "port": broker.port},
        "detector": {"model": "toybox"},
        "cameras": {f"camera-{n}": {"url": s.url, "fps": 2} for n, s in enumerate(servers)},
        "watches": {f"watch-{n}": {"prompt": prompt} for n, prompt in enumerate(prompts)},
    }


def sampled(process: psutil.Process, began: float) -> Sample:
    with process.oneshot():
        return Sample(
            time.monotonic() - began,
            process.memory_info().rss / 1e6,
            process.num_threads(),
            process.num_fds(),
        )


def soak(minutes: float) -> tuple[list[Sample], Counter[str], str, int]:
    """The samples, the number of alerts by type, the log and the exit code."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Mosquitto() as broker,
        RtspServer(clip=STREET_CLIP) as one,
        RtspServer(clip=STREET_CLIP) as other,
    ):
        servers = [one, other]
        settings = configuration(broker, servers, WORDS[0])
        with (
            Subscriber(broker.port, "streamwatch/events/#") as subscriber,
            Daemon(Path(folder), settings) as daemon,
        ):
            process = psutil.Process(daemon.process.pid)
            subscriber.wait_for(len, 120)
            began = time.monotonic()
            samples: list[Sample] = []
            reloads = 0
            while (seconds := time.monotonic() - began) < minutes * 60 and process.is_running():
                samples.append(sampled(process, began))
                if seconds > (reloads + 1) * RELOAD_SECONDS:
                    reloads += 1
                    tree = configuration(broker, servers, WORDS[reloads % len(WORDS)])
                    daemon.config.write_text(yaml.safe_dump(tree, sort_keys=False))
                time.sleep(SAMPLE_SECONDS)
            code = daemon.terminate()
            alerts = Counter(message.json["type"] for message in subscriber.received)
            alerts["reload"] = daemon.log.count("live after")
        return samples, alerts, daemon.log, code


def grown(samples: list[Sample]) -> list[str]:
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[2 * third :]

    def medians(what: str) -> tuple[float, float]:
        before, after = (
            statistics.median(getattr(sample, what) for sample in part) for part in (middle, last)
        )
        return before, after

    found = []
    for what, allowed in (("megabytes", GROWTH), ("threads", 1.0), ("files", 1.0)):
        before, after = medians(what)
        if after > before * allowed:
            found.append(f"{what}: {before:.0f}, then {after:.0f}")
    return found


def draw(samples: list[Sample], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, sharex=True, figsize=(8, 6))
    minutes = [sample.seconds / 60 for sample in samples]
    for axis, what, label in zip(
        axes,
        ("megabytes", "threads", "files"),
        ("resident MB", "threads", "open files"),
        strict=True,
    ):
        axis.plot(minutes, [getattr(sample, what) for sample in samples])
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
    axes[-1].set_xlabel("minutes, with a reload in each")
    figure.tight_layout()
    figure.savefig(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--plot", type=Path, default=Path("soak.png"))
    arguments = parser.parse_args()
    samples, alerts, log, code = soak(arguments.minutes)
    draw(samples, arguments.plot)
    console = Console()
    table = Table(title=f"{samples[-1].seconds / 60:.0f} minutes, {alerts['reload']} reloads")
    for heading in ("", "after a minute", "at last", "most"):
        table.add_column(heading, justify="right")
    settled = next(sample for sample in samples if sample.seconds > RELOAD_SECONDS)
    for what, label in (
        ("megabytes", "resident MB"), ("threads", "threads"), ("files", "open files"),
    ):  # fmt: skip
        values = [getattr(sample, what) for sample in samples]
        table.add_row(
            label, f"{getattr(settled, what):.0f}", f"{values[-1]:.0f}", f"{max(values):.0f}"
        )
    console.print(table)
    growth = grown(samples)
    tracebacks = log.count("Traceback")
    unended = alerts["new"] - alerts["end"]
    console.print(
        f"{alerts['new']} visits, {unended} left open; tracebacks: {tracebacks};"
        f" exit code {code}; grown: {', '.join(growth) or 'nothing'}"
    )
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")
    return int(bool(growth or tracebacks or unended or code))


if __name__ == "__main__":
    sys.exit(main())
