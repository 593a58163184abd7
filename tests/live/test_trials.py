"""Words tried on a camera beside its watches, by the real detector on the bundled clip."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

import pytest

from streamwatch.config import CameraSettings, Config, DetectorSettings, WatchSettings
from streamwatch.errors import StreamwatchError
from streamwatch.live import trials as trials_module
from streamwatch.live.trials import MOST_TRIALS, TRIAL, Trial, Trials, Words
from streamwatch.pictures.shots import Shot
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.records import Event
from tests.parts import IMAGE_SIZE
from tests.parts.waiting import wait_until

PATIENCE_SECONDS = 60.0


class Tried:
    """A trial, and what it has given so far."""

    def __init__(self, trials: Trials, *prompts: str, camera: str = "street") -> None:
        self.given: queue.Queue[Shot | str] = queue.Queue()
        watch = WatchSettings(prompt=prompts)
        self.trial: Trial = trials.begin(Words(camera, watch, 480), self.given.put)

    def next(self) -> Shot | str:
        return self.given.get(timeout=PATIENCE_SECONDS)

    def shot(self) -> Shot:
        found = self.next()
        assert isinstance(found, Shot)
        return found


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return []


@pytest.fixture(scope="module")
def pipeline(events: list[Event]) -> Iterator[Pipeline]:
    config = Config(
        detector=DetectorSettings(model="toybox", device="cpu", image_size=IMAGE_SIZE),
        cameras={
            "street": CameraSettings(url="bundled:street", loop=True),
            "gone": CameraSettings(url="rtsp://127.0.0.1:9/none"),
        },
        watches={"dog": WatchSettings(prompt=("dog",))},
    )
    with Pipeline(config, publish=events.append) as running:
        yield running


@pytest.fixture
def trials(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Trials:
    monkeypatch.setattr(trials_module, "LEAST_SECONDS", 0.0)
    wait_until(lambda: pipeline.current.cameras["street"].capture.online(time.monotonic()))
    return Trials(pipeline)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "trial"]


def test_words_are_found_beside_those_of_the_watches(trials: Trials, events: list[Event]) -> None:
    tried = Tried(trials, "truck", "red car")
    best: dict[str, float] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while max(best.values(), default=0.0) < 0.5:
        assert time.monotonic() < deadline
        shot = tried.shot()
        assert (shot.camera, shot.size, shot.jpeg[:2]) == ("street", (640, 360), b"\xff\xd8")
        for mark in shot.marks:
            assert mark.watches in ((TRIAL,), ())
            best[mark.prompt] = max(best.get(mark.prompt, 0.0), mark.confidence)
        tried.trial.want()
    assert set(best) <= {"truck", "red car"}
    tried.trial.close()
    assert all(event.watch == "dog" for event in events)


def test_it_looks_again_only_for_one_who_wants_that(trials: Trials) -> None:
    tried = Tried(trials, "truck")
    tried.shot()
    with pytest.raises(queue.Empty):
        tried.given.get(timeout=0.5)
    tried.trial.want()
    tried.shot()
    tried.trial.close()


def test_so_many_are_tried_and_no_more_until_one_ends(trials: Trials) -> None:
    under_way = [Tried(trials, "truck") for _ in range(MOST_TRIALS)]
    with pytest.raises(StreamwatchError, match="words are tried in 2 places already"):
        Tried(trials, "dog")
    for tried in under_way:
        tried.shot()
        tried.trial.close()
    wait_until(lambda: not threads())
    more = Tried(trials, "dog")
    more.shot()
    more.trial.close()
    wait_until(lambda: not threads())
    assert more.given.empty()


def test_an_offline_camera_is_told_and_does_not_end_the_trial(
    trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials_module, "LOOK_SECONDS", 0.05)
    tried = Tried(trials, "truck", camera="gone")
    said = [tried.next(), tried.next()]
    assert all(str(each).startswith("gone is offline: ") for each in said)
    tried.trial.close()
    none = Tried(trials, "truck", camera="nowhere")
    assert none.next() == "nowhere is none of the cameras"
    none.trial.close()


def test_another_configuration_meanwhile_is_what_is_tried_beside(
    trials: Trials, pipeline: Pipeline
) -> None:
    tried = Tried(trials, "truck")
    tried.shot()
    config = pipeline.current.config.model_copy(
        update={"watches": {"cat": WatchSettings(prompt=("cat",))}}
    )
    pipeline.exchange(pipeline.prepare(config))
    for _ in range(3):
        tried.trial.want()
        tried.shot()
    tried.trial.close()
