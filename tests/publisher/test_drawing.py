from __future__ import annotations

from collections.abc import Callable
from typing import cast

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamwatch.geometry import Box
from streamwatch.pictures.drawing import PLATE_BGR, cut_out, render, render_crop
from streamwatch.pixels import Pixels
from streamwatch.records import Image, MarkedPicture


def grey(width: int, height: int) -> Image:
    image = np.full((height, width, 3), 128, np.uint8)
    image.flags.writeable = False
    return image


def drawn(width: int, height: int, box: Box, label: str = "red car 0.83") -> Image:
    jpeg = render(MarkedPicture(Pixels(grey(width, height)), box, label), 95)
    assert jpeg[:2] == b"\xff\xd8"
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (height, width, 3)
    return cast(Image, image)


def plate(image: Image) -> NDArray[np.bool_]:
    """Where the picture has the colour of the box and the label's background, allowing for JPEG."""
    distance = np.abs(image.astype(int) - np.array(PLATE_BGR)).max(axis=2)
    return cast(NDArray[np.bool_], distance < 40)


def dark(image: Image) -> NDArray[np.bool_]:
    return cast(NDArray[np.bool_], image.max(axis=2) < 70)


def test_the_box_is_drawn_at_its_place() -> None:
    image = drawn(640, 360, (100, 120, 200, 300))
    marked = plate(image)
    for x, y in ((100, 200), (200, 200), (150, 300), (150, 120)):
        assert marked[y, x], (x, y)
    for x, y in ((150, 200), (90, 200), (210, 200), (150, 310)):
        assert not marked[y, x], (x, y)


def test_the_label_stands_above_the_box_in_dark_letters() -> None:
    image = drawn(640, 360, (100, 120, 200, 300))
    assert plate(image)[100:119, 100:150].mean() > 0.4
    assert dark(image)[90:120, 100:250].any()
    assert not dark(image)[125:].any()


@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (3840, 2160)])
def test_text_size_grows_with_the_picture(size: tuple[int, int]) -> None:
    width, height = size
    image = drawn(width, height, (width * 0.3, height * 0.4, width * 0.5, height * 0.9))
    rows = np.where(dark(image).any(axis=1))[0]
    share = (rows.max() - rows.min() + 1) / height
    assert 0.02 < share < 0.06
    assert dark(image).sum() > 50


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 60, 60),
        (580, 0, 639, 80),
        (0, 300, 50, 359),
        (600, 300, 639, 359),
        (0, 0, 639, 359),
        (-50, -40, 700, 400),
        (630, 350, 900, 900),
    ],
)
def test_the_label_stays_inside_at_every_edge(box: Box) -> None:
    reference = dark(drawn(640, 360, (300, 150, 400, 300))).sum()
    letters = dark(drawn(640, 360, box)).sum()
    assert 0.8 * reference < letters < 1.25 * reference


def test_a_label_wider_than_the_picture_is_written_smaller() -> None:
    image = drawn(200, 360, (20, 100, 180, 300), "a person with a very long yellow raincoat 0.83")
    columns = np.where(plate(image).any(axis=0))[0]
    assert columns.max() - columns.min() > 160
    assert dark(image)[:, :100].any()
    assert dark(image)[:, 150:198].any()
    assert not dark(image)[:, 198:].any()


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (16, 9), (40, 4), (4, 40)])
def test_tiny_pictures_can_be_drawn(size: tuple[int, int]) -> None:
    drawn(*size, (0, 0, 1, 1))


def test_a_picture_without_a_label() -> None:
    assert not dark(drawn(640, 360, (100, 120, 200, 300), "")).any()


def test_lower_quality_gives_smaller_files() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)
    picture = MarkedPicture(Pixels(noise), (1, 1, 5, 5), "x")
    assert len(render(picture, 30)) < len(render(picture, 95)) / 2


def test_drawing_does_not_change_the_frame() -> None:
    image = grey(64, 36)
    render(MarkedPicture(Pixels(image), (1, 1, 30, 30), "x"), 85)
    assert (image == 128).all()


@pytest.mark.parametrize("draw", [render, render_crop])
def test_a_picture_without_pixels_is_refused(draw: Callable[[MarkedPicture, int], bytes]) -> None:
    with pytest.raises(ValueError, match="no pixels"):
        draw(MarkedPicture(Pixels(np.zeros((0, 0, 3), np.uint8)), (0, 0, 1, 1), "x"), 85)


def cropped(image: Image, box: Box) -> Image:
    jpeg = render_crop(MarkedPicture(Pixels(image), box, "red car 0.83"), 95)
    crop = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert crop is not None
    return cast(Image, crop)


def test_a_crop_is_the_box_with_a_margin_and_nothing_drawn() -> None:
    image = np.full((360, 640, 3), 128, np.uint8)
    image[100:150, 300:400] = 255
    crop = cropped(image, (300, 100, 400, 150))
    assert crop.shape == (50 + 2 * 20, 100 + 2 * 20, 3)
    white = crop.min(axis=2) > 200
    assert white[25:65, 25:115].all()
    assert not white[:15].any()
    assert not white[:, :15].any()
    assert not plate(crop).any()


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((0, 0, 10, 10), (12, 12)),
        ((600, 350, 640, 360), (48, 18)),
        ((-50, -40, 700, 400), (640, 360)),
        ((700, 500, 800, 600), (1, 1)),
        ((-80, -80, -40, -40), (1, 1)),
        ((50, 60, 50, 60), (1, 1)),
    ],
)
def test_a_crop_ends_at_the_edges(box: Box, size: tuple[int, int]) -> None:
    height, width = cropped(grey(640, 360), box).shape[:2]
    assert (width, height) == size


@pytest.mark.parametrize(
    "box",
    [
        (100.3, 120.7, 200.2, 300.9),
        (-20.5, 10.0, 60.0, 80.0),
        (600.0, 300.0, 660.0, 380.0),
        (10.0, 10.0, 10.0, 10.0),
        (-50.0, -50.0, -10.0, -10.0),
    ],
)
def test_a_crop_cut_out_beforehand_is_the_same(box: Box) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (360, 640, 3), np.uint8)
    whole = MarkedPicture(Pixels(noise), box, "red car 0.83")
    alone = cut_out(whole)
    assert render_crop(alone, 90) == render_crop(whole, 90)
    assert cut_out(alone).picture.size == alone.picture.size
    assert alone.picture.bgr().base is None, "it keeps the whole frame in memory"
