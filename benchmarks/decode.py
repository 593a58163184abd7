"""What a camera costs before the detector: CPU time of 1080p25 H.264 at 5 frames a second.

    python -m benchmarks.decode [--rounds N]

The same recording through PyAV alone, through OpenCV's read loop, which converts every frame, and
through a camera of the daemon: awake, where each due frame is looked at by the motion gate and
converted for a detector of 640 pixels, and asleep, where none is. All as fast as they go, one
thread of decoding each, in turns.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import av
import cv2
from rich.console import Console
from rich.progress import track as progress
from rich.table import Table

from benchmarks.motion import Subject, written
from streamwatch.config.sections.camera import CameraSettings
from streamwatch.scheduler.gate import Areas, Gate
from streamwatch.scheduler.rate import Rate
from streamwatch.source import Capture, Slot
from tests.truth.scenes import Scene, Thing

DECODING = "PyAV, decoding alone"
OPENCV = "OpenCV's read loop"
SECONDS = 20
FPS = 5.0
NETWORK_SIZE = (640, 360)
SUBJECT = Subject(
    "1080p25",
    Scene(
        (Thing("red car", "automobile", 70, ((0, 720, 300), (SECONDS, -80, 300)), color="red"),),
        SECONDS,
    ),
    fps=25,
    scale=3,
)


def pyav(path: Path) -> None:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "SLICE"
        for _ in container.decode(video=0):
            pass


def opencv(path: Path) -> None:
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    while video.read()[0]:
        pass
    video.release()


def camera(path: Path, *, awake: bool) -> None:
    """The capture of one camera; `awake` says whether its due frames are wanted."""
    ready = threading.Condition()
    slot, rate = Slot(ready), Rate(FPS)
    settings = CameraSettings(url=str(path), pace=False, fps=FPS)
    capture = Capture(
        "yard",
        settings,
        slot=slot,
        due=rate.due,
        on_problem=print,
        gate=Gate(Areas(None, (), ())),
    )
    capture.start()
    while not slot.drained:
        with ready:
            ready.wait_for(lambda: slot.peek() is not None or slot.drained)
            frame = slot.take()
        if awake and frame is not None:
            frame.picture.bgr(NETWORK_SIZE)
    capture.stop()


WAYS: Mapping[str, Callable[[Path], None]] = {
    DECODING: pyav,
    OPENCV: opencv,
    "a camera, awake": lambda path: camera(path, awake=True),
    "a camera, asleep": lambda path: camera(path, awake=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    spent: dict[str, list[float]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        path = written(SUBJECT, Path(folder) / "clip.mp4")
        for _ in progress(range(rounds), transient=True):
            for name, way in WAYS.items():
                began = time.process_time()
                way(path)
                spent[name].append((time.process_time() - began) / SECONDS)
    table = Table(title=f"1080p25 H.264, {FPS:g} due frames a second; medians of {rounds}")
    for heading in ("", "CPU s a second", "of OpenCV's", "of decoding alone"):
        table.add_column(heading, justify="right" if heading else "left")
    medians = {name: statistics.median(each) for name, each in spent.items()}
    for name, seconds in medians.items():
        table.add_row(
            name,
            f"{seconds:.3f}",
            f"{seconds / medians[OPENCV]:.2f}",
            f"{seconds / medians[DECODING]:.2f}",
        )
    console = Console(width=100)
    console.print(table)
    console.print(f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}")


if __name__ == "__main__":
    main()
