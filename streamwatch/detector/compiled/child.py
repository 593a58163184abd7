"""The process that converts a checkpoint for OpenVINO, so that the daemon neither waits nor keeps
the memory that this takes.

    python -m streamwatch.detector.compiled.child DESCRIPTOR PARENT JOB

Started only by `conversion.py`; JOB is its `Job` as JSON. It sends JSON objects: `{"step": "…"}`
for each step that begins, `{"wants": "samples"}` where it needs pictures to quantize with, at last
`{}` followed by the graph as bytes, or `{"error": "…"}`.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from streamwatch.detector.compiled.conversion import Job
from streamwatch.detector.compiled.graph_file import ConvertedGraph, NumberType
from streamwatch.detector.compiled.samples import Sample
from streamwatch.errors import DetectorError
from streamwatch.processes.child import reason_of, serve_parent
from streamwatch.records import TEXT_WIDTH

ROUNDS = 7
"""Passes with each type of number, in turns: their median is told."""
WORTH = 0.9
"""16-bit numbers are taken where they need less than this share of float32's time."""
HALVES: dict[str, NumberType] = {"BF16": "bf16", "FP16": "f16"}
"""By OpenVINO's name of the CPU's capability."""


def main(connection: Connection, arguments: Sequence[str]) -> None:
    def tell(message: dict[str, str]) -> None:
        connection.send_bytes(json.dumps(message).encode())

    try:
        job = Job(**json.loads(arguments[0]))
        samples = None
        if job.quantized:
            tell({"wants": "samples"})
            samples = receive_samples(connection)
        graph = converted(job, samples, lambda step: tell({"step": step}))
    except DetectorError as error:
        tell({"error": str(error)})
    except Exception as error:  # tracing and OpenVINO may raise any exception
        tell({"error": f"it can't be converted ({reason_of(error)})"})
    else:
        tell({})
        for part in graph.parts():
            connection.send_bytes(part)


def receive_samples(connection: Connection) -> list[Sample]:
    """As `conversion` sends them."""
    samples = []
    for _ in range(json.loads(connection.recv_bytes())):
        *shape, slots = json.loads(connection.recv_bytes())
        image = np.frombuffer(connection.recv_bytes(), np.uint8).reshape(shape)
        texts = np.frombuffer(connection.recv_bytes(), np.float32).reshape(slots, TEXT_WIDTH)
        samples.append(Sample(image, texts))
    return samples


def converted(
    job: Job, samples: Sequence[Sample] | None, step: Callable[[str], None]
) -> ConvertedGraph:
    """Convert the checkpoint for any batch, image shape and number of texts; with `samples`
    quantize it. Raises DetectorError, and whatever OpenVINO and NNCF raise."""
    # Here, so that the parent is told if one of them can't be imported.
    import openvino
    import torch

    from streamwatch.detector.networks.kinds import GRAPHS

    step("reading")
    graph = GRAPHS[job.network](Path(job.checkpoint))
    step("converting")
    # The example's sizes differ from one another, so that none is taken for another.
    example = torch.zeros((2, 64, 96, 3), dtype=torch.uint8), torch.zeros(2, 3, TEXT_WIDTH)
    with torch.no_grad():
        model = openvino.convert_model(graph, example_input=example)
    model.reshape({0: [-1, -1, -1, 3], 1: [-1, -1, TEXT_WIDTH]})
    if samples is not None:
        step("quantizing")
        model = _quantized(model, samples)
    step("measuring")
    fastest, half = _fastest(model, job.height, job.width)
    with TemporaryDirectory() as folder:
        xml = Path(folder) / "graph.xml"
        openvino.save_model(model, xml, compress_to_fp16=False)
        weights = np.fromfile(xml.with_suffix(".bin"), np.uint8)
        return ConvertedGraph(xml.read_bytes(), weights, fastest, half)


def _quantized(model: Any, samples: Sequence[Sample]) -> Any:
    import nncf  # of the extra int8

    pictures = [(sample.image[None], sample.texts[None]) for sample in samples]
    return nncf.quantize(
        model,
        nncf.Dataset(pictures),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(pictures),
    )


def _fastest(model: Any, height: int, width: int) -> tuple[NumberType, NumberType | None]:
    """Which type of number this CPU is fastest with, and the faster of the 16-bit ones.

    That a CPU has 16-bit instructions doesn't tell: Intel's without AMX need half as long again
    with bf16 as with float32, AMD's Zen 4 a little more than half.
    """
    import openvino

    core = openvino.Core()
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    halves = [name for capability, name in HALVES.items() if capability in capabilities]
    if not halves:
        return "f32", None
    model = model.clone()
    model.reshape({0: [1, height, width, 3], 1: [1, 4, TEXT_WIDTH]})
    inputs = [
        np.zeros((1, height, width, 3), np.uint8),
        np.eye(4, TEXT_WIDTH, dtype=np.float32)[None],
    ]
    requests = {
        name: core.compile_model(
            model, "CPU", {"INFERENCE_PRECISION_HINT": name, "PERFORMANCE_HINT": "LATENCY"}
        ).create_infer_request()
        for name in ("f32", *halves)
    }
    seconds: dict[str, list[float]] = {name: [] for name in requests}
    for turn in range(ROUNDS + 1):
        for name, request in requests.items():
            since = time.perf_counter()
            request.infer(inputs)
            if turn:  # the first pass prepares
                seconds[name].append(time.perf_counter() - since)
    median = {name: statistics.median(seconds[name]) for name in requests}
    half = min(halves, key=lambda name: median[name])
    return half if median[half] < WORTH * median["f32"] else "f32", half


if __name__ == "__main__":
    serve_parent(main)
