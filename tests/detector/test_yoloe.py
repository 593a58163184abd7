"""Our YOLOE network gives the same results as Ultralytics' own model for the same vectors.

The checkpoints are made from Ultralytics' yaml with seeded random weights, since tests download
nothing. Layers and shapes are the real ones; the detections themselves mean nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from ultralytics import YOLO
from ultralytics.nn.tasks import load_checkpoint
from ultralytics.utils.nms import non_max_suppression

from streamwatch.detector.detector import WorldDetector
from streamwatch.detector.networks.torch_network import TorchNetwork
from streamwatch.detector.networks.yoloe import TextModel, yoloe_graph
from streamwatch.detector.protocol import View
from streamwatch.errors import DetectorError
from streamwatch.pixels import Pixels
from streamwatch.records import PICTURE_LENGTH, Vectors, Vocabulary
from tests.parts import TOYBOX
from tests.parts.yoloe import Peer, as_tensor, make_yoloe, random_texts

pytestmark = pytest.mark.slow(seconds=15)

CPU = "cpu"
TEXT_MODELS: dict[str, TextModel] = {
    "yoloe-26n-seg": "mobileclip2:b",
    "yoloe-11s-seg": "mobileclip:blt",
    "yoloe-v8s-seg": "mobileclip:blt",
}
FIRST = ("red car", "dog", "person with a parcel")
SECOND = ("bicycle", "fox", "dog")

# One forward pass of two images against two of one: float32 sums in another order, through a
# network of random weights. Measured: 2.3e-5 in confidences, 0.007 px.
CONFIDENCE, PIXELS = 2e-4, 0.05


def torch_network(
    checkpoint: Path, text_model: TextModel, precision: Literal["full", "half"] = "full"
) -> TorchNetwork:
    return TorchNetwork(yoloe_graph(checkpoint, text_model), CPU, precision)


@pytest.fixture(scope="module", params=TEXT_MODELS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_yoloe(tmp_path_factory.mktemp("yoloe"), request.param)


@pytest.fixture(scope="module")
def network(checkpoint: Path) -> TorchNetwork:
    return torch_network(checkpoint, TEXT_MODELS[checkpoint.stem])


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 255, (2, 128, 160, 3), np.uint8)


@pytest.fixture(scope="module")
def texts() -> Vectors:
    """A vocabulary of three prompts for each of two images; "dog" is in both."""
    vectors: Vectors = random_texts(2, 3, seed=5).numpy()
    vectors[1, SECOND.index("dog")] = vectors[0, FIRST.index("dog")]
    return vectors


def test_detections_equal_ultralytics(
    checkpoint: Path, network: TorchNetwork, images: NDArray[np.uint8], texts: Vectors
) -> None:
    """Two images in one batch, each with three prompts of its own."""
    peer = Peer(checkpoint)
    mine = network.forward(images, texts)
    assert mine.dtype == np.float32
    found = WorldDetector(network, 160).detect(
        [
            View(Pixels(images[0]), Vocabulary(FIRST, texts[0]), 0.3),
            View(Pixels(images[1]), Vocabulary(SECOND, texts[1]), 0.3),
        ]
    )
    for number, prompts in enumerate((FIRST, SECOND)):
        raw = peer.raw(images, prompts, texts[number])[number]
        np.testing.assert_allclose(mine[number], raw.numpy(), atol=1e-5)
        (kept,) = non_max_suppression(raw[None], 0.3, 0.7, multi_label=True, max_det=2000)
        assert len(kept) > 0
        for slot, prompt in enumerate(prompts):
            theirs = [row for row in kept.tolist() if row[5] == slot]
            ours = [detection for detection in found[number] if detection.prompt == prompt]
            for detection, (*box, confidence, _) in zip(ours, theirs, strict=True):
                assert detection.confidence == pytest.approx(confidence, abs=1e-5)
                cut = np.clip(box, 0, (160, 128, 160, 128))
                assert detection.box == pytest.approx(tuple(cut), abs=1e-3)


def test_a_batch_gives_the_same_as_each_image_alone(
    network: TorchNetwork, images: NDArray[np.uint8], texts: Vectors
) -> None:
    together = network.forward(images, texts)
    for number in range(2):
        alone = network.forward(images[number : number + 1], texts[number : number + 1])[0]
        confidences = np.abs(together[number, 4:] - alone[4:]).max()
        boxes = np.abs(together[number, :4] - alone[:4]).max()
        print(f"confidences differ by {confidences:.1e}, boxes by {boxes:.1e} px")
        assert confidences < CONFIDENCE
        assert boxes < PIXELS


def test_spare_slots_and_other_prompts_do_not_change_a_prompts_output(
    network: TorchNetwork, images: NDArray[np.uint8], texts: Vectors
) -> None:
    """Unlike YOLO-World's, this head treats each prompt independently. Measured: 1.8e-7."""
    alone = network.forward(images, texts)
    repeated = network.forward(images, np.concatenate([texts, texts[:, :2]], 1))
    others = network.forward(images, np.concatenate([texts, random_texts(2, 9).numpy()], 1))
    for more in (repeated, others):
        difference = np.abs(more[:, :7] - alone).max()
        print(f"differ by {difference:.1e}")
        assert difference < 1e-5
    np.testing.assert_allclose(repeated[:, 7:], repeated[:, 4:6], atol=1e-6)


