"""What it costs to edit the configuration while the daemon runs.

    python -m benchmarks.reload [--saves 100]

The street clip comes over RTSP from a real server and is analysed at 10 frames a second, once left
alone and once with the file saved again and again, a third of the times with a mistake in it. Shown
are the frames analysed, the largest gap between two, the time from noticing a save to searching for
the new words (with prompts that are new and such that were seen before), and what became of the
visits.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any
from unittest import mock

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.visits import PRESENT
from streamwatch.cli.demo import AlertListener
from streamwatch.daemon.daemon import Daemon
from streamwatch.daemon.reloading import start
from streamwatch.detector.loading import load_detector
from streamwatch.detector.protocol import Detector, Running, View
from streamwatch.pipeline import pipeline as pipeline_module
from streamwatch.records import Detection
from tests.parts import STREET_CLIP
from tests.parts.rtsp import RtspServer
from tests.truth import Score, score, street

FPS = 10
CLIP_SECONDS = 40.0
WORDS = ("bicycle", "white cat", "fire hydrant", "bench", "umbrella", "suitcase", "kite", "horse")
"""What the edited watch looks for in turn; each is new once, and known from then on."""
MISTAKES = ("\n  oops", "\nwatchs: {}\n", "\ndetector: {model: toybx}\n", "\n\tx: 1\n", "\n]\n")
BINS_MS = (10, 20, 30, 50, 75, 100, 150, 200, 500, 1000)


@dataclass
class Timed:
    """The real detector, and when each batch was done."""

    inner: Detector
    done_at: list[float] = field(default_factory=list)

    @property
    def running(self) -> Running:
        return self.inner.running

    def detect(self, views: Sequence[View]) -> list[tuple[Detection, ...]]:
        found = self.inner.detect(views)
        self.done_at.append(time.monotonic())
        return found


class Live(logging.Handler):
    """Collects how long each reload took, from what the daemon says of it."""

    def __init__(self) -> None:
        super().__init__()
        self.milliseconds: list[float] = []

    def emit(self, record: logging.LogRecord) -> None:
        if match := re.search(r"live after (\d+) ms", record.getMessage()):
            self.milliseconds.append(float(match[1]))


@dataclass(frozen=True)
class Pass:
    """One pass over the clip."""

    analysed: int
    seconds: float
    largest_gap: float
    visits: Score
    unended: int
    ended_twice: int
    live_ms: Mapping[str, Sequence[float]]
    refused: int


def one_pass(folder: Path, saves: int) -> Pass:
    path = folder / "config.yaml"
    live = Live()
    timed: list[Timed] = []

    def load(settings: Any, on_change: Any) -> Timed:
        timed.append(Timed(load_detector(settings, on_change)))
        return timed[-1]

    logging.getLogger("streamwatch").addHandler(live)
    with RtspServer(clip=STREET_CLIP, loop=False) as server:
        path.write_text(configuration(server.url, folder, WORDS[0]))
        with (
            mock.patch.object(pipeline_module, "load_detector", load),
            Daemon(*start(path, last_good=False)) as daemon,
        ):
            listener = AlertListener(daemon.mqtt)
            thread = Thread(target=daemon.run)
            thread.start()
            while server.frame0_at is None:
                time.sleep(0.01)
            began = time.monotonic() + 1.0
            kinds = edit(path, server.url, folder, saves, began, CLIP_SECONDS - 4.0)
            ended = began + CLIP_SECONDS - 3.0
            time.sleep(max(0.0, ended - time.monotonic()))
            daemon.request_stop()
            thread.join()
            listener.wait_finished()
            listener.close()
        frame0 = server.frame0_at.timestamp()
    logging.getLogger("streamwatch").removeHandler(live)
    times = [t for t in timed[0].done_at if began <= t <= ended]
    steps = Counter((event["id"], event["type"]) for event in listener.events)
    unaffected = [event for event in listener.events if event["watch"] != "edited"]
    good = [kind for kind in kinds if kind != "mistake"]
    return Pass(
        len(times),
        ended - began,
        max(later - earlier for earlier, later in pairwise(times)),
        score(street(), unaffected, frame0),
        sum(steps[number, "end"] == 0 for number, kind in steps if kind == "new"),
        sum(count > 1 for (_, kind), count in steps.items() if kind in ("new", "end")),
        {
            word: [ms for kind, ms in zip(good, live.milliseconds, strict=False) if kind == word]
            for word in ("new", "known")
        },
        len(kinds) - len(live.milliseconds),
    )


def edit(
    path: Path, url: str, folder: Path, saves: int, began: float, seconds: float
) -> Sequence[str]:
    """Save `saves` times within `seconds`; returns what each save was."""
    kinds = []
    seen = {WORDS[0]}
    good = 0
    for number in range(saves):
        time.sleep(max(0.0, began + seconds * number / saves - time.monotonic()))
        if number % 3 == 2:
            text = configuration(url, folder, WORDS[good % len(WORDS)])
            text += MISTAKES[number % len(MISTAKES)]
            kinds.append("mistake")
        else:
            good += 1
            word = WORDS[good % len(WORDS)]
            text = configuration(url, folder, word)
            kinds.append("known" if word in seen else "new")
            seen.add(word)
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)
    return kinds


def configuration(url: str, folder: Path, word: str) -> str:
    words = {prompt.replace(" ", "-"): {"prompt": prompt} for prompt in PRESENT}
    watches = {**words, "edited": {"prompt": word}}
    tree = {
        "mqtt": {"embedded": True, "port": 0},
        "detector": {"model": "toybox"},
        "cameras": {"street": {"url": url, "fps": FPS, "motion": "off"}},
        "watches": {name: {**watch, "snapshot": False} for name, watch in watches.items()},
        "snapshots": {"path": str(folder / "snapshots")},
    }
    return yaml.safe_dump(tree, sort_keys=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--saves", type=int, default=100)
    saves = parser.parse_args().saves
    logging.getLogger("streamwatch").setLevel(logging.INFO)
    logging.getLogger("streamwatch").propagate = False
    passes = {}
    for title, count in (("left alone", 0), (f"{saves} saves", saves)):
        # A cache of its own, or what is new here was seen in an earlier run.
        with (
            tempfile.TemporaryDirectory() as folder,
            mock.patch.dict(os.environ, CACHE_DIRECTORY=folder),
        ):
            passes[title] = one_pass(Path(folder), count)
    console = Console()
    table = Table(title=f"street.mp4 over RTSP, {FPS} fps")
    for heading in ("", "analysed/s", "largest gap", "found", "missed", "split", "doubled",
                    "false", "left open", "told twice", "refused"):  # fmt: skip
        table.add_column(heading, justify="right")
    for title, result in passes.items():
        visits = result.visits
        table.add_row(
            title,
            f"{result.analysed / result.seconds:.2f}",
            f"{result.largest_gap * 1000:.0f} ms",
            *(
                str(len(names))
                for names in (
                    visits.found, visits.missed, visits.split, visits.doubled, visits.false,
                )
            ),
            str(result.unended),
            str(result.ended_twice),
            str(result.refused),
        )  # fmt: skip
    console.print(table)
    for word, measured in passes[f"{saves} saves"].live_ms.items():
        console.print(histogram(word, measured))
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")


def histogram(word: str, milliseconds: Sequence[float]) -> Table:
    table = Table(title=f"from noticing to live, {word} prompts: {summary(milliseconds)}")
    table.add_column("up to", justify="right")
    table.add_column("saves", justify="right")
    table.add_column("")
    bins = Counter(next((b for b in BINS_MS if ms <= b), 0) for ms in milliseconds)
    for upper in (*BINS_MS, 0):
        if bins[upper]:
            table.add_row(f"{upper} ms" if upper else "more", str(bins[upper]), "█" * bins[upper])
    return table


def summary(milliseconds: Sequence[float]) -> str:
    if not milliseconds:
        return "none"
    return (
        f"median {statistics.median(milliseconds):.0f} ms, most {max(milliseconds):.0f} ms, "
        f"of {len(milliseconds)}"
    )


if __name__ == "__main__":
    main()
