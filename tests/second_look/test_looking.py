"""The lane of one tower or language model: order, failures, its end; and looks by a question."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import cast

import cv2
import numpy as np
import pytest

from streamwatch.errors import DetectorError, StreamwatchError
from streamwatch.geometry import Box
from streamwatch.pixels import Pixels
from streamwatch.records import Finding, Image, LookRequest
from streamwatch.second_look import looking
from streamwatch.second_look.contrast import Contrast
from streamwatch.second_look.language_model import LanguageModel
from streamwatch.second_look.looking import (
    MOST_WAITING,
    ByQuestion,
    ByWords,
    Lane,
    Look,
)
from streamwatch.second_look.process import TowerProcess
from tests.parts import free_port
from tests.parts.language_model import Reply, refuses, says, sends, serving, silent, writes

SECONDS = 60.0
"""For what comes at once."""
FULL = f"more than {MOST_WAITING} second looks wait"
STOPPING = "the second look is stopping"


def request(visit: int = 1, image: Image | None = None, box: Box = (10, 10, 20, 20)) -> LookRequest:
    frame = np.zeros((90, 160, 3), np.uint8) if image is None else image
    return LookRequest("porch", "dogs", visit, Pixels(frame), box)


@dataclass
class Held:
    """A look that takes until it is released, and then gives the visit's number as its score."""

    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    released: threading.Event = field(default_factory=threading.Event)
    looked_at: list[int] = field(default_factory=list)

    def __call__(self, request: LookRequest) -> Finding:
        self.begun.release()
        assert self.released.wait(SECONDS)
        self.looked_at.append(request.visit)
        return Finding("clip", confirms=True, score=float(request.visit))


def confirming(_: LookRequest) -> Finding:
    return Finding("clip", confirms=True, score=1.0)


def failing(error: Exception) -> Look:
    def look(_: LookRequest) -> Finding:
        raise error

    return look


Told = list[str | None]
"""What a lane has told."""


@pytest.fixture(autouse=True)
def _ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "CHECK_SECONDS", 0.01)


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def lane(told: Told) -> Iterator[Lane]:
    lane = Lane("clip", "second-look", told.append)
    yield lane
    lane.close()
    lane.join(SECONDS)


@pytest.fixture
def vlm(told: Told) -> Iterator[Lane]:
    lane = Lane("vlm", "language-model", told.append)
    yield lane
    lane.close()
    lane.join(SECONDS)


def found(future: Future[Finding]) -> Finding:
    return future.result(SECONDS)


def failure_of(future: Future[Finding]) -> str:
    finding = found(future)
    assert not finding.confirms
    assert finding.failure is not None
    assert finding == Finding("clip", confirms=False, failure=finding.failure)
    return finding.failure


def test_looks_are_made_in_the_order_in_which_they_came(lane: Lane) -> None:
    held = Held()
    futures = [lane.look(held, request(visit)) for visit in range(10)]
    assert not any(future.done() for future in futures)
    held.released.set()
    assert [found(future).score for future in futures] == [*range(10)]
    assert held.looked_at == [*range(10)]


def test_how_long_a_look_takes_is_told_with_what_it_found(lane: Lane) -> None:
    milliseconds = found(lane.look(confirming, request())).milliseconds
    assert milliseconds is not None
    assert milliseconds >= 0


def test_a_look_too_many_fails_at_once(lane: Lane, told: Told) -> None:
    held = Held()
    under_way = lane.look(held, request())
    assert held.begun.acquire(timeout=SECONDS)
    waiting = [lane.look(held, request()) for _ in range(MOST_WAITING)]
    too_many = lane.look(held, request())
    assert too_many.done()
    assert failure_of(too_many) == FULL
    assert not under_way.done()
    held.released.set()
    assert all(found(future).confirms for future in (under_way, *waiting))
    assert told == []


def test_a_failure_is_told_once_and_so_is_its_end(lane: Lane, told: Told) -> None:
    looks: list[Look] = [
        confirming,
        failing(DetectorError("the tower is broken")),
        failing(DetectorError("the tower is still broken")),
        confirming,
        confirming,
        failing(StreamwatchError("another")),
        confirming,
    ]
    futures = [lane.look(look, request()) for look in looks]
    assert [found(future).failure for future in futures] == [
        None, "the tower is broken", "the tower is still broken", None, None, "another", None,
    ]  # fmt: skip
    assert told == ["the tower is broken", None, "another", None]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("one line\nand another"), "ValueError: one line"),
        (cv2.error(), "error"),
        (MemoryError(), "MemoryError"),
        (OSError("no rtsp://me:secret@cam/1"), "OSError: no rtsp://me:***@cam/1"),
    ],
)
def test_what_nobody_foresaw_is_a_failure_of_one_line(
    lane: Lane, told: Told, error: Exception, said: str
) -> None:
    assert failure_of(lane.look(failing(error), request())) == said
    assert found(lane.look(confirming, request())).confirms
    assert told == [said, None]