def test_pictures_and_texts_are_in_one_vocabulary(
    checkpoint: Path, network: TorchNetwork, images: NDArray[np.uint8], texts: Vectors
) -> None:
    """The columns of texts are unchanged, to the last bit; those of pictures equal Ultralytics' for
    the same vectors."""
    pictures = random_texts(2, 2, seed=9)
    mixed = np.concatenate([texts[:, :2], pictures.numpy() * PICTURE_LENGTH, texts[:, 2:]], 1)
    plain = np.concatenate([texts[:, :2], texts[:, :2], texts[:, 2:]], 1)  # as many slots
    found, of_texts = network.forward(images, mixed), network.forward(images, plain)
    assert np.array_equal(found[:, [0, 1, 2, 3, 4, 5, 8]], of_texts[:, [0, 1, 2, 3, 4, 5, 8]])
    model = Peer(checkpoint).model
    model.model[-1].nc = 2
    with torch.inference_mode():
        (theirs, _), _ = model.predict(as_tensor(images), vpe=pictures)
    np.testing.assert_allclose(found[:, 6:8], theirs[:, 4:6].numpy(), atol=CONFIDENCE)


def test_a_prompt_with_many_detections_does_not_suppress_another(tmp_path: Path) -> None:
    """The one-to-one head of YOLO26 gives 300 detections for all prompts together; we don't use it.

    The picture is large enough for 420 anchors.
    """
    path = make_yoloe(tmp_path, "yoloe-26n-seg")
    images = np.random.default_rng(2).integers(0, 255, (1, 128, 160, 3), np.uint8)
    network = torch_network(path, "mobileclip2:b")
    everywhere, rare = _loudest_and_quietest(network, images)
    texts = np.stack([[everywhere, rare]])

    end_to_end, _ = load_checkpoint(str(path))
    end_to_end.end2end = True

    def ones_of_rare(vectors: Vectors, slot: int) -> int:
        with torch.inference_mode():
            (top, _), _ = end_to_end.predict(as_tensor(images), tpe=torch.from_numpy(vectors))
        assert top.shape[1] == 300
        return int(((top[0, :, 5] == slot) & (top[0, :, 4] > 0.05)).sum())

    assert ones_of_rare(texts, 1) < ones_of_rare(texts[:, 1:], 0)

    detector = WorldDetector(network, 160)
    both = Vocabulary(("everywhere", "rare"), texts[0])
    (beside,) = detector.detect([View(Pixels(images[0]), both, 0.05)])
    (alone,) = detector.detect([View(Pixels(images[0]), Vocabulary(("rare",), texts[0, 1:]), 0.05)])
    rare_beside = [d for d in beside if d.prompt == "rare"]
    assert len(rare_beside) == len(alone) > 0
    for one, other in zip(rare_beside, alone, strict=True):
        assert one.confidence == pytest.approx(other.confidence, abs=1e-6)


