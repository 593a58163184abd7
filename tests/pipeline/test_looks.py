"""Who takes the second looks of a configuration, with real checkpoints and towers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamwatch import Pipeline
from streamwatch.config import Config
from streamwatch.errors import DetectorError, UnavailableSetting
from streamwatch.pixels import Pixels
from streamwatch.records import Detection, Event, Frame, SecondLook
from streamwatch.second_look.kinds import all_rivals
from streamwatch.second_look.looking import Lane
from streamwatch.second_look.process import TowerProcess
from tests.parts import STREET_CLIP, made_once
from tests.parts.checkpoints import SMALL, clip_folder, world_checkpoint
from tests.truth.scenes import START

pytestmark = [pytest.mark.usefixtures("encoded_here"), pytest.mark.slow(seconds=40)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YOLO-World checkpoint, a whole CLIP, and one's text tower alone, all tiny."""

    def make(folder: Path) -> None:
        world_checkpoint("yolov8s-worldv2", folder / "mine.pt")
        clip_folder(folder / "whole", whole=True)
        clip_folder(folder / "text")

    return made_once(tmp_path_factory, "looks", make)


def config(made: Path, clip: str, second_look: object = "note", **watch: Any) -> Config:
    return Config.model_validate(
        {
            "detector": {
                "model": str(made / "mine.pt"),
                "text_encoder": str(made / clip),
                "device": "cpu",
                "image_size": SMALL,
                "confidence": 0.01,
            },
            "cameras": {"street": {"url": "bundled:street", "pace": False, "fps": 0.5}},
            "watches": {"car": {"prompt": "red car", "second_look": second_look, **watch}},
        }
    )


@pytest.fixture(scope="module")
def frame() -> Frame:
    with av.open(str(STREET_CLIP)) as clip:
        picture = next(clip.decode(video=0)).to_ndarray(format="bgr24").astype(np.uint8)
    return Frame("street", 0, START, 0.0, None, Pixels(picture))


@pytest.fixture
def pipeline(made: Path) -> Iterator[Pipeline]:
    with Pipeline(config(made, "whole"), publish=lambda _: None) as running:
        yield running


def test_a_folder_with_a_whole_clip_looks_with_its_image_tower(
    pipeline: Pipeline, frame: Frame
) -> None:
    (looker,) = pipeline.current.looks.lookers.by_key.values()
    assert isinstance(looker.by, TowerProcess)
    vectors = pipeline.encode(("red car", "truck", *all_rivals())).result(60)
    detections = [
        Detection("red car", 0.9, (100, 100, 200, 180)),
        Detection("truck", 0.5, (0, 0, 50, 50)),
    ]
    first, second = pipeline.look_again(frame, detections, vectors).result(60)
    for finding in (first, second):
        assert finding.failure is None
        assert finding.by == "clip"
        assert finding.score is not None
        assert 0 <= finding.score <= 1
    again = pipeline.look_again(frame, detections, vectors).result(60)
    assert [finding.score for finding in again] == [first.score, second.score]


def test_looks_reach_the_events_with_a_clip_of_its_own(made: Path) -> None:
    found: list[Event] = []
    settings = config(made, "whole", appear={"hits": 1}, leave="10s")
    with Pipeline(settings, publish=found.append) as running:
        assert running.wait(120)
    ends = [event for event in found if event.type == "end"]
    assert ends, "random weights find something at this threshold"
    for event in ends:
        assert isinstance(event.second_look, SecondLook)
        assert event.second_look.by == "clip"


def test_a_folder_with_the_text_tower_alone_is_an_error_of_the_watch(made: Path) -> None:
    with pytest.raises(UnavailableSetting) as caught:
        Pipeline(config(made, "text"), publish=lambda _: None)
    assert caught.value.path == "watches.car.second_look"
    assert "has no image tower" in str(caught.value)
    with Pipeline(config(made, "text", "off"), publish=lambda _: None) as running:
        with pytest.raises(DetectorError, match="has no image tower"):
            running.require_image_tower()
        with pytest.raises(UnavailableSetting):
            running.prepare(config(made, "text"))


def test_looking_again_loads_a_tower_for_that_alone(made: Path, frame: Frame) -> None:
    closed: list[Lane] = []
    close = Lane.close

    def note(lane: Lane) -> None:
        closed.append(lane)
        close(lane)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lane, "close", note)
        with Pipeline(config(made, "whole", "off"), publish=lambda _: None) as running:
            assert not running.current.looks.lookers.by_key
            vectors = running.encode(("dog", *all_rivals())).result(60)
            dog = Detection("dog", 0.4, (10, 10, 90, 90))
            (finding,) = running.look_again(frame, [dog], vectors).result(60)
            assert finding.failure is None
            assert len(closed) == 1
            assert running.look_again(frame, [], vectors).result(60) == ()


def test_a_language_model_needs_no_image_tower(made: Path) -> None:
    ask = {"ask": "Is it?", "url": "http://127.0.0.1:9/v1", "model": "none"}
    found: list[Event] = []
    settings = config(made, "text", {"mode": "require", **ask}, appear={"hits": 1})
    with Pipeline(settings, publish=found.append) as running:
        assert running.wait(120)
    news = [event for event in found if event.type == "new"]
    assert {event.second_look and event.second_look.decided for event in news} == {"skipped"}
