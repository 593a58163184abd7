"""What the motion gate saves: CPU time beyond decoding, gated and not.

    python -m benchmarks.motion [--rounds N]

Drawn scenes as H.264 files, read as fast as they are taken; the daemon's pipeline with `toybox`,
two watches and 5 frames a second, in a process of its own each time, which takes turns with one
that only decodes. Counted is the CPU time of all threads over a part of the recording in which
nothing comes, from its 75th second on. `steady` scenes must cost a tenth at most; what troubles a
camera is told as it comes.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal
from unittest import mock

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track as progress
from rich.table import Table

from benchmarks.gate_scenes import TREES
from streamwatch.config import Config
from streamwatch.config.sections.camera import CameraSettings
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.source import Clock, Decoded, source_for
from streamwatch.source.file import FileSource
from tests.truth.scenes import NOISE, Beam, Scene

BEGIN_SECONDS = 75.0
"""The gate is awake for the first minute."""
FPS = 5
GOAL = 10.0
ASLEEP_GOAL = 0.05
"""CPU seconds a second, beyond decoding, of a camera asleep."""
NOISES = 16
"""So many pictures of noise are drawn, and shifted for each frame."""

Mode = Literal["decode", "auto", "off"]


@dataclass(frozen=True, slots=True)
class Subject:
    name: str
    scene: Scene
    steady: bool = False
    fps: int = 15
    scale: int = 1
    """The file's size, as a multiple of the scene's 640x360."""

    @property
    def counted_seconds(self) -> float:
        return self.scene.seconds - BEGIN_SECONDS - 1


def beams(seconds: float) -> tuple[Beam, ...]:
    return tuple(
        Beam(((start, -100, 250), (start + 5, 740, 250)), 60, 90)
        for start in range(10, int(seconds), 20)
    )


SWINGS = tuple((4.0 * number, 1 + 0.08 * (-1) ** number) for number in range(50))
SUBJECTS = (
    Subject("steady noise", Scene((), 196), steady=True),
    Subject("light swings by 8 %", Scene((), 196, dimming=SWINGS), steady=True),
    Subject("light steps by 14 %", Scene((), 196, dimming=((100, 1), (100.1, 1.14))), steady=True),
    Subject("1080p25, steady noise", Scene((), 136), steady=True, fps=25, scale=3),
    Subject("rain", Scene((), 196, rain=((0, 60),))),
    Subject("trees sway", Scene((), 196, trees=TREES, sway=3)),
    Subject("the camera shakes", Scene((), 196, shake=1.5)),
    Subject("headlights every 20 s", Scene((), 196, light=0.35, beams=beams(196))),
)


def written(subject: Subject, path: Path) -> Path:
    random = np.random.default_rng(4)
    width, height = (side * subject.scale for side in subject.scene.size)
    noises = [random.normal(0, NOISE, (height, width, 3)).astype(np.int8) for _ in range(NOISES)]
    with av.open(str(path), "w") as container:
        options = {"crf": "23", "preset": "veryfast"}
        stream = container.add_stream("libx264", rate=Fraction(subject.fps), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = 2 * subject.fps
        clean: NDArray[np.float32] | None = None
        for index in range(round(subject.scene.seconds * subject.fps)):
            if clean is None or changes(subject.scene):
                clean = subject.scene.clean(index / subject.fps)
                if subject.scale > 1:
                    clean = np.asarray(cv2.resize(clean, (width, height)), np.float32)
            noise = np.roll(noises[index % NOISES], int(random.integers(height)), axis=0)
            image = cv2.add(clean, noise, dtype=cv2.CV_8U)
            frame = av.VideoFrame.from_ndarray(np.asarray(image, np.uint8), "bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def changes(scene: Scene) -> bool:
    return bool(
        scene.things or scene.dimming or scene.rain or scene.trees or scene.shake or scene.beams
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of the counted part, and the share of its due frames that were analysed."""

    cpu_seconds: float
    analysed: float