def _loudest_and_quietest(network: TorchNetwork, images: NDArray[np.uint8]) -> Vectors:
    candidates: Vectors = random_texts(1, 200, seed=3).numpy()
    means = network.forward(images, candidates)[0, 4:].mean(1)
    chosen: Vectors = candidates[0, [means.argmax(), means.argmin()]]
    return chosen


def test_a_fused_checkpoint_answers_every_prompt(
    tmp_path: Path, images: NDArray[np.uint8], texts: Vectors
) -> None:
    """A YOLO26 saved after fusing still gives a confidence for every anchor and prompt."""
    path = make_yoloe(tmp_path, "yoloe-26n-seg")
    whole = torch.load(path, weights_only=False)
    head = whole["model"].model[-1]
    head.end2end = True
    head.fuse()
    torch.save(whole, path)
    raw = torch_network(path, "mobileclip2:b").forward(images, texts)
    assert raw.shape == (2, 4 + 3, 420)
    assert (raw[:, 2:4] > 0).any(), "width and height, not a second corner"


def test_half_precision_stays_close(checkpoint: Path, images: NDArray[np.uint8]) -> None:
    """The precision of CUDA, on the CPU; the output is float32 all the same.

    Random weights amplify rounding more than trained ones: measured a median of 0.001 and at most
    0.03.
    """
    full = torch_network(checkpoint, TEXT_MODELS[checkpoint.stem])
    half = torch_network(checkpoint, TEXT_MODELS[checkpoint.stem], "half")
    texts = random_texts(2, 3).numpy()
    rounded = half.forward(images, texts)
    assert rounded.dtype == np.float32
    difference = np.abs(rounded - full.forward(images, texts))[:, 4:]
    print(f"confidences differ by {np.median(difference):.1e}, at most {difference.max():.1e}")
    assert np.median(difference) < 0.01
    assert difference.max() < 0.1


def test_the_wrong_text_encoder_is_refused(checkpoint: Path) -> None:
    right = TEXT_MODELS[checkpoint.stem]
    wrong: TextModel = "mobileclip:blt" if right == "mobileclip2:b" else "mobileclip2:b"
    names = right.partition(":")[0], wrong.partition(":")[0]
    said = rf"-seg\.pt was trained with the text encoder {names[0]}, not {names[1]}$"
    with pytest.raises(DetectorError, match=said):
        yoloe_graph(checkpoint, wrong)


@pytest.mark.parametrize("kind", ["prompt-free", "fused"])
def test_a_model_with_its_own_vocabulary_is_refused(tmp_path: Path, kind: str) -> None:
    path = make_yoloe(tmp_path, "yoloe-11s-seg")
    whole = torch.load(path, weights_only=False)
    head = whole["model"].model[-1]
    if kind == "fused":
        head.fuse(random_texts(1, 3))
    else:
        head.lrpc = nn.ModuleList()  # marks a prompt-free head
    torch.save(whole, path)
    with pytest.raises(DetectorError, match=r"takes no prompts; take a YOLOE model without -pf$"):
        yoloe_graph(path, "mobileclip:blt")


def test_models_other_than_yoloe_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.pt"
    YOLO("yolov8n.yaml").save(other)
    for path in (other, TOYBOX / "toybox-n-world.pt"):
        with pytest.raises(
            DetectorError,
            match=r"\.pt is no YOLOE model, and the text encoder mobileclip is for those$",
        ):
            yoloe_graph(path, "mobileclip:blt")


def test_a_missing_checkpoint_gives_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"gone\.pt is missing$"):
        yoloe_graph(tmp_path / "gone.pt", "mobileclip:blt")
