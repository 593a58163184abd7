"""The image towers: what they make of crops, and what is said of files that hold none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from streamwatch.config import DetectorSettings
from streamwatch.config.catalogue import ENCODERS
from streamwatch.errors import DetectorError
from streamwatch.models.provision import image_tower
from streamwatch.prompts.encoders.transformers_text import ClipText
from streamwatch.second_look.contrast import Contrast
from streamwatch.second_look.towers import ClipImage, Glance, ImageTower
from tests.parts import made_once
from tests.parts.checkpoints import clip_folder

REFERENCE = Path(__file__).parent / "glance_reference.npz"
SAID = {"size": "64", "scale": "60", "width": "384"}
"""The metadata of the bundled tower."""


def bundled() -> Path:
    tower, path = image_tower(DetectorSettings(model="toybox"))
    assert tower == ENCODERS["minilm"].image
    return path


def refused(load: Callable[[Path], ImageTower], path: Path) -> str:
    with pytest.raises(DetectorError) as caught:
        load(path)
    said = str(caught.value)
    assert "\n" not in said
    return said


def test_the_bundled_tower_gives_the_vectors_of_its_training() -> None:
    tower = Glance(bundled())
    assert (tower.size, tower.scale) == (64, 60.0)
    with np.load(REFERENCE) as reference:
        in_bgr = reference["crops"][..., ::-1]
        vectors = tower.encode(in_bgr)
        assert vectors.dtype == np.float32
        assert np.abs(vectors - reference["vectors"]).max() < 1e-4
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def cut_off(file: Path) -> None:
    file.write_bytes(bundled().read_bytes()[:-1])


def cut_off_early(file: Path) -> None:
    file.write_bytes(bundled().read_bytes()[:100])


def a_web_page(file: Path) -> None:
    file.write_text("<!DOCTYPE html><title>Not found</title>")


def a_folder(file: Path) -> None:
    file.mkdir()


def nothing(file: Path) -> None:
    assert not file.exists()


@pytest.mark.parametrize("make", [cut_off, cut_off_early, a_web_page, a_folder, nothing])
def test_what_is_no_file_of_tensors_is_one_error(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    file = tmp_path / "glance.safetensors"
    make(file)
    assert refused(Glance, file).startswith(f"the image tower {file} can't be loaded (")


@pytest.mark.parametrize(
    ("more", "less", "said"),
    [
        ({}, "", {}),
        ({}, "", SAID | {"width": "100"}),
        ({}, "", SAID | {"width": "-1"}),
        ({}, "", SAID | {"size": "large"}),
        ({}, "head.bias", SAID),
        ({"x": torch.zeros(3)}, "", SAID),
        ({"head.bias": torch.zeros(3)}, "", SAID),
    ],
    ids=["says nothing", "narrower", "impossible", "a word", "a layer less", "more", "other sizes"],
)
def test_tensors_of_something_else_are_one_error(
    tmp_path: Path, more: dict[str, torch.Tensor], less: str, said: dict[str, str]
) -> None:
    file = tmp_path / "glance.safetensors"
    tensors = {name: tensor for name, tensor in load_file(bundled()).items() if name != less}
    save_file(tensors | more, file, metadata=said)
    expected = f"the image tower {file} can't be loaded: it is another kind of network"
    assert refused(Glance, file) == expected


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `whole` CLIP and the `text` tower of one, each in its folder."""

    def make(folder: Path) -> None:
        clip_folder(folder / "whole", whole=True)
        clip_folder(folder / "text")

    return made_once(tmp_path_factory, "clips", make)


@pytest.fixture(scope="module")
def model(clips: Path) -> Any:
    return transformers.CLIPModel.from_pretrained(clips / "whole").eval()


def some_crops(size: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)


def pixels(crops: NDArray[np.uint8]) -> torch.Tensor:
    """What the image processor that comes with OpenAI's CLIP makes of crops of its size."""
    processor = transformers.CLIPImageProcessor(do_resize=False, do_center_crop=False)
    found: torch.Tensor = processor(
        list(crops[..., ::-1].copy()), return_tensors="pt", input_data_format="channels_last"
    )["pixel_values"]
    return found


def test_clip_gives_the_vectors_that_transformers_gives(clips: Path, model: Any) -> None:
    tower = ClipImage(clips / "whole")
    assert tower.size == 32
    assert tower.scale == pytest.approx(model.logit_scale.exp().item())
    crops = some_crops(tower.size)
    with torch.inference_mode():
        features = model.get_image_features(pixel_values=pixels(crops))
    expected = getattr(features, "pooler_output", features).numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    vectors = tower.encode(crops)
    assert vectors.dtype == np.float32
    assert np.abs(vectors - expected).max() < 1e-5


def test_the_share_is_the_probability_that_clip_gives(clips: Path, model: Any) -> None:
    words = ("red car", "car", "dog", "truck", "fox")
    text, tower = ClipText(clips / "whole"), ClipImage(clips / "whole")
    crops = some_crops(tower.size)
    tokens = transformers.AutoTokenizer.from_pretrained(clips / "whole")(
        list(words), padding=True, return_tensors="pt"
    )
    with torch.inference_mode():
        logits = model(**tokens, pixel_values=pixels(crops)).logits_per_image
    contrast = Contrast(words[:2], words[2:], text.encode(words))
    for probabilities, image in zip(logits.softmax(-1), tower.encode(crops), strict=True):
        share, beaten_by = contrast.share(image, tower.scale)
        assert share == pytest.approx(float(probabilities[:2].sum()), abs=1e-5)
        first = words[int(probabilities.argmax())]
        assert beaten_by == (None if first in words[:2] else first)


def settings(folder: Path) -> DetectorSettings:
    return DetectorSettings(model="mine.pt", text_encoder=str(folder))


def test_a_folder_with_a_whole_clip_is_its_own_image_tower(clips: Path) -> None:
    tower, path = image_tower(settings(clips / "whole"))
    assert (tower.kind, path) == ("clip", clips / "whole")


def test_a_folder_with_the_text_tower_alone_has_no_image_tower(clips: Path) -> None:
    said = (
        f"the text encoder {clips / 'text'} has no image tower, which a second look by words needs"
    )
    with pytest.raises(DetectorError) as caught:
        image_tower(settings(clips / "text"))
    assert str(caught.value) == said


def test_a_clip_without_the_tensors_of_its_image_tower(clips: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clips / "text", tmp_path / "clip")
    shutil.copy(clips / "whole" / "config.json", folder)
    assert refused(ClipImage, folder) == (
        f"{folder} holds no image tower, but CLIP's text encoder alone; a second look by words "
        "needs the whole CLIP"
    )


def test_a_clip_without_one_of_its_tensors(clips: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clips / "whole", tmp_path / "clip")
    tensors = load_file(folder / "model.safetensors")
    del tensors["logit_scale"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    said = f"the image tower in {folder} lacks 1 of its tensors, as logit_scale"
    assert refused(ClipImage, folder) == said


@pytest.mark.parametrize("broken", ["model.safetensors", "config.json"])
def test_a_broken_clip_is_one_error(clips: Path, tmp_path: Path, broken: str) -> None:
    folder = shutil.copytree(clips / "whole", tmp_path / "clip")
    content = (folder / broken).read_bytes()
    (folder / broken).write_bytes(content[:-10])
    assert refused(ClipImage, folder).startswith(f"the image tower in {folder} can't be loaded (")


def test_a_folder_that_says_not_what_it_holds_has_no_image_tower(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 32}))
    with pytest.raises(DetectorError, match=r"holds no text encoder: no config\.json that says"):
        image_tower(settings(tmp_path))