class Marks:
    """Notes what was spent when the recording reaches the counted part, and its end."""

    def __init__(self, seconds: float) -> None:
        self._ends = [BEGIN_SECONDS, BEGIN_SECONDS + seconds]
        self.cpu: list[float] = []
        self.counts: list[tuple[int, int]] = []
        self.pipeline: Pipeline | None = None

    def around(self, frames: Iterable[Decoded]) -> Generator[Decoded, None, None]:
        for frame in frames:
            if self._ends and frame.seconds >= self._ends[0]:
                self._ends.pop(0)
                self.cpu.append(time.process_time())
                if self.pipeline is not None:
                    counts = self.pipeline.camera_counts(0.0)["yard"]
                    self.counts.append((counts.analysed, counts.gated))
            yield frame


def spent(path: Path, subject: Subject, mode: Mode) -> Cost:
    marks = Marks(subject.counted_seconds)
    camera = {"url": str(path), "fps": FPS, "pace": False}
    if mode == "decode":
        source = source_for(CameraSettings.model_validate(camera), Clock())
        with closing(source.frames(threading.Event())) as frames:
            for _ in marks.around(frames):
                pass
        return Cost(marks.cpu[1] - marks.cpu[0], 0.0)
    whole = FileSource.frames
    with mock.patch.object(
        FileSource, "frames", lambda source, stop: marks.around(whole(source, stop))
    ):
        config = Config.model_validate(
            {
                "detector": {"model": "toybox", "device": "cpu"},
                "cameras": {"yard": {**camera, "motion": mode}},
                "watches": {
                    "people": {"prompt": ["pedestrian"]},
                    "luggage": {"prompt": ["suitcase"]},
                },
            }
        )
        with Pipeline(config, publish=lambda _: None) as pipeline:
            marks.pipeline = pipeline
            pipeline.wait()
    (analysed, gated), (all_analysed, all_gated) = marks.counts
    looked = all_analysed - analysed
    return Cost(marks.cpu[1] - marks.cpu[0], looked / (looked + all_gated - gated))


def alone(path: Path, subject: Subject, mode: Mode) -> Cost:
    """In a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as processes:
        return processes.submit(spent, path, subject, mode).result()


def measured(subject: Subject, path: Path, rounds: int) -> dict[Mode, Cost]:
    """Medians."""
    modes: tuple[Mode, ...] = ("decode", "auto", "off")
    costs: Mapping[Mode, list[Cost]] = {mode: [] for mode in modes}
    for _, mode in itertools.product(range(rounds), modes):
        costs[mode].append(alone(path, subject, mode))
    return {
        mode: Cost(
            statistics.median(cost.cpu_seconds for cost in each),
            statistics.median(cost.analysed for cost in each),
        )
        for mode, each in costs.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    table = Table(title=f"CPU seconds a minute, beyond decoding; medians of {rounds} passes")
    table.add_column("scene")
    for heading in ("decoding", "all frames", "gated", "times less", "analysed %"):
        table.add_column(heading, justify="right")
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.mp4" for number in range(len(SUBJECTS))]
        with ProcessPoolExecutor(os.cpu_count()) as processes:
            made = processes.map(written, SUBJECTS, paths)
            list(progress(made, "drawing", len(SUBJECTS), transient=True))
        for subject, path in progress(
            list(zip(SUBJECTS, paths, strict=True)), "running", transient=True
        ):
            costs = measured(subject, path, rounds)
            minutes = subject.counted_seconds / 60
            decode, auto, off = (costs[m].cpu_seconds / minutes for m in ("decode", "auto", "off"))
            gated, whole = auto - decode, off - decode
            ratio = whole / gated if gated > 0 else float("inf")
            table.add_row(
                subject.name,
                *(f"{seconds:.2f}" for seconds in (decode, whole, gated)),
                f"{ratio:.1f}",
                f"{costs['auto'].analysed * 100:.1f}",
            )
            if subject.steady and (ratio < GOAL or gated / 60 > ASLEEP_GOAL):
                failed.append(subject.name)
    console = Console(width=110)
    console.print(table)
    console.print(
        f"less than {GOAL:g} times less, or more than {ASLEEP_GOAL} CPU seconds a second asleep:"
        f" {', '.join(failed) or 'none'}"
    )
    cpu = platform.processor() or platform.machine()
    console.print(f"{cpu}, {os.cpu_count()} cores, {platform.system()}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
