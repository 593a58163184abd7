"""What new and known prompts cost a process that also holds a detector: time and memory.

    python -m benchmarks.embeddings [--runs 3]

Each run has a cache of its own and 50 prompts that are new to it, given one at a time and in one
go. Memory is resident, in MB, looked at every 20 ms: of this process before, at most and after, and
of the encoder's process at most and at last, once nobody has asked for a while. The last rows are
the same encoder inside a process like this one.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from rich.console import Console
from rich.table import Table

from streamwatch.config import DetectorSettings
from streamwatch.detector.loading import load_detector
from streamwatch.models.provision import find_encoder
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.prompts.encoders.child import KEEP_SECONDS, load_text

SETTINGS = DetectorSettings(model="toybox", device="cpu")
COLOURS = ("red", "blue", "green", "white", "black", "grey", "brown", "silver", "orange", "pink")
THINGS = ("car", "truck", "bicycle", "backpack", "door")


def new_prompts(occasion: str) -> list[str]:
    return [f"{colour} {thing} {occasion}" for thing in THINGS for colour in COLOURS]


class Memory:
    """The memory of this process and of its child, for as long as its `with` block lasts."""

    def __enter__(self) -> Self:
        self._process = psutil.Process()
        self.before = self.most = self.own()
        self.most_of_child = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        gc.collect()
        self.after = self.own()

    def own(self) -> float:
        return float(self._process.memory_info().rss) / 1e6

    def of_child(self) -> float:
        found = 0.0
        for child in self._process.children():
            try:
                if "streamwatch.prompts.encoders.child" in child.cmdline():
                    found += child.memory_info().rss / 1e6
            except psutil.NoSuchProcess:
                continue
        return found

    def _look(self) -> None:
        while not self._stop.wait(0.02):
            self.most = max(self.most, self.own())
            self.most_of_child = max(self.most_of_child, self.of_child())


@dataclass(frozen=True)
class Row:
    first_ms: float
    later_ms: float
    before: float
    most: float
    after: float
    most_of_child: float
    child_at_last: float


def measured(calls: Sequence[Callable[[], object]], wait: bool) -> Row:
    """`wait` until the encoder's process should be gone."""
    times = []
    with Memory() as memory:
        for call in calls:
            started = time.perf_counter()
            call()
            times.append((time.perf_counter() - started) * 1000)
    if wait:
        time.sleep(KEEP_SECONDS + 5)
    later = statistics.median(times[1:]) if times[1:] else float("nan")
    return Row(
        times[0],
        later,
        memory.before,
        memory.most,
        memory.after,
        memory.most_of_child,
        memory.of_child(),
    )


def one_run(folder: Path, number: int) -> dict[str, Row]:
    singly, together = new_prompts(f"a{number}"), new_prompts(f"b{number}")
    rows = {}
    embeddings = Embeddings(SETTINGS, folder)
    rows["50 new, one at a time"] = measured(one_by_one(embeddings.vectors, singly), wait=True)
    rows["50 new, in one go"] = measured([partial(embeddings.vectors, together)], wait=True)
    known = Embeddings(SETTINGS, folder)
    rows["50 known, one at a time"] = measured(one_by_one(known.vectors, singly), wait=False)
    rows["50 known, in one go"] = measured([partial(known.vectors, together)], wait=False)
    calls = one_by_one(embeddings.vectors, new_prompts("c"))
    with every_core_busy():
        rows["50 new, every core busy"] = measured(calls, wait=False)
    return rows


@contextmanager
def every_core_busy() -> Iterator[None]:
    with ExitStack() as busy:
        for _ in range(os.cpu_count() or 1):
            process = busy.enter_context(
                subprocess.Popen([sys.executable, "-c", "while True: pass"])
            )
            busy.callback(process.kill)
        yield


def one_by_one(
    encode: Callable[[list[str]], object], prompts: Sequence[str]
) -> list[Callable[[], object]]:
    return [partial(encode, [prompt]) for prompt in prompts]


def inside() -> dict[str, Row]:
    """The same prompts with the encoder in this process, which is spoilt by it."""
    paths = find_encoder(SETTINGS)

    def encode(prompts: list[str]) -> object:
        return load_text("minilm", paths).encode(prompts)

    return {
        "in process, one at a time": measured(one_by_one(encode, new_prompts("d")), wait=False),
        "in process, in one go": measured([partial(encode, new_prompts("e"))], wait=False),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    detector = load_detector(SETTINGS)
    found: dict[str, list[Row]] = {}
    for number in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            for title, row in one_run(Path(folder), number).items():
                found.setdefault(title, []).append(row)
    for title, row in inside().items():
        found[title] = [row]
    table = Table(title=f"toybox and MiniLM, medians of {runs} runs; memory in MB")
    for heading in ("", "first ms", "later ms", "before", "at most", "after", "encoder", "at last"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for title, rows in found.items():
        medians = [statistics.median(values) for values in zip(*map(astuple, rows), strict=True)]
        cells = [f"{ms:.1f}" for ms in medians[:2]] + [f"{mb:.0f}" for mb in medians[2:]]
        table.add_row(title, *("" if cell == "nan" else cell for cell in cells))
    console = Console(width=max(100, Console().width))
    console.print(table)
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores, detector on {detector.running.device}, "
        f"Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main()
