"""Converts checkpoints, in a process of its own, and keeps what comes of it."""

from __future__ import annotations

import fcntl
import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from streamwatch.config.catalogue import NetworkKind
from streamwatch.detector.compiled.graph_file import ConvertedGraph, GraphFolder, parse
from streamwatch.detector.compiled.samples import Sample
from streamwatch.errors import DetectorError
from streamwatch.models.store import sha256_of
from streamwatch.paths import cache_dir
from streamwatch.processes.parent import ChildProcess

STEP_SECONDS = 900.0
"""Timeout for each step. Converting takes 2 to 4 s on two cores of a server."""
FORMAT = 2
"""Raised when graphs are made or stored in another way."""
LIBRARIES = ("openvino", "torch", "ultralytics")
"""Whose versions may change a graph."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to convert. `height` and `width`, in pixels, are of the images that speed is measured
    with; the graph takes all. A `quantized` one calculates with 8 bits."""

    checkpoint: str
    network: NetworkKind
    height: int
    width: int
    quantized: bool = False

    @property
    def key(self) -> str:
        """A text that changes with everything that the graph depends on. Reads the checkpoint;
        raises DetectorError where it can't be read."""
        try:
            content = sha256_of(Path(self.checkpoint))
        except OSError as error:
            raise DetectorError(
                f"the checkpoint {self.checkpoint} can't be read: {error.strerror}"
            ) from error
        return " ".join(
            (
                f"format:{FORMAT}",
                *(f"{name}:{version(name)}" for name in LIBRARIES),
                f"cpu:{cpu_name()}",
                content,
                f"{self.network} {self.height}x{self.width}",
                *((f"int8 nncf:{version('nncf')}",) if self.quantized else ()),
            )
        )


def default_folder() -> GraphFolder:
    return GraphFolder(cache_dir() / "compiled")


def convert(
    job: Job,
    folder: GraphFolder,
    step: Callable[[str], None] = lambda _: None,
    samples: Sequence[Sample] = (),
) -> ConvertedGraph:
    """Convert in another process, and keep the graph. Takes seconds to minutes.

    `step` is told what begins; `samples` are for a quantized graph. One conversion at a time on a
    machine: another process may have made the graph meanwhile. Raises DetectorError.
    """
    with _alone(folder.folder):
        found = folder.find(job.key)
        if found is not None:
            return found
        graph = _converted(job, step, samples)
        folder.keep(job.key, graph)
    return folder.find(job.key) or graph


def _converted(job: Job, step: Callable[[str], None], samples: Sequence[Sample]) -> ConvertedGraph:
    process = ChildProcess(
        "the converter", "streamwatch.detector.compiled.child", [json.dumps(asdict(job))]
    )
    try:
        while True:
            answer = json.loads(process.receive(STEP_SECONDS))
            if "error" in answer:
                raise DetectorError(answer["error"])
            if "wants" in answer:
                _send(process, samples)
            elif "step" not in answer:
                content = process.receive(STEP_SECONDS) + process.receive(STEP_SECONDS)
                # A copy that may be written to, as OpenVINO wants it.
                return parse(np.frombuffer(bytearray(content), np.uint8))
            else:
                step(answer["step"])
    finally:
        process.kill()


def _send(process: ChildProcess, samples: Sequence[Sample]) -> None:
    """As `child.receive_samples` reads them."""
    process.send(json.dumps(len(samples)).encode())
    for sample in samples:
        process.send(json.dumps([*sample.image.shape, len(sample.texts)]).encode())
        process.send(sample.image.tobytes())
        process.send(sample.texts.tobytes())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, waiting for it; without one where there can be none."""
    descriptor = None
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def cpu_name() -> str:
    """The CPU's name: which types of number are fast depends on it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "CPU part"):
                return value.strip()
    return platform.machine()
