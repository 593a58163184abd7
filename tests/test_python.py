"""The Python API, without a configuration file or a broker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamwatch import Detector, Pipeline
from streamwatch.config import Config
from streamwatch.config.catalogue import MODELS
from streamwatch.errors import DetectorError
from streamwatch.geometry import iou
from streamwatch.records import Event, Image
from tests.parts import STREET_CLIP
from tests.truth import street

MOMENT = 6.0
"""Seconds into the clip: a red car is there, and a pedestrian."""


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector("toybox")


@pytest.fixture(scope="module")
def image() -> Image:
    with av.open(str(STREET_CLIP)) as clip:
        for picture in clip.decode(video=0):
            if picture.time is not None and picture.time >= MOMENT:
                return picture.to_ndarray(format="bgr24").astype(np.uint8)
    raise AssertionError("the clip is shorter")


def test_a_detector_finds_the_given_prompts(detector: Detector, image: Image) -> None:
    truth = street()
    there = {
        visit.name: visit.boxes[round(MOMENT * truth.fps)]
        for visit in truth.visits
        if round(MOMENT * truth.fps) in visit.boxes
    }
    found = detector.find(image, [*there, "elephant"])
    assert there
    assert {detection.prompt for detection in found} == set(there)
    for detection in found:
        assert iou(detection.box, there[detection.prompt]) > 0.7
    assert [d.confidence for d in found] == sorted((d.confidence for d in found), reverse=True)
    assert detector.find(image, ["red car"], confidence=0.999) == []


def test_where_no_confidence_is_given_it_is_the_models_own(
    detector: Detector, image: Image
) -> None:
    prompts = ["red car", "truck", "vehicle"]
    found = detector.find(image, prompts)
    assert found == detector.find(image, prompts, confidence=MODELS["toybox"].confidence)
    assert len(found) < len(detector.find(image, prompts, confidence=0.05))


@pytest.mark.parametrize(
    ("prompts", "said"),
    [("red car", "write a list"), ([], "one text or more"), (["dog", " "], "none of them empty")],
)
def test_prompts_that_are_no_list_of_texts_are_refused(
    detector: Detector, image: Image, prompts: Sequence[str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        detector.find(image, prompts)


def test_an_argument_that_is_no_image_is_refused(detector: Detector, image: Image) -> None:
    with pytest.raises(ValueError, match="NoneType; was the file read"):
        detector.find(None, ["dog"])  # type: ignore[arg-type]
    wrongs: list[Any] = [image[..., 0], image.astype(np.float32), image[:0]]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="must be \\(height, width, 3\\) uint8"):
            detector.find(wrong, ["dog"])


def test_a_wrong_model_gives_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(
        DetectorError, match=r"^model: 'toybx' is not a model; did you mean 'toybox'"
    ):
        Detector("toybx")
    with pytest.raises(DetectorError, match=r"^text_encoder: a model by its path needs"):
        Detector(tmp_path / "mine.pt")
    with pytest.raises(DetectorError, match=r"^detector\.precision: half needs detector\.backend"):
        Detector("toybox", device="cpu", backend="torch", precision="half")
    with pytest.raises(DetectorError, match=r"mine\.pt does not exist"):
        Detector(tmp_path / "mine.pt", text_encoder="minilm")


def test_a_pipeline_gives_events_without_a_broker() -> None:
    config = Config.model_validate(
        {
            "detector": {"model": "toybox"},
            "cameras": {"street": {"url": "bundled:street", "pace": False, "fps": 2}},
            "watches": {"car": {"prompt": "red car"}},
        }
    )
    events: list[Event] = []
    with Pipeline(config, publish=events.append) as pipeline:
        assert pipeline.wait(timeout=90)
    assert [(event.watch, event.type) for event in events if event.type != "update"] == [
        ("car", "new"),
        ("car", "end"),
    ]


def test_import_streamwatch_loads_no_heavy_libraries() -> None:
    code = (
        "import sys, streamwatch; "
        "print(*sorted({'torch', 'pydantic', 'yaml', 'numpy', 'av', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
