"""Vectors made of pictures equal those of Ultralytics, on checkpoints of random weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from ultralytics import YOLOE
from ultralytics.models.yolo.yoloe import YOLOEVPSegPredictor

from streamwatch.errors import DetectorError
from streamwatch.prompts.encoders.visual import VisualEncoder, read_picture
from streamwatch.records import Image
from tests.parts.checkpoints import world_checkpoint
from tests.parts.yoloe import make_yoloe

pytestmark = pytest.mark.slow(seconds=20)

SIZE = 160
NAMES = ("yoloe-26n-seg", "yoloe-11s-seg", "yoloe-v8s-seg")


@pytest.fixture(scope="module", params=NAMES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_yoloe(tmp_path_factory.mktemp("yoloe"), request.param)


def scene(width: int, height: int) -> Image:
    return np.random.default_rng(width).integers(0, 255, (height, width, 3), np.uint8)


def theirs(checkpoint: Path, picture: Image, box: Any) -> np.ndarray:
    """As Ultralytics makes it for a picture and a box."""
    model = YOLOE(str(checkpoint))
    predictor = YOLOEVPSegPredictor(
        overrides={
            "imgsz": SIZE,
            "device": "cpu",
            "verbose": False,
            "save": False,
            "batch": 1,
            "rect": True,
        }
    )
    predictor.set_prompts({"bboxes": np.array([box], float), "cls": np.array([0])})
    predictor.setup_model(model=model.model.float(), verbose=False)
    with torch.inference_mode():
        found = predictor.get_vpe(picture)
    vector: np.ndarray = found[0, 0].numpy()
    return vector


@pytest.mark.parametrize("size", [(160, 160), (320, 180), (90, 200)])
def test_a_vector_equals_that_of_ultralytics(checkpoint: Path, size: tuple[int, int]) -> None:
    picture, box = scene(*size), (20, 30, 70, 88)
    mine = VisualEncoder(checkpoint, SIZE).vector(picture, box)
    assert mine.shape == (512,)
    assert np.linalg.norm(mine) == pytest.approx(1, abs=1e-5)
    # Theirs is fused, so that sums are of another order.
    np.testing.assert_allclose(mine, theirs(checkpoint, picture, box), atol=2e-3)


def test_without_a_box_the_whole_picture_is_the_thing(checkpoint: Path) -> None:
    encoder, picture = VisualEncoder(checkpoint, SIZE), scene(160, 120)
    whole = encoder.vector(picture, (0, 0, 160, 120))
    assert np.array_equal(encoder.vector(picture, None), whole)
    assert not np.allclose(encoder.vector(picture, (0, 0, 80, 60)), whole, atol=1e-3)


def test_a_checkpoint_without_a_visual_prompt_encoder_is_refused(tmp_path: Path) -> None:
    checkpoint = world_checkpoint("yolov8s-worldv2", tmp_path / "world.pt")
    with pytest.raises(DetectorError, match="has no visual prompt encoder"):
        VisualEncoder(checkpoint, SIZE)


def test_pictures_of_any_kind_are_read_upright(tmp_path: Path) -> None:
    left = np.zeros((60, 80, 3), np.uint8)
    left[:, :40] = (255, 128, 0)  # BGR
    rgb = Pillow.fromarray(cv2.cvtColor(left, cv2.COLOR_BGR2RGB))
    rgb.save(tmp_path / "plain.png")
    rgb.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    rgb.convert("P").save(tmp_path / "palette.png")
    exif = Pillow.Exif()
    exif[0x0112] = 6  # stored lying on its side: turn it by 90° clockwise
    rgb.rotate(90, expand=True).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    for file in ("plain.png", "cmyk.jpg", "palette.png", "turned.jpg"):
        found = read_picture(tmp_path / file)
        assert found.shape == (60, 80, 3)
        assert np.abs(found[:, :35].astype(int) - (255, 128, 0)).mean() < 12, file
        assert found[:, 45:].mean() < 12, file
    sha256 = hashlib.sha256((tmp_path / "plain.png").read_bytes()).hexdigest()
    assert read_picture(tmp_path / "plain.png", sha256).shape == (60, 80, 3)
    with pytest.raises(DetectorError, match="was saved meanwhile"):
        read_picture(tmp_path / "cmyk.jpg", sha256)
    (tmp_path / "no.jpg").write_bytes(b"no picture")
    with pytest.raises(DetectorError, match="is none, or a broken one"):
        read_picture(tmp_path / "no.jpg")
