"""Words tried with the real detector, on the bundled clip and on pictures of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from streamwatch.config import CameraSettings, Config, DetectorSettings, WatchSettings
from streamwatch.detector.protocol import Detector
from streamwatch.errors import StreamwatchError
from streamwatch.geometry import iou
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.records import Detection, Event, Frame
from streamwatch.tuning.document import document
from streamwatch.tuning.footage import Footage, footage
from streamwatch.tuning.seen import MOST_NEAR_MISSES, Alert
from streamwatch.tuning.trial import Run, Trial, tried
from streamwatch.tuning.truth import read_truth
from tests.parts import IMAGE_SIZE, STREET_CLIP
from tests.parts.vectors import keep_usual_vectors
from tests.truth import FOLDER, street

pytestmark = pytest.mark.slow(seconds=60)

TRUTH = FOLDER / "street.truth.json"
PROMPTS = ("red car", "dog", "pedestrian", "cat")
AT = (0.1, 0.3, 0.5, 0.7, 0.85)


class Told:
    """Notes what a trial tells."""

    def __init__(self) -> None:
        self.hits: list[tuple[str, float | None]] = []
        self.problems: list[str] = []
        self.frames = 0
        self.on_hit: Callable[[], None] = lambda: None
        self.on_frame: Callable[[], None] = lambda: None

    def hit(self, watch: str, alert: Alert, /) -> None:
        self.hits.append((watch, alert.position))
        self.on_hit()

    def frame(self, _footage: Footage, _frame: Frame, _found: Sequence[Detection], /) -> None:
        self.frames += 1
        self.on_frame()

    def turn(self, _run: Run, /) -> None:
        pass

    def problem(self, _footage: Footage, sentence: str, /) -> None:
        self.problems.append(sentence)


def config(*prompts: str, **keys: Any) -> Config:
    return Config(
        detector=DetectorSettings(model="toybox", device="cpu", image_size=IMAGE_SIZE),
        cameras={"unused": CameraSettings(url="/dev/video9")},
        watches={
            prompt.replace(" ", "-"): WatchSettings.model_validate({"prompt": [prompt], **keys})
            for prompt in prompts
        },
    )


def on(named: str | Path, fps: float = 5) -> Footage:
    (found,) = footage([str(named)], {}, None, fps)
    return found


@pytest.fixture(scope="module")
def clip_trial() -> Trial:
    """The bundled clip, looked at twice a second. Loads the detector."""
    keep_usual_vectors()
    trial = Trial(config(*PROMPTS), Told())
    trial.run(on(STREET_CLIP, fps=2), threading.Event())
    return trial


@pytest.fixture(scope="module")
def detector(clip_trial: Trial) -> Detector:
    """For the other trials, which need not load it again."""
    assert clip_trial.detector is not None
    return clip_trial.detector


def alerts(events: Sequence[Event], watch: str) -> list[tuple[Any, ...]]:
    return [
        (e.prompt, e.position, e.zones, (e.confidence, *e.box))
        for e in events
        if e.type == "new" and e.watch == watch
    ]


@pytest.mark.parametrize("threshold", AT)
def test_the_sweep_gives_the_alerts_of_a_run_with_that_threshold(
    clip_trial: Trial, threshold: float
) -> None:
    events: list[Event] = []
    asked = config(*PROMPTS, confidence=threshold)
    run = tried(asked, on(STREET_CLIP, fps=2))
    with Pipeline(run, publish=events.append, detector=clip_trial.detector) as pipeline:
        assert pipeline.wait(120)
    assert any(alerts(events, watch) for watch in asked.watches)
    for watch, seen in clip_trial.seen.items():
        swept = [
            (a.prompt, a.position, a.zones, (a.confidence, *a.box)) for a in seen.alerts[threshold]
        ]
        ran = alerts(events, watch)
        assert [each[:3] for each in swept] == [each[:3] for each in ran]
        for ours, theirs in zip(swept, ran, strict=True):  # threads sum up in any order
            assert ours[3] == pytest.approx(theirs[3], abs=1e-4)


def test_the_suggested_threshold_does_as_well_as_the_best(clip_trial: Trial) -> None:
    found = document(clip_trial, config(*PROMPTS), read_truth(TRUTH))
    for watch in ("red-car", "dog", "pedestrian"):
        told = found["watches"][watch]
        suggested, best = told["suggested"], told["best"]
        row = min(told["sweep"], key=lambda r: abs(r["confidence"] - suggested["confidence"]))
        assert (row["precision"], row["recall"]) == (best["precision"], best["recall"]) == (1, 1)
    cat = found["watches"]["cat"]
    assert cat["best"] == {
        "confidence": cat["best"]["confidence"],
        "right": 0,
        "wrong": 0,
        "missed": 0,
        "precision": None,
        "recall": None,
    }
    assert {pair["other_prompt"] for pair in cat["together"]} == {"dog"}


def test_what_beats_a_prompt_is_counted(detector: Detector) -> None:
    words = config("cat", **{"not": ["dog"]})
    trial = Trial(words, Told(), detector)
    trial.run(on(STREET_CLIP, fps=2), threading.Event())
    found = document(trial, words)["watches"]["cat"]
    assert found["visits"] == []
    assert found["beaten_by"]["dog"] >= 3
    assert any(miss["reason"].startswith('beaten by "dog"') for miss in found["near_misses"])
    assert json.loads(json.dumps(found)) == found


def test_a_stop_keeps_what_was_done(detector: Detector) -> None:
    told, stop = Told(), threading.Event()
    told.on_hit = stop.set
    trial = Trial(config("red car", "dog"), told, detector)
    run = trial.run(on(STREET_CLIP), stop)
    assert not run.complete
    assert 0 < run.frames < 200
    assert [watch for watch, _ in told.hits] == ["red-car"]
    assert len(trial.seen["red-car"].visits) == 1
    assert trial.seen["red-car"].visits[0].reason == "shutdown"


def test_what_can_not_be_written_ends_a_trial(detector: Detector) -> None:
    told = Told()

    def write() -> None:
        raise StreamwatchError("out can't be written: No space left on device")

    told.on_frame = write
    trial = Trial(config("red car"), told, detector)
    with pytest.raises(StreamwatchError, match=r"^out can't be written: No space left on device$"):
        trial.run(on(STREET_CLIP), threading.Event())
    assert told.frames == 1


def test_a_clip_is_looked_at_for_so_many_of_its_seconds(detector: Detector) -> None:
    run = Trial(config("red car"), Told(), detector).run(
        on(STREET_CLIP), threading.Event(), seconds=5
    )
    assert run.complete
    assert 5 <= run.position < 39


def test_a_clip_that_can_not_be_read_is_told_once_and_left(
    detector: Detector, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no clip at all")
    told = Told()
    trial = Trial(config("dog"), told, detector)
    run = trial.run(on(broken), threading.Event())
    assert run.problem is not None
    assert "broken.mp4" in run.problem
    assert (run.frames, run.complete, len(told.problems)) == (0, False, 1)
    assert trial.run(on(STREET_CLIP, fps=1), threading.Event()).complete


# --- pictures -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every second a picture of the clip, with COCO's annotations of what is in it."""
    folder = tmp_path_factory.mktemp("pictures")
    truth, clip = street(), cv2.VideoCapture(str(STREET_CLIP))
    names = sorted({visit.name for visit in truth.visits})
    images, annotations = [], []
    for number in range(600):
        done, image = clip.read()
        if not done or number % 15:
            continue
        name = f"{number:04}.png"
        cv2.imwrite(str(folder / name), image)
        images.append({"id": number, "file_name": f"some/where/{name}"})
        annotations += [
            {
                "image_id": number,
                "category_id": names.index(visit.name),
                "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            }
            for visit in truth.visits
            if (box := visit.boxes.get(number)) is not None and box[2] - box[0] > 25
        ]
    categories = [{"id": place, "name": name} for place, name in enumerate(names)]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "coco.json").write_text(json.dumps(coco))
    return folder


