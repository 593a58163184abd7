"""What a frame costs, from the decoded frame to its detections: compiled, by torch, by Ultralytics.

    python -m benchmarks.detector [--rounds N]

For `toybox` at 416 pixels and the architecture of `yolov8s-worldv2` at 640 with random weights,
which cost what the official ones do; for 1, 8 and 40 prompts. The peer is `YOLOWorld.predict` of
the same checkpoint on the same frames, in the same run: the variants take turns, frame by frame. A
GPU is measured too where there is one.
Told are medians in milliseconds and their ratios, and the detector's time as a multiple of its bare
network's.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from ultralytics import YOLOWorld
from ultralytics.nn.tasks import WorldModel

from streamwatch.config import DetectorSettings
from streamwatch.detector.compiled.conversion import Job, convert, cpu_name, default_folder
from streamwatch.detector.compiled.graph_file import ConvertedGraph, NumberType
from streamwatch.detector.compiled.network import OpenVinoNetwork
from streamwatch.detector.compiled.samples import Sample
from streamwatch.detector.detector import WorldDetector
from streamwatch.detector.loading import job_for
from streamwatch.detector.networks.kinds import GRAPHS
from streamwatch.detector.networks.torch_network import TorchNetwork
from streamwatch.detector.protocol import Network, View
from streamwatch.models.provision import choose, found
from streamwatch.pixels import Pixels
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.records import TEXT_WIDTH, Image, Vectors, Vocabulary
from tests.parts import STREET_CLIP
from tests.parts.letterboxed import letterbox

PROMPTS = (1, 8, 40)
WORDS = (
    "red car", "pedestrian", "blue car", "truck", "parcel", "dog", "red backpack", "cyclist",
)  # fmt: skip
FLOOR = 0.1
ROUNDS = 6
PREPARING = 5
"""Passes before the clock counts: the compiled network prepares itself for a shape meanwhile."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A checkpoint and what it is searched for."""

    title: str
    checkpoint: Path
    image_size: int
    compiled: Mapping[str, tuple[ConvertedGraph, NumberType]]
    """By precision: the graph and the numbers it calculates with."""
    vectors: Vectors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds: int = parser.parse_args().rounds
    console = Console()
    console.print(f"{cpu_name()}, {os.cpu_count()} cores, {platform.machine()}")
    frames = clip_frames()
    with tempfile.TemporaryDirectory() as folder:
        for subject in (toybox(), random_s(Path(folder))):
            table = Table(title=f"{subject.title}: ms a frame, times as fast as predict")
            table.add_column("")
            for count in PROMPTS:
                table.add_column(f"{count} prompts", justify="right")
            columns = [measured(subject, count, frames, rounds) for count in PROMPTS]
            for name in columns[0]:
                table.add_row(name, *(_cell(name, column) for column in columns))
            console.print(table)


def measured(
    subject: Subject, count: int, frames: Sequence[Image], rounds: int
) -> Mapping[str, float]:
    """The median of each variant, in milliseconds."""
    names = tuple(f"prompt {number}" for number in range(count))
    vectors = subject.vectors[:count]
    words = Vocabulary(names, vectors)
    make = GRAPHS["world"]
    networks: dict[str, Network] = {"torch": TorchNetwork(make(subject.checkpoint), "cpu")}
    for precision, (graph, number) in subject.compiled.items():
        networks[precision] = OpenVinoNetwork(graph, number, "full")
    if torch.cuda.is_available():
        networks["GPU, half"] = TorchNetwork(make(subject.checkpoint), "cuda", "half")
    variants: dict[str, Callable[[Image], object]] = {
        "Ultralytics predict": predicting(subject, names, vectors, "cpu")
    }
    if torch.cuda.is_available():
        variants["GPU, Ultralytics predict"] = predicting(subject, names, vectors, "cuda")
    for name, network in networks.items():
        detector = WorldDetector(network, subject.image_size)
        variants[name] = detecting(detector, words)
    for precision, (graph, number) in subject.compiled.items():
        boxed = {id(frame): letterbox(frame, subject.image_size)[0][None] for frame in frames}
        variants[f"bare {precision}"] = bare(graph, number, boxed, vectors)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(-PREPARING, rounds * len(frames)):
        frame = frames[turn % len(frames)]
        for name, variant in variants.items():
            since = time.perf_counter()
            variant(frame)
            if turn >= 0:
                seconds[name].append(time.perf_counter() - since)
    return {name: statistics.median(each) * 1000 for name, each in seconds.items()}


