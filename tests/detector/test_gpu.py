"""Detection on a GPU. `pytest -m gpu` runs only these; without a GPU they are skipped."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.detector.detector import WorldDetector
from streamwatch.detector.device import pick_device
from streamwatch.detector.loading import load_detector
from streamwatch.detector.networks.torch_network import TorchNetwork
from streamwatch.detector.networks.yolo_world import world_graph
from streamwatch.detector.networks.yoloe import TextModel, yoloe_graph
from streamwatch.detector.protocol import Running, View
from streamwatch.pixels import Pixels
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.records import Detection, Image, Vocabulary
from tests.parts import STREET_CLIP, TOYBOX
from tests.parts.yoloe import make_yoloe, random_texts

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU"),
]

PROMPTS = ("red car", "pedestrian", "truck", "dog")
TOYBOX_CHECKPOINT = TOYBOX / "toybox-n-world.pt"


@pytest.fixture(scope="module")
def words() -> Vocabulary:
    vectors = Embeddings(DetectorSettings(model="toybox")).vectors(PROMPTS)
    return Vocabulary(PROMPTS, np.stack([vectors[prompt] for prompt in PROMPTS]))


@pytest.fixture(scope="module")
def images() -> list[Image]:
    found: list[Image] = []
    with av.open(str(STREET_CLIP)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in (105, 240, 375, 495):
                found.append(frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False))
    return found


def on(device: str) -> WorldDetector:
    return WorldDetector(
        TorchNetwork(
            world_graph(TOYBOX_CHECKPOINT),
            device,
            "half" if device == "cuda" else "full",
        ),
        416,
    )


def has(found: tuple[Detection, ...], wanted: Detection) -> bool:
    """Whether `wanted` was found; half precision shifts confidences by 0.004, boxes by 0.3 px."""
    return any(
        one.prompt == wanted.prompt
        and one.confidence == pytest.approx(wanted.confidence, abs=0.02)
        and one.box == pytest.approx(wanted.box, abs=2)
        for one in found
    )


def test_auto_chooses_the_gpu() -> None:
    assert pick_device("auto") == "cuda"
    assert load_detector(DetectorSettings(model="toybox")).running == Running(
        "cuda", "torch", "half"
    )


def test_the_gpu_finds_what_the_cpu_finds(images: list[Image], words: Vocabulary) -> None:
    there = on("cuda").detect([View(Pixels(image), words, 0.25) for image in images])
    here = on("cpu").detect([View(Pixels(image), words, 0.3) for image in images])
    assert any(here)
    for found, expected in zip(there, here, strict=True):
        for detection in expected:
            assert has(found, detection)


@pytest.mark.parametrize(
    ("name", "text_model"),
    [("yoloe-26n-seg", "mobileclip2:b"), ("yoloe-11s-seg", "mobileclip:blt")],
)
def test_yoloe_on_the_gpu_is_close_to_the_cpu(
    tmp_path: Path, name: str, text_model: TextModel
) -> None:
    path = make_yoloe(tmp_path, name)
    images = np.random.default_rng(1).integers(0, 255, (2, 128, 160, 3), np.uint8)
    texts = random_texts(2, 3).numpy()
    here = TorchNetwork(yoloe_graph(path, text_model), "cpu").forward(images, texts)
    there = TorchNetwork(yoloe_graph(path, text_model), "cuda", "half").forward(images, texts)
    assert there.dtype == np.float32
    difference = np.abs(there - here)[:, 4:]
    print(f"confidences differ by {np.median(difference):.1e}, at most {difference.max():.1e}")
    assert np.median(difference) < 0.01


def test_batches_are_split_when_gpu_memory_is_short(
    images: list[Image], words: Vocabulary, caplog: pytest.LogCaptureFixture
) -> None:
    """With real memory limits: the process gets little more than a batch of 16 needs."""
    detector = on("cuda")
    views = [View(Pixels(image), words, 0.3) for image in images] * 32
    expected = detector.detect(views[:4])
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    detector.detect(views[:16])
    enough = torch.cuda.max_memory_reserved() / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, enough * 1.2))
    try:
        with caplog.at_level(logging.WARNING):
            found = detector.detect(views)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    assert [record.getMessage() for record in caplog.records if "is short" in record.getMessage()]
    for number, detections in enumerate(found):
        for detection in expected[number % 4]:
            assert detection.confidence < 0.35 or has(detections, detection)


def test_print_time_and_memory(images: list[Image], words: Vocabulary) -> None:
    """Prints measurements and asserts nothing."""
    for device in ("cpu", "cuda"):
        detector = on(device)
        views = [View(Pixels(image), words, 0.3) for image in images]
        for _ in range(3):
            detector.detect(views)
        since = time.perf_counter()
        for _ in range(20):
            detector.detect(views)
        print(f"{device}: {(time.perf_counter() - since) / 20 * 1000:.1f} ms for 4 pictures")
    print(f"{torch.cuda.max_memory_reserved() / 1e6:.0f} MB of the GPU's memory at most")