def test_closing_answers_what_waits_and_what_comes_later(told: Told) -> None:
    ended = threading.Event()
    lane = Lane("clip", "second-look", told.append, end=ended.set)
    held = Held()
    under_way = lane.look(held, request())
    assert held.begun.acquire(timeout=SECONDS)
    waiting = [lane.look(held, request()) for _ in range(3)]
    lane.close()
    assert not ended.is_set()
    held.released.set()
    assert found(under_way).confirms
    assert [failure_of(future) for future in waiting] == [STOPPING] * 3
    assert ended.wait(SECONDS)
    assert failure_of(lane.look(held, request())) == STOPPING
    lane.join(SECONDS)
    assert failure_of(lane.look(held, request())) == STOPPING
    assert told == []


def test_a_look_that_is_broken_off_by_closing_is_no_problem(told: Told) -> None:
    lane = Lane("clip", "second-look", told.append)
    begun, broken_off = threading.Event(), threading.Event()

    def look(_: LookRequest) -> Finding:
        begun.set()
        assert broken_off.wait(SECONDS)
        raise DetectorError("is not asked any more")

    under_way = lane.look(look, request())
    assert begun.wait(SECONDS)
    lane.close()
    broken_off.set()
    assert failure_of(under_way) == "is not asked any more"
    lane.join(SECONDS)
    assert told == []