def test_each_picture_stands_for_itself(detector: Detector, pictures: Path) -> None:
    words = config("red car", dwell="10s", cooldown="1h", active="mon 03:00-03:01")
    trial = Trial(words, Told(), detector)
    of = on(pictures)
    run = trial.run(of, threading.Event())
    assert run.complete
    assert run.frames == len(of.pictures) == 40
    told = trial.seen["red-car"].alerts[0.3]
    places = [of.place(alert.position or 0.0) for alert in told]
    assert len(set(places)) == len(places) >= 3
    truth = street()
    for alert, place in zip(told, places, strict=True):
        box = truth.box("red car", int(Path(place).stem) / 15)
        assert box is not None
        assert iou(box, alert.box) > 0.5


def test_annotations_of_pictures_give_precision_and_recall(
    detector: Detector, pictures: Path
) -> None:
    trial = Trial(config("red car", "dog"), Told(), detector)
    trial.run(on(pictures), threading.Event())
    found = document(trial, config("red car", "dog"), read_truth(pictures / "coco.json"))
    for watch in found["watches"].values():
        assert watch["best"]["precision"] >= 0.9
        assert watch["best"]["recall"] >= 0.6
        least = [row["right"] + row["missed"] for row in watch["sweep"]]
        assert len(set(least)) == 1
        assert least[0] >= 3