def detecting(detector: WorldDetector, words: Vocabulary) -> Callable[[Image], object]:
    return lambda frame: detector.detect([View(Pixels(frame), words, FLOOR)])


def predicting(
    subject: Subject, names: tuple[str, ...], vectors: Vectors, device: str
) -> Callable[[Image], object]:
    """Ultralytics' own `predict`, with our vectors in place of its CLIP."""
    world = YOLOWorld(str(subject.checkpoint))
    world.model.txt_feats = torch.from_numpy(vectors)[None]
    world.model.model[-1].nc = len(names)
    world.model.names = dict(enumerate(names))
    return lambda frame: world.predict(
        frame, imgsz=subject.image_size, conf=FLOOR, verbose=False, device=device
    )


def bare(
    graph: ConvertedGraph, number: NumberType, boxed: Mapping[int, Image], vectors: Vectors
) -> Callable[[Image], object]:
    """The graph alone, compiled for exactly these sizes; `boxed` are the letterboxed frames."""
    import openvino  # after streamwatch, which keeps it from reporting itself

    core = openvino.Core()
    weights = openvino.Tensor(graph.weights, shared_memory=True)
    model = core.read_model(graph.xml, weights)
    model.reshape({0: list(next(iter(boxed.values())).shape), 1: [1, *vectors.shape]})
    options = {"INFERENCE_PRECISION_HINT": number, "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(model, "CPU", options).create_infer_request()
    return lambda frame: request.infer([boxed[id(frame)], vectors[None]], share_inputs=True)


def toybox() -> Subject:
    settings = DetectorSettings(model="toybox")
    choice = choose(settings)
    checkpoint = found(choice.checkpoint)
    known = Embeddings(settings).vectors(WORDS)
    vectors = np.resize(np.stack([known[word] for word in WORDS]), (max(PROMPTS), TEXT_WIDTH))
    job = job_for(choice, checkpoint)
    return Subject("toybox, 416 px", checkpoint, 416, compiled(job, vectors), vectors)


def random_s(folder: Path) -> Subject:
    name = "yolov8s-worldv2"
    choice = choose(DetectorSettings(model=name))
    torch.manual_seed(0)
    checkpoint = folder / f"{name}.pt"
    torch.save({"model": WorldModel(f"{name}.yaml", verbose=False).half()}, checkpoint)
    noise = np.random.default_rng(0).standard_normal((max(PROMPTS), TEXT_WIDTH))
    vectors = (noise / np.linalg.norm(noise, axis=1, keepdims=True)).astype(np.float32)
    job = job_for(choice, checkpoint)
    title = f"{name}, 640 px, random weights"
    return Subject(title, checkpoint, 640, compiled(job, vectors), vectors)


def compiled(job: Job, vectors: Vectors) -> dict[str, tuple[ConvertedGraph, NumberType]]:
    """In each precision that this machine has; quantized with the clip where NNCF is there."""
    graph = convert(job, default_folder())
    found: dict[str, tuple[ConvertedGraph, NumberType]] = {"full": (graph, "f32")}
    if graph.half is not None:
        found["half"] = graph, graph.half
    if find_spec("nncf") is not None:
        samples = [Sample(letterbox(frame, job.width)[0], vectors[:8]) for frame in clip_frames()]
        quantized = convert(replace(job, quantized=True), default_folder(), samples=samples)
        found["int8"] = quantized, quantized.fastest
    return found


def clip_frames() -> list[Image]:
    """Every 30th frame of the bundled clip, 640 x 360."""
    with av.open(str(STREET_CLIP)) as container:
        return [
            frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
            for number, frame in enumerate(container.decode(video=0))
            if number % 30 == 0
        ]


def _cell(name: str, column: Mapping[str, float]) -> str:
    """`12.3 ms, 3.4x`; for the bare network how much longer the detector takes."""
    own, peer = column[name], column["Ultralytics predict"]
    if name.startswith("bare "):
        return f"{own:.1f} ms; {column[name.removeprefix('bare ')] / own:.2f}"
    return f"{own:.1f} ms, {peer / own:.2f}x"


if __name__ == "__main__":
    main()