def test_a_problem_ends_with_the_lane(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """As after an edit that looks elsewhere: nobody would ever tell that it works again."""
    caplog.set_level("INFO")
    lane = Lane("clip", "second-look", told.append)
    failure_of(lane.look(failing(DetectorError("broken")), request()))
    lane.close()
    lane.join(SECONDS)
    assert told == ["broken", None]
    assert "again" not in caplog.text, "it does not work again"


def test_that_looks_work_again_is_logged(lane: Lane, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    failure_of(lane.look(failing(DetectorError("broken")), request()))
    assert "again" not in caplog.text
    assert found(lane.look(confirming, request())).confirms
    assert "second looks by second-look can be made again" in caplog.text


def test_a_lane_is_ready_when_it_has_started(told: Told) -> None:
    started = threading.Event()

    def start() -> None:
        assert started.wait(SECONDS)

    lane = Lane("clip", "second-look", told.append, start=start)
    assert not lane.ready.done()
    waiting = lane.look(confirming, request())
    started.set()
    lane.ready.result(SECONDS)
    assert found(waiting).confirms
    lane.close()


def test_a_lane_that_can_not_start_says_so_and_looks_all_the_same(told: Told) -> None:
    def start() -> None:
        raise DetectorError("no such tower")

    lane = Lane("clip", "second-look", told.append, start=start)
    with pytest.raises(DetectorError, match="no such tower"):
        lane.ready.result(SECONDS)
    assert found(lane.look(confirming, request())).confirms
    lane.close()


@dataclass
class Tower:
    """Keeps the crops that it is asked about, and finds each to be like the first word."""

    crops: list[Image] = field(default_factory=list)

    def encode(self, crop: Image) -> tuple[np.ndarray, float]:
        self.crops.append(crop)
        return np.eye(512, dtype=np.float32)[0], 1.0


@pytest.mark.parametrize(("at_least", "confirms"), [(0.5, True), (0.7, True), (0.75, False)])
def test_a_look_by_words_confirms_from_its_share_on(at_least: float, confirms: bool) -> None:
    """e / (e + 1) is 0.73."""
    tower = Tower()
    words = Contrast(("dog",), ("fox",), np.eye(2, 512, dtype=np.float32))
    look = ByWords(cast(TowerProcess, tower), words, at_least)
    finding = look(request())
    assert finding == Finding("clip", confirms, score=finding.score)
    assert finding.score == pytest.approx(np.e / (np.e + 1), abs=1e-6)
    assert tower.crops[0].shape == (14, 14, 3)


def test_a_look_by_words_names_what_it_looks_more_like() -> None:
    words = Contrast(("dog",), ("fox",), np.eye(2, 512, dtype=np.float32)[::-1])
    finding = ByWords(cast(TowerProcess, Tower()), words, 0.1)(request())
    assert (finding.confirms, finding.beaten_by) == (True, "fox")


YES, NO = says('{"answer": "yes"}'), says('{"answer": "no"}')


def asked(
    lane: Lane,
    url: str,
    expect: str = "yes",
    of: LookRequest | None = None,
    deadline_seconds: float = SECONDS,
) -> Finding:
    look = ByQuestion(LanguageModel(url, "m", None, deadline_seconds), "Is it wet?", expect)
    return found(lane.look(look, of or request()))


@pytest.mark.parametrize(
    ("reply", "expect", "answer", "confirms"),
    [
        (YES, "yes", "yes", True),
        (NO, "yes", "no", False),
        (YES, "no", "yes", False),
        (NO, "no", "no", True),
    ],
)
def test_the_answer_confirms_where_it_is_the_expected_one(
    lane: Lane, reply: Reply, expect: str, answer: str, confirms: bool
) -> None:
    with serving(reply) as server:
        finding = asked(lane, server.url, expect)
    assert (finding.by, finding.answer, finding.confirms) == ("vlm", answer, confirms)
    assert (finding.score, finding.beaten_by, finding.failure) == (None, None, None)
    assert finding.milliseconds is not None


def pictures_of(lane: Lane, image: Image, box: Box) -> list[Image]:
    """The crop and the frame as they come to the server."""
    with serving(YES) as server:
        asked(lane, server.url, of=request(image=image, box=box))
        (came,) = server.asked
    question, *parts = came.body["messages"][0]["content"]
    assert question["text"].startswith("Is it wet?")
    pictures = []
    for part in parts:
        kind, _, content = part["image_url"]["url"].partition(",")
        assert kind == "data:image/jpeg;base64"
        jpeg = np.frombuffer(base64.b64decode(content, validate=True), np.uint8)
        picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
        assert picture is not None
        pictures.append(picture.astype(np.uint8))
    return pictures


def test_the_crop_and_the_whole_frame_are_shown(lane: Lane) -> None:
    image = np.full((360, 640, 3), (30, 60, 90), np.uint8)
    image[100:140, 200:240] = (200, 150, 100)
    crop, frame = pictures_of(lane, image, (200, 100, 240, 140))
    assert crop.shape == (60, 60, 3)
    assert np.abs(crop[20:40, 20:40].astype(int) - (200, 150, 100)).max() < 8
    assert frame.shape == image.shape
    assert np.abs(frame[300, 500].astype(int) - (30, 60, 90)).max() < 8


@pytest.mark.parametrize(
    ("shape", "scaled"),
    [
        ((720, 1280), (720, 1280)),
        ((1080, 1920), (720, 1280)),
        ((3840, 2160), (1280, 720)),
        ((2, 5000), (1, 1280)),
        ((8, 8), (8, 8)),
    ],
)
def test_a_large_frame_is_scaled_down_but_its_crop_is_not(
    lane: Lane, shape: tuple[int, int], scaled: tuple[int, int]
) -> None:
    height, width = shape
    image = np.full((*shape, 3), 128, np.uint8)
    crop, frame = pictures_of(lane, image, (0, 0, width, height))
    assert frame.shape == (*scaled, 3)
    assert crop.shape == image.shape


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (says("maybe"), "answered neither yes nor no: 'maybe'"),
        (refuses(401, "who?"), "asks for a token (401)"),
        (refuses(500, "out of memory"), "is in trouble (500): 'out of memory'"),
        (sends(b"<html>"), "sent what is no JSON; does its URL end as it should, in /v1?"),
        (sends({"x": 1}), "sent JSON that holds no answer"),
        (writes(b"SSH-2.0\r\n"), "breaks off the connection, or does not speak HTTP"),
    ],
)
def test_every_fault_of_the_server_is_a_failure(
    told: Told, reply: Reply, said: str, vlm: Lane
) -> None:
    with serving(reply) as server:
        finding = asked(vlm, server.url)
        sentence = f"the language model at {server.where} {said}"
    assert finding == Finding("vlm", confirms=False, failure=sentence)
    assert told == [sentence]


def test_a_server_that_says_nothing_is_a_failure(vlm: Lane) -> None:
    with serving(silent) as server:
        failure = asked(vlm, server.url, deadline_seconds=0.5).failure
    assert failure == f"the language model at {server.where} gave no whole answer within 0.5 s"


def test_a_server_that_is_not_there_is_a_failure(vlm: Lane) -> None:
    port = free_port()
    finding = asked(vlm, f"http://127.0.0.1:{port}/v1")
    assert finding.failure == (
        f"the language model at 127.0.0.1:{port} can't be reached: nothing listens there "
        "(connection refused)"
    )