def test_a_picture_that_can_not_be_read_is_told_and_left_out(
    detector: Detector, pictures: Path, tmp_path: Path
) -> None:
    names = sorted(pictures.glob("*.png"))[4:7]
    for name in names:
        (tmp_path / name.name).symlink_to(name)
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    (tmp_path / "b.jpg").write_bytes(b"")
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((4, 4, 3), np.uint8))
    told = Told()
    trial = Trial(config("red car"), told, detector)
    run = trial.run(on(tmp_path), threading.Event())
    assert (run.frames, run.unreadable_count, run.complete) == (3, 3, True)
    assert run.unreadable == told.problems
    assert [problem.split(": ")[0] for problem in told.problems] == [
        str(tmp_path / name) for name in ("a.jpg", "b.jpg", "small.png")
    ]


def test_of_many_things_only_some_thumbnails_are_kept(
    detector: Detector, pictures: Path, tmp_path: Path
) -> None:
    source = pictures / "0075.png"
    for number in range(40):
        (tmp_path / f"{number}.png").symlink_to(source)
    trial = Trial(config("red car", "dog", confidence=0.95), Told(), detector)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamwatch.tuning.seen.MOST_THUMBNAILS", 10)
        trial.run(on(tmp_path), threading.Event())
    seen = trial.seen["red-car"]
    assert len(seen.alerts[0.5]) == 40
    assert len(seen.thumbnails) == 10
    assert len(trial.near_misses("red-car")) == MOST_NEAR_MISSES


# --- what people name -----------------------------------------------------------------------------


def test_a_folder_holds_pictures_and_clips(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one.png").symlink_to(next(pictures.glob("*.png")))
    (tmp_path / "clip.mp4").symlink_to(STREET_CLIP)
    (tmp_path / "notes.txt").write_text("no picture")
    found = footage([str(tmp_path)], {}, None, None)
    assert [(each.kind, each.name) for each in found] == [
        ("pictures", "1-picture"), ("clip", "clip"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("streat", "streat is no file, no folder and no camera; did you mean 'street'?"),
        ("nowhere/at/all.mp4", "nowhere/at/all.mp4 is no file, no folder and no camera"),
        ("rtsp://", "url: 'rtsp://' "),
        ("a\0b", "a\0b is no file, no folder and no camera"),
    ],
)
def test_what_is_not_there_is_told(name: str, told: str) -> None:
    cameras = {"street": CameraSettings(url="bundled:street")}
    with pytest.raises(StreamwatchError) as raised:
        footage([name], cameras, None, None)
    assert str(raised.value).startswith(told)


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(StreamwatchError, match="holds no pictures and no clips"):
        footage([str(tmp_path)], {}, None, None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{}", "holds neither `frames`"),
        ("[1]", "holds neither `frames`"),
        ("{", "is no truth that can be read"),
        ('{"frames": [[{"id": 1}]], "fps": 15, "size": [1, 1]}', "is no truth that can be read"),
        ('{"frames": [], "fps": 0, "size": [1, 1]}', "fps is 0"),
        ('{"annotations": [{}], "images": [], "categories": []}', "is no truth that can be read"),
        ('{"annotations": 3}', "is no truth that can be read"),
    ],
)
def test_a_truth_that_can_not_be_read_is_told(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "truth.json"
    path.write_text(content)
    with pytest.raises(StreamwatchError) as raised:
        read_truth(path)
    assert told in str(raised.value)
    with pytest.raises(StreamwatchError, match="can't be read"):
        read_truth(tmp_path / "none.json")
