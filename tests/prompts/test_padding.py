"""The padding text of an encoder: a slot of every vocabulary, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streamwatch.config import Config, DetectorSettings
from streamwatch.config.catalogue import ENCODERS, MODELS
from streamwatch.detector.detector import WorldDetector
from streamwatch.detector.loading import load_detector
from streamwatch.detector.protocol import Running, View
from streamwatch.errors import DetectorError
from streamwatch.pixels import Pixels
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.prompts.encoders import child
from streamwatch.prompts.encoders.process import Encoded
from streamwatch.prompts.vocabulary import needed, padding, vocabularies, vocabulary
from streamwatch.records import TEXT_WIDTH, Vectors
from tests.parts.checkpoints import SMALL, clip_folder, pictures_of_blocks, world_checkpoint

pytestmark = [pytest.mark.usefixtures("encoded_here"), pytest.mark.slow(seconds=30)]

PAD = " "
WATCHES: dict[str, Any] = {"cars": {"prompt": "red car", "not": "truck"}}


class Recording:
    """A network that notes the texts it gets, and finds every slot in one place."""

    running = Running("cpu", "torch", "full")

    def __init__(self) -> None:
        self.texts: list[Vectors] = []

    def forward(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32]:
        self.texts.append(texts)
        batch, slots, _ = texts.shape
        found = np.zeros((batch, 4 + slots, 1), np.float32)
        found[:, :4, 0] = (40, 40, 20, 20)
        found[:, 4:, 0] = 0.9
        return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP."""
    return clip_folder(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def embeddings(folder: Path, tmp_path: Path) -> Embeddings:
    return Embeddings(of_folder(folder), tmp_path)


def of_folder(folder: Path, **keys: Any) -> DetectorSettings:
    return DetectorSettings(model="mine.pt", text_encoder=str(folder), **keys)


def config(detector: DetectorSettings, watches: dict[str, Any] = WATCHES) -> Config:
    return Config.model_validate(
        {
            "detector": detector.model_dump(),
            "cameras": {"porch": {"url": "bundled:street"}, "yard": {"url": "bundled:street"}},
            "watches": watches,
        }
    )


def test_clip_alone_has_a_padding_text() -> None:
    found = {name: encoder.padding for name, encoder in ENCODERS.items()}
    assert found == {"clip": PAD, "minilm": None, "mobileclip": None, "mobileclip2": None}
    padded = {name for name in MODELS if padding(DetectorSettings(model=name))}
    assert padded == {name for name in MODELS if name.startswith("yolov8")}


def test_a_folder_has_the_padding_of_its_kind(folder: Path, tmp_path: Path) -> None:
    assert padding(of_folder(folder)) == (PAD,)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert padding(of_folder(tmp_path)) == ()
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(DetectorError, match="holds a model of type 't5'"):
        padding(of_folder(tmp_path))


@pytest.mark.parametrize("distractors", [True, False])
def test_it_is_in_every_vocabulary_and_named_nowhere(
    folder: Path, embeddings: Embeddings, distractors: bool
) -> None:
    settings = config(
        DetectorSettings(model="mine.pt", text_encoder=str(folder), distractors=distractors)
    )
    assert PAD in needed(settings)
    words = vocabularies(settings, embeddings, known={})
    assert words.named == ("red car", "truck")
    assert PAD not in words.rivals["cars"]
    (vector,) = child.load("clip", [str(folder)]).encode([PAD])
    for of_camera in words.of_cameras.values():
        assert PAD not in of_camera.prompts
        np.testing.assert_allclose(of_camera.padding, vector[None], atol=1e-6)
        assert len(of_camera.slots) == len(of_camera.prompts) + 1


def test_without_a_watch_it_is_not_encoded(folder: Path) -> None:
    assert needed(config(of_folder(folder), watches={})) == ()


def test_it_is_encoded_as_it_is_in_no_template(
    folder: Path, embeddings: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def encode(_: object, files: object, texts: Sequence[str]) -> list[Encoded]:
        asked.extend(texts)
        return [Encoded(np.ones(TEXT_WIDTH, np.float32), 2, 77) for _ in texts]

    monkeypatch.setattr("streamwatch.prompts.encoders.process.EncoderProcess.encode", encode)
    templated = Embeddings(of_folder(folder, template="a photo of {}"), embeddings._cache.folder)
    templated.vectors(["dog", PAD])
    assert asked == ["a photo of dog", PAD]
    # Its vector is the same in each template, and is found again.
    assert Embeddings(of_folder(folder), embeddings._cache.folder).unknown(["dog", PAD]) == ("dog",)


def test_it_takes_a_slot_of_the_network_and_is_never_reported(
    folder: Path, embeddings: Embeddings
) -> None:
    network = Recording()
    words = vocabularies(config(of_folder(folder)), embeddings, known={})
    view = View(Pixels(np.zeros((80, 80, 3), np.uint8)), words.of_cameras["porch"], 0.1)
    (found,) = WorldDetector(network, 96).detect([view])
    assert [detection.prompt for detection in found] == ["red car", "truck"]
    (texts,) = network.texts
    np.testing.assert_array_equal(texts[0], words.of_cameras["porch"].slots)


def test_cameras_of_one_batch_have_it_each(folder: Path, embeddings: Embeddings) -> None:
    network = Recording()
    image = np.zeros((80, 80, 3), np.uint8)
    pad = padding(of_folder(folder))
    vectors = embeddings.vectors(["dog", "cat", "truck", PAD])
    views = [
        View(Pixels(image), vocabulary(prompts, vectors, pad), 0.1)
        for prompts in (("dog",), ("dog", "cat", "truck"))
    ]
    found = WorldDetector(network, 96).detect(views)
    assert [[detection.prompt for detection in one] for one in found] == [
        ["dog"],
        ["dog", "cat", "truck"],
    ]
    (texts,) = network.texts
    expected = [["dog", PAD, "dog", PAD], ["dog", "cat", "truck", PAD]]
    for rows, names in zip(texts, expected, strict=True):
        np.testing.assert_array_equal(rows, np.stack([vectors[name] for name in names]))


def test_toybox_gets_the_same_texts_as_ever(tmp_path: Path) -> None:
    settings = DetectorSettings(model="toybox")
    words = vocabularies(config(settings), Embeddings(settings), known={})
    porch = words.of_cameras["porch"]
    assert PAD not in needed(config(settings))
    np.testing.assert_array_equal(porch.slots, porch.vectors)


def test_a_yolo_world_checkpoint_sees_it(
    folder: Path, embeddings: Embeddings, tmp_path: Path
) -> None:
    """The text-guided attention takes a maximum over all slots, so one more changes the others."""
    file = world_checkpoint("yolov8s-worldv2", tmp_path / "mine.pt")
    detector = load_detector(
        DetectorSettings(model=str(file), text_encoder=str(folder), device="cpu", image_size=SMALL)
    )
    vectors = embeddings.vectors(["dog", PAD])
    (image,) = pictures_of_blocks(1, seed=3)

    def found(*pad: str) -> list[float]:
        view = View(Pixels(image), vocabulary(("dog",), vectors, pad), 0.001)
        (seen,) = detector.detect([view])
        assert {detection.prompt for detection in seen} == {"dog"}
        return [detection.confidence for detection in seen]

    # As if a person had written it as a prompt of its own.
    view = View(Pixels(image), vocabulary(("dog", PAD), vectors, ()), 0.001)
    (written,) = detector.detect([view])
    assert found(PAD) == [d.confidence for d in written if d.prompt == "dog"]
    assert found(PAD) != found()
