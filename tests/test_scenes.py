"""Drawn scenes and their truth."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.truth.scenes import SPRITES, Beam, Scene, Thing, encoded

CAR = Thing("blue car", "automobile", 62, ((1, -60, 300), (5, 700, 300)), color="blue", flip=True)
SCENE = Scene((CAR,), seconds=6)


def test_a_scene_has_the_same_pixels_each_time() -> None:
    first, second = (SCENE.at(3.0)[0] for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, dataclasses.replace(SCENE, seed=1).at(3.0)[0])
    assert SCENE.at_night().at(3.0)[0].mean() < first.mean() / 2


def test_the_true_boxes_match_the_pixels() -> None:
    empty = Scene((), seconds=6)
    image, (seen,) = SCENE.at(3.0)
    changed = np.abs(image.astype(int) - empty.at(3.0)[0]).sum(axis=-1) > 40
    rows, columns = np.nonzero(changed)
    edges = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert np.abs(np.subtract(edges, seen.box)).max() <= 3
    x1, y1, x2, y2 = (int(edge) for edge in seen.box)
    blue, _, red = image[y1:y2, x1:x2].mean(axis=(0, 1))
    assert blue > red + 30


def test_covered_objects_are_less_visible() -> None:
    near = Thing("truck", "delivery_truck", 86, ((0, 320, 320), (6, 320, 320)))
    behind = dataclasses.replace(SCENE, things=(CAR, near))
    car, truck = behind.at(3.0)[1]
    assert (car.name, truck.name) == ("blue car", "truck")
    assert truck.visible == 1.0
    assert car.visible < 0.5
    pillar = dataclasses.replace(SCENE, pillars=((240, 100, 400, 340),))
    assert pillar.at(3.0)[1] == ()


def test_a_visit_lasts_while_the_object_is_visible() -> None:
    (visit,) = SCENE.truth(5).visits
    assert visit.name == "blue car"
    assert 1.0 <= visit.start <= 1.6
    assert 4.6 <= visit.end <= 5.0
    frames = list(SCENE.frames(5))
    assert len(frames) == 30
    assert {frame.index for frame, seen in frames if seen} == visit.boxes.keys()


def test_a_scene_can_be_written_as_a_clip(tmp_path: Path) -> None:
    scene = dataclasses.replace(SCENE, seconds=1)
    with av.open(str(scene.write(tmp_path / "scene.mp4", fps=5))) as container:
        pictures = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    assert len(pictures) == 5
    assert np.abs(pictures[2].astype(int) - scene.at(0.4)[0]).mean() < 6


def test_a_thing_may_fade_in_and_out() -> None:
    path = ((1.0, 320.0, 300.0), (5.0, 320.0, 300.0))
    scene = Scene((Thing("suitcase", "luggage", 50, path, fade_in=2, fade_out=1),), 6)
    empty = Scene((), 6).clean(0)
    moments = 1.0, 2.0, 3.0, 4.0, 4.5, 5.5
    shown = [float(np.abs(scene.clean(at) - empty).sum()) for at in moments]
    assert np.array(shown) / shown[2] == pytest.approx((0, 0.5, 1, 1, 0.5, 0), abs=0.01)
    assert [seen.visible for at in moments for seen in scene.at(at)[1]] == [0.5, 1, 1, 0.5]


def test_the_light_may_change() -> None:
    scene = Scene((), 6, dimming=((2, 1), (4, 0.5)))
    empty = Scene((), 6).clean(0)
    for at, share in ((1, 1), (3, 0.75), (5, 0.5)):
        assert np.allclose(scene.clean(at), empty * share)


@pytest.mark.parametrize(
    "trouble",
    [
        {"rain": ((0, 40),)},
        {"trees": ((0, 60, 150, 235),), "sway": 3},
        {"shake": 1.5},
        {"beams": (Beam(((0, 0, 200), (6, 640, 200)), 60, 90),)},
    ],
)
def test_what_troubles_a_camera_changes_from_frame_to_frame(trouble: dict[str, Any]) -> None:
    scene = dataclasses.replace(Scene((), 6), **trouble)
    first, second = (scene.clean(at) for at in (1.0, 1.2))
    assert np.abs(first - second).max() > 10
    assert np.array_equal(first, scene.clean(1.0))


def test_an_encoded_scene_has_all_its_frames() -> None:
    scene = Scene((CAR,), seconds=2)
    images = [frame.picture.bgr() for frame, _ in scene.frames(15)]
    pictures = [frame.to_ndarray(format="bgr24") for frame in encoded(iter(images), 15, 150_000)]
    assert len(pictures) == len(images)
    assert np.abs(pictures[20].astype(int) - images[20]).mean() < 8


def test_the_sprites_have_their_copyright_notice() -> None:
    assert "Copyright (c) Microsoft Corporation." in (SPRITES / "NOTICE").read_text()
