"""Decoded frames as pictures: converted as large as needed, upright, and masked in every form."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest

from streamwatch.errors import SourceError
from streamwatch.geometry import Polygon
from streamwatch.records import Image
from streamwatch.source.mask import Mask
from streamwatch.source.picture import CameraPicture, RawPicture
from streamwatch.source.upright import AS_STORED, CLOCKWISE, Orientation

NOTHING = Mask(())
FORMS = (
    "yuv420p", "yuvj422p", "nv12", "yuyv422", "rgb24", "bgr0", "gray", "yuv420p10le", "yuv444p",
)  # fmt: skip
SIZES = [(640, 360), (416, 234), (128, 72), (97, 61), (1280, 720), (40, 300)]


def decoded(image: Image, form: str = "yuv420p", turned: Orientation = AS_STORED) -> RawPicture:
    frame = av.VideoFrame.from_ndarray(image, "bgr24").reformat(format=form)
    return RawPicture(frame, "the clip", "h264", (image.shape[1], image.shape[0]), turned)


def halves(width: int, height: int) -> Image:
    """Dark at the left, bright at the right."""
    image = np.full((height, width, 3), 40, np.uint8)
    image[:, width // 2 :] = 200
    return image


@pytest.mark.parametrize("form", FORMS)
def test_every_pixel_format_is_converted_whole_and_scaled(form: str) -> None:
    picture = decoded(halves(640, 360), form).masked(NOTHING)
    assert picture.size == (640, 360)
    for image in (picture.bgr(), picture.bgr((416, 234))):
        middle = image.shape[1] // 2
        np.testing.assert_allclose(image[:, : middle - 8], 40, atol=6)
        np.testing.assert_allclose(image[:, middle + 8 :], 200, atol=6)
    grey = picture.luma((128, 72))
    assert grey.shape == (72, 128)
    np.testing.assert_allclose(grey[:, :60], 40, atol=6)
    np.testing.assert_allclose(grey[:, 68:], 200, atol=6)


def test_luma_is_averaged_and_black_is_zero() -> None:
    image = np.zeros((360, 640, 3), np.uint8)
    image[:, 320::2] = 200
    grey = decoded(image).masked(NOTHING).luma((160, 90))
    assert (grey[:, :78] == 0).all()
    np.testing.assert_allclose(grey[:, 82:], 100, atol=8)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_all_forms_are_upright(degrees: int) -> None:
    picture = decoded(halves(640, 360), turned=CLOCKWISE[degrees]).masked(NOTHING)
    width, height = picture.size
    assert (width, height) == ((360, 640) if degrees % 180 else (640, 360))
    small = (width // 5, height // 5)
    bright = {0: (0.75, 0.5), 90: (0.5, 0.75), 180: (0.25, 0.5), 270: (0.5, 0.25)}[degrees]
    for image in (picture.bgr(), picture.bgr(small), picture.luma(small)):
        rows, columns = image.shape[:2]
        assert image[int(bright[1] * rows), int(bright[0] * columns)].min() > 190
        assert image[int((1 - bright[1]) * rows), int((1 - bright[0]) * columns)].max() < 50


def hidden(*polygon: tuple[float, float]) -> Polygon:
    return polygon


SHAPES = [
    hidden((0.2, 0.3), (0.7, 0.3), (0.7, 0.8), (0.2, 0.8)),
    hidden((0.11, 0.13), (0.83, 0.37), (0.41, 0.91)),
    hidden((0.0, 0.0), (0.333, 0.0), (0.333, 1.0), (0.0, 1.0)),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", SIZES)
def test_nothing_of_what_is_masked_shows_at_any_size(shape: Polygon, size: tuple[int, int]) -> None:
    """What lies behind the mask is white, all else black: it must be black all over."""
    white = np.full((360, 640, 3), 255, np.uint8)
    image = 255 - Mask([shape]).applied(white)
    picture = decoded(image, "yuv444p").masked(Mask([shape]))
    assert picture.bgr().max() <= 2
    assert picture.bgr(size).max() <= 2
    assert picture.luma(size).max() <= 2


@pytest.mark.parametrize("size", SIZES)
def test_a_mask_hides_little_beside_it(size: tuple[int, int]) -> None:
    left_third = SHAPES[2]
    picture = decoded(np.full((360, 640, 3), 200, np.uint8)).masked(Mask([left_third]))
    for image in (picture.bgr(size), picture.luma(size)):
        beyond = round(size[0] / 3) + 8
        np.testing.assert_allclose(image[:, beyond:], 200, atol=6)


def test_what_is_given_is_no_part_of_the_frame() -> None:
    """Some cameras send BGR, which needs no conversion."""
    picture = decoded(halves(64, 48), "bgr24").masked(Mask([SHAPES[0]]))
    assert picture.bgr()[24, 32].max() == 0
    assert decoded_again(picture).bgr()[24, 40].min() == 200


def decoded_again(picture: CameraPicture) -> CameraPicture:
    """The same frame without its mask."""
    return picture._raw.masked(NOTHING)


def test_threads_may_convert_the_same_picture() -> None:
    noise = np.random.default_rng(3).integers(0, 255, (360, 640, 3), np.uint8)
    picture = decoded(noise).masked(NOTHING)
    sizes = [None, (416, 234), (128, 72)] * 20
    expected = {size: picture.bgr(size) for size in sizes[:3]}
    with ThreadPoolExecutor(6) as threads:
        for size, image in zip(sizes, threads.map(picture.bgr, sizes), strict=True):
            np.testing.assert_array_equal(image, expected[size])


@pytest.mark.parametrize("form", FORMS)
def test_noise_changes_the_checksum_and_nothing_else_does(form: str) -> None:
    image = halves(640, 360)
    noisy = image.copy()
    noisy[::2] += 3
    assert decoded(image, form).checksum() == decoded(image, form).checksum()
    assert decoded(image, form).checksum() != decoded(noisy, form).checksum()


def test_a_frame_that_cannot_be_converted_is_an_error_of_its_source() -> None:
    picture = RawPicture(av.VideoFrame(64, 48, "gray32le"), "door", "h264", (64, 48), AS_STORED)
    with pytest.raises(SourceError, match=r"^door: its picture can't be converted \("):
        picture.masked(NOTHING).bgr()
