"""What one camera's frames cause is that camera's problem alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from streamwatch.config import Config
from streamwatch.detector.protocol import Running, View
from streamwatch.errors import StreamwatchError
from streamwatch.pipeline import pipeline as pipeline_module
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.records import Detection, Event
from streamwatch.watch.camera import CameraWatches
from tests.parts.vectors import fake_vectors
from tests.source.clips import write_clip

pytestmark = pytest.mark.slow(seconds=12)

WELL, ODD = (320, 240), (160, 120)
PATIENCE_SECONDS = 30.0


class Particular:
    """A detector that finds a red car in every picture, but breaks at those of ODD size."""

    running = Running("cpu", "torch", "full")

    def __init__(self) -> None:
        self.breaks = True
        self.broken_altogether = False

    def detect(self, views: Sequence[View]) -> list[tuple[Detection, ...]]:
        if self.broken_altogether:
            raise RuntimeError("the device is gone")
        for view in views:
            if self.breaks and view.picture.size == ODD:
                raise ValueError("a picture\nof a strange kind")
        return [(Detection("red car", 0.9, (10, 10, 90, 90)),) for _ in views]


@dataclass
class Scene:
    pipeline: Pipeline
    detector: Particular
    events: list[Event] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def of(self, camera: str) -> list[tuple[str, str | None]]:
        return [(event.type, event.reason) for event in self.events if event.camera == camera]

    def online(self, camera: str) -> bool:
        return self.pipeline.current.captures[camera].online(time.monotonic())

    def analysed(self, camera: str) -> int:
        return self.pipeline.counts.analysed[camera]


def until(met: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not met():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Scene]]:
    """Starts a pipeline with a camera `well` and a camera `odd`."""
    detector = Particular()
    monkeypatch.setattr(pipeline_module, "load_detector", lambda *_: detector)
    monkeypatch.setattr("streamwatch.source.outage.FIRST_SECONDS", 0.05)
    monkeypatch.setattr("streamwatch.source.outage.LONGEST_SECONDS", 0.2)
    fake_vectors(monkeypatch)
    config = Config.model_validate(
        {
            "detector": {"model": "toybox"},
            "cameras": {
                name: {"url": str(write_clip(tmp_path / f"{name}.mp4", size=size)), "loop": True}
                for name, size in (("well", WELL), ("odd", ODD))
            },
            "watches": {"car": {"prompt": "red car", "leave": "500ms"}},
        }
    )
    with stopped_at_the_end() as pipelines:

        def start() -> Scene:
            events: list[Event] = []
            problems: list[tuple[str, str]] = []
            pipeline = Pipeline(
                config,
                publish=events.append,
                on_problem=lambda camera, sentence: problems.append((camera, sentence)),
            )
            pipelines.append(pipeline)
            pipeline.start()
            return Scene(pipeline, detector, events, problems)

        yield start


@contextmanager
def stopped_at_the_end() -> Iterator[list[Pipeline]]:
    pipelines: list[Pipeline] = []
    yield pipelines
    for pipeline in pipelines:
        pipeline.stop(5.0)
    assert "detector" not in {thread.name for thread in threading.enumerate()}


def test_a_frame_that_the_detector_cannot_take_is_its_cameras_problem(
    running: Callable[[], Scene],
) -> None:
    scene = running()
    until(lambda: scene.analysed("well") >= 10 and scene.problems)
    assert scene.problems == [
        ("odd", "its frames can't be analysed (ValueError: a picture)"),
    ]
    assert scene.online("well")
    assert not scene.online("odd")
    assert scene.analysed("odd") == 0
    assert not scene.pipeline.failures
    assert not scene.pipeline.ended
    scene.detector.breaks = False
    until(lambda: scene.online("odd") and scene.of("odd"))
    assert scene.of("odd") == [("new", None)]


def test_a_camera_whose_frames_become_unfit_loses_its_visits(
    running: Callable[[], Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = running()
    scene.detector.breaks = False
    until(lambda: scene.of("odd") and scene.of("well"))
    scene.detector.breaks = True
    until(lambda: len(scene.of("odd")) > 1)
    assert scene.of("odd") == [("new", None), ("end", "lost")]
    assert scene.of("well") == [("new", None)]


@pytest.mark.parametrize("method", ["update", "lost", "open_visits"])
def test_what_a_watcher_raises_is_its_cameras_problem(
    running: Callable[[], Scene], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    breaks = threading.Event()
    usual = getattr(CameraWatches, method)

    def breaking(self: CameraWatches, *arguments: object) -> object:
        if breaks.is_set() and self._camera == "odd":
            raise ZeroDivisionError("a strange visit")
        return usual(self, *arguments)

    monkeypatch.setattr(CameraWatches, method, breaking)
    monkeypatch.setattr("streamwatch.pipeline.analysis.REMEMBER_SECONDS", 0.1)
    scene = running()
    scene.detector.breaks = False
    until(lambda: scene.of("odd") and scene.of("well"))
    breaks.set()
    if method == "lost":
        scene.detector.breaks = True
    until(lambda: scene.problems)
    said = scene.problems[0]
    assert said[0] == "odd"
    assert "can't be analysed (" in said[1]
    seen = scene.analysed("well")
    until(lambda: scene.analysed("well") > seen + 5)
    assert scene.of("well") == [("new", None)]
    if method != "open_visits":
        until(lambda: ("end", "lost") in scene.of("odd"))
    assert not scene.pipeline.failures


def test_a_detector_that_cannot_even_take_an_empty_picture_has_failed(
    running: Callable[[], Scene],
) -> None:
    scene = running()
    until(lambda: scene.of("well"))
    scene.detector.broken_altogether = True
    with pytest.raises(
        StreamwatchError, match=r"^the detector failed: RuntimeError: the device is gone$"
    ):
        scene.pipeline.wait(PATIENCE_SECONDS)
    assert scene.of("well") == [("new", None), ("end", "shutdown")]


def test_a_look_that_fails_is_answered_and_ends_nothing(running: Callable[[], Scene]) -> None:
    scene = running()
    scene.detector.breaks = False
    until(lambda: scene.analysed("odd"))
    words = scene.pipeline.current.vocabularies.of_cameras["odd"]
    usual = scene.detector.detect

    def breaking(views: Sequence[View]) -> list[tuple[Detection, ...]]:
        if any(view.vocabulary is words and view.floor < 0.1 for view in views):
            raise ValueError("strange words")
        return usual(views)

    scene.detector.detect = breaking  # type: ignore[method-assign]
    with pytest.raises(
        StreamwatchError, match=r"^the detector can't look for that \(ValueError: strange words\)$"
    ):
        scene.pipeline.look("odd", words).result(PATIENCE_SECONDS)
    seen = scene.analysed("odd")
    until(lambda: scene.analysed("odd") > seen)


def test_an_exchange_that_fails_reaches_whoever_waits_for_it(
    running: Callable[[], Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = running()
    until(lambda: scene.of("well"))

    def breaking(*_: object) -> Iterable[Event]:
        raise ZeroDivisionError("a strange change")

    monkeypatch.setattr(pipeline_module, "take_over", breaking)
    with pytest.raises(ZeroDivisionError):
        scene.pipeline.exchange(scene.pipeline.prepare(scene.pipeline.current.config))
    until(lambda: scene.pipeline.failures)
