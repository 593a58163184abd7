"""Live pictures: only for those who look, the newest, shared, and not too many of them."""

from __future__ import annotations

import itertools
import logging
import threading
import weakref
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from streamwatch.errors import SourceError
from streamwatch.live import pictures
from streamwatch.live.pictures import (
    MOST_A_SECOND,
    MOST_CAMERAS,
    MOST_VIEWERS,
    WIDTHS_PX,
    LivePictures,
    TooManyViewers,
)
from streamwatch.pictures.shots import Mark, Shot, in_shares
from streamwatch.records import Detection, Frame, Image, Luma
from tests.parts.waiting import wait_until
from tests.publisher.running import Clock

PATIENCE_SECONDS = 30.0
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DOG = Detection("dog", 0.8, (64.0, 36.0, 320.0, 180.0))
CAT = Detection("cat", 0.7, (64.0, 36.0, 320.0, 180.0))

_numbers = itertools.count(1)


class Seen:
    """A picture that notes as how large it was converted, or fails."""

    def __init__(self, size: tuple[int, int] = (640, 360), error: Exception | None = None) -> None:
        self.size = size
        self.error = error
        self.converted: list[tuple[int, int] | None] = []

    def luma(self, size: tuple[int, int]) -> Luma:
        raise NotImplementedError

    def bgr(self, size: tuple[int, int] | None = None) -> Image:
        self.converted.append(size)
        if self.error is not None:
            raise self.error
        width, height = size or self.size
        return np.zeros((height, width, 3), np.uint8)


def frame(camera: str = "porch", picture: Seen | None = None) -> Frame:
    number = next(_numbers)
    at = START + timedelta(seconds=number)
    return Frame(camera, number, at, float(number), None, Seen() if picture is None else picture)


class Looker:
    """Somebody who looks, and waits for what comes."""

    def __init__(self, live: LivePictures, **widths: int) -> None:
        self._woken = threading.Event()
        self.viewer = live.viewer(self._woken.set)
        if widths:
            self.viewer.look_at(widths)

    def shots(self, count: int = 1) -> list[Shot]:
        found: list[Shot] = []
        while len(found) < count:
            assert self._woken.wait(PATIENCE_SECONDS), "no picture came"
            self._woken.clear()
            found += self.viewer.take()
        assert len(found) == count
        return found

    def shot(self) -> Shot:
        (found,) = self.shots()
        return found


def found_by(camera: str, found: Sequence[Detection], size: tuple[int, int]) -> tuple[Mark, ...]:
    """All of it."""
    return tuple(
        Mark(each.prompt, each.confidence, in_shares(each.box, size), (f"{camera}'s",))
        for each in found
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The monotonic clock of the live pictures, which stands still but for the tests."""
    clock = Clock()
    monkeypatch.setattr(pictures, "time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.fixture
def hurried() -> list[str]:
    """The cameras that were asked for a frame soon."""
    return []


@pytest.fixture
def live(clock: Clock, hurried: list[str]) -> Iterator[LivePictures]:
    made = LivePictures(found_by, hurried.append)
    yield made
    made.close()


def settle(live: LivePictures) -> None:
    """Until all is rendered that was due before.

    Two pictures of cameras of their own are rendered: after the second the first round is over.
    """
    for _ in range(2):
        name = f"other-{next(_numbers)}"
        looker = Looker(live, **{name: 320})
        live.see(frame(name), ())
        looker.shot()
        looker.viewer.close()


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "live"]


# --- for those who look alone ---------------------------------------------------------------------


def check_nothing_is_done_with_frames(live: LivePictures) -> None:
    picture = Seen()
    gone = weakref.ref(picture)
    live.see(frame(picture=picture), [DOG])
    live.see_still(frame(picture=picture))
    settle(live)
    assert picture.converted == []
    del picture
    assert gone() is None


def test_without_a_viewer_nothing_is_rendered_or_held(live: LivePictures) -> None:
    check_nothing_is_done_with_frames(live)


def test_without_a_viewer_there_is_no_thread(live: LivePictures) -> None:
    live.see(frame(), [DOG])
    assert threads() == []
    live.viewer(lambda: None)
    assert len(threads()) == 1


def test_a_camera_that_nobody_looks_at_is_left_alone(live: LivePictures) -> None:
    looker = Looker(live, garden=640)
    check_nothing_is_done_with_frames(live)
    assert looker.viewer.take() == []
    looker.viewer.look_at({})
    check_nothing_is_done_with_frames(live)


def test_who_looks_gets_a_picture_with_what_was_found(live: LivePictures) -> None:
    looker = Looker(live, porch=320)
    seen = frame()
    live.see(seen, [DOG])
    shot = looker.shot()
    assert (shot.camera, shot.captured_at, shot.size) == ("porch", seen.captured_at, (640, 360))
    assert shot.marks == (Mark("dog", 0.8, (0.1, 0.1, 0.5, 0.5), ("porch's",)),)
    image = cv2.imdecode(np.frombuffer(shot.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (180, 320, 3)
    assert looker.viewer.take() == []


def test_leaving_lets_go_of_the_frames(live: LivePictures) -> None:
    """Of those that were rendered, and of those that were still to be."""
    looker = Looker(live, porch=320, garden=320)
    held = [Seen() for _ in range(3)]
    gone = [weakref.ref(each) for each in held]
    live.see(frame("porch", held[0]), [DOG])
    live.see(frame("garden", held[1]), [DOG])
    looker.shots(2)
    live.see(frame("porch", held[2]), [DOG])
    held.clear()
    assert gone[2]() is not None
    looker.viewer.close()
    wait_until(lambda: [each() for each in gone] == [None] * 3)


def test_looking_elsewhere_lets_go_of_the_frame(live: LivePictures) -> None:
    looker = Looker(live, porch=320)
    picture = Seen()
    gone = weakref.ref(picture)
    live.see(frame("porch", picture), [DOG])
    del picture
    looker.shot()
    looker.viewer.look_at({"garden": 320})
    wait_until(lambda: gone() is None)


def test_a_frame_that_comes_while_the_last_one_leaves_is_not_held(live: LivePictures) -> None:
    looker = Looker(live, porch=320)

    class Leaving(list[Detection]):
        def __iter__(self) -> Iterator[Detection]:
            looker.viewer.close()
            return super().__iter__()

    picture = Seen()
    gone = weakref.ref(picture)
    live.see(frame("porch", picture), Leaving([DOG]))
    del picture
    assert gone() is None


def test_who_has_left_gets_nothing_and_holds_nobody_up(live: LivePictures) -> None:
    left, other = Looker(live, porch=320), Looker(live, porch=320)
    left.viewer.close()
    left.viewer.close()
    live.see(frame(), [DOG])
    other.shot()
    left.viewer.want("porch")
    settle(live)
    assert left.viewer.take() == []


# --- the newest, one at a time --------------------------------------------------------------------


def test_another_picture_comes_only_when_it_is_wanted_and_is_the_newest(
    live: LivePictures, clock: Clock
) -> None:
    looker = Looker(live, porch=320)
    live.see(frame(), [DOG])
    looker.shot()
    clock.seconds += 1
    missed, newest = Seen(), Seen()
    live.see(frame(picture=missed), [DOG])
    last = frame(picture=newest)
    live.see(last, [CAT])
    settle(live)
    assert looker.viewer.take() == []
    looker.viewer.want("porch")
    shot = looker.shot()
    assert shot.captured_at == last.captured_at
    assert [mark.prompt for mark in shot.marks] == ["cat"]
    assert missed.converted == []
    assert newest.converted == [(320, 180)]


def test_no_picture_comes_twice(live: LivePictures, clock: Clock) -> None:
    looker = Looker(live, porch=320)
    picture = Seen()
    live.see(frame(picture=picture), [DOG])
    looker.shot()
    clock.seconds += 1
    looker.viewer.want("porch")
    settle(live)
    assert looker.viewer.take() == []
    assert len(picture.converted) == 1
    following = frame()
    live.see(following, [DOG])
    assert looker.shot().captured_at == following.captured_at


def test_wanting_a_camera_that_is_not_looked_at_does_nothing(live: LivePictures) -> None:
    looker, other = Looker(live, porch=320), Looker(live, garden=320)
    looker.viewer.want("garden")
    live.see(frame("garden"), [DOG])
    assert other.shot().camera == "garden"
    settle(live)
    assert looker.viewer.take() == []


def test_who_comes_later_gets_the_picture_that_is_there(live: LivePictures, clock: Clock) -> None:
    first = Looker(live, porch=320)
    live.see(frame(), [DOG])
    shot = first.shot()
    clock.seconds += 1
    assert Looker(live, porch=320).shot().captured_at == shot.captured_at


def test_looking_again_gives_the_picture_again(live: LivePictures, clock: Clock) -> None:
    looker, other = Looker(live, porch=320), Looker(live, porch=320)
    live.see(frame(), [DOG])
    shot = looker.shot()
    other.shot()
    clock.seconds += 1
    looker.viewer.look_at({})
    looker.viewer.look_at({"porch": 320})
    assert looker.shot().captured_at == shot.captured_at


def test_a_still_frame_shows_what_was_found_last(live: LivePictures, clock: Clock) -> None:
    looker = Looker(live, porch=320)
    live.see(frame(), [DOG, CAT])
    marks = looker.shot().marks
    for _ in range(2):
        clock.seconds += 1
        still = frame()
        live.see_still(still)
        looker.viewer.want("porch")
        shot = looker.shot()
        assert (shot.captured_at, shot.marks) == (still.captured_at, marks)


def test_a_still_frame_to_begin_with_shows_nothing_found(live: LivePictures) -> None:
    looker = Looker(live, porch=320)
    live.see_still(frame())
    assert looker.shot().marks == ()


# --- hurry ----------------------------------------------------------------------------------------


def test_cameras_without_a_picture_are_asked_for_one(
    live: LivePictures, hurried: list[str]
) -> None:
    looker = Looker(live, porch=320, garden=320)
    assert hurried == ["porch", "garden"]
    live.see(frame("porch"), [DOG])
    looker.viewer.look_at({"porch": 640, "garden": 640, "gate": 640})
    Looker(live, porch=320)
    assert hurried == ["porch", "garden", "gate"]


def test_a_camera_that_can_not_hurry_holds_up_no_other(clock: Clock) -> None:
    asked = []

    def hurry(camera: str) -> None:
        asked.append(camera)
        if camera != "gate":
            raise SourceError(f"{camera} does not run")

    live = LivePictures(found_by, hurry)
    looker = Looker(live, porch=320, garden=320, gate=320)
    assert asked == ["porch", "garden", "gate"]
    live.see(frame("garden"), [DOG])
    assert looker.shot().camera == "garden"
    live.close()


# --- sharing, and widths --------------------------------------------------------------------------


def test_viewers_of_one_camera_and_width_share_a_picture(live: LivePictures) -> None:
    lookers = [Looker(live, porch=width) for width in (640, 500, 481)]
    picture = Seen((1920, 1080))
    live.see(frame(picture=picture), [DOG])
    shots = [looker.shot() for looker in lookers]
    assert picture.converted == [(640, 360)]
    assert shots[0] is shots[1] is shots[2]


def test_other_widths_are_rendered_apart(live: LivePictures) -> None:
    small, large = Looker(live, porch=320), Looker(live, porch=1280)
    picture = Seen((1920, 1080))
    live.see(frame(picture=picture), [DOG])
    small.shot()
    large.shot()
    assert sorted(size or () for size in picture.converted) == [(320, 180), (1280, 720)]


def test_widths_above_that_of_the_frame_are_shared(live: LivePictures) -> None:
    lookers = [Looker(live, porch=width) for width in (700, 1900)]
    picture = Seen((640, 360))
    live.see(frame(picture=picture), [DOG])
    assert lookers[0].shot() is lookers[1].shot()
    assert picture.converted == [(640, 360)]


@pytest.mark.parametrize(
    ("asked", "size", "rendered"),
    [
        (1, (1920, 1080), (320, 180)),
        (-5, (1920, 1080), (320, 180)),
        (320, (1920, 1080), (320, 180)),
        (321, (1920, 1080), (480, 270)),
        (1280, (1920, 1080), (1280, 720)),
        (1281, (3840, 2160), (1920, 1080)),
        (4096, (3840, 2160), (1920, 1080)),
        (4096, (1281, 721), (1281, 721)),
        (640, (352, 288), (352, 288)),
        (1, (160, 120), (160, 120)),
        (640, (1080, 1920), (640, 1138)),
        (320, (3000, 1), (320, 1)),
        (320, (1, 300), (1, 300)),
    ],
)
def test_widths_are_a_few_and_no_more_than_the_frame_has(
    live: LivePictures, asked: int, size: tuple[int, int], rendered: tuple[int, int]
) -> None:
    looker = Looker(live, porch=asked)
    picture = Seen(size)
    live.see(frame(picture=picture), [DOG])
    assert looker.shot().size == size
    assert picture.converted == [rendered]
    assert rendered[0] in {*WIDTHS_PX, size[0]}


def test_the_next_picture_has_the_width_that_is_asked_for_then(
    live: LivePictures, clock: Clock
) -> None:
    looker = Looker(live, porch=320)
    seen = [Seen((1920, 1080)), Seen((1920, 1080))]
    live.see(frame(picture=seen[0]), [DOG])
    looker.shot()
    looker.viewer.look_at({"porch": 1280})
    clock.seconds += 1
    live.see(frame(picture=seen[1]), [DOG])
    looker.viewer.want("porch")
    looker.shot()
    assert [each.converted for each in seen] == [[(320, 180)], [(1280, 720)]]


# --- not too many ---------------------------------------------------------------------------------


def test_a_camera_gives_so_many_pictures_a_second(
    live: LivePictures, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To all together."""
    monkeypatch.setattr(pictures, "MOST_BYTES_A_SECOND", 1e12)
    looker = Looker(live, porch=320)
    live.see(frame(), [DOG])
    looker.shot()
    began = clock.seconds
    last = frame()
    live.see(last, [DOG])
    looker.viewer.want("porch")
    other = Looker(live, porch=320)
    for early in (0.0, 0.5, 0.99):
        clock.seconds = began + early / MOST_A_SECOND
        settle(live)
        assert looker.viewer.take() == other.viewer.take() == []
    clock.seconds = began + 1 / MOST_A_SECOND
    assert looker.shot() is other.shot()


def test_one_who_looks_gets_so_many_bytes_a_second(
    live: LivePictures, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all cameras together; it holds up nobody else."""
    monkeypatch.setattr(pictures, "MOST_BYTES_A_SECOND", 1000.0)
    looker = Looker(live, porch=640, garden=640)
    began = clock.seconds
    live.see(frame("porch"), [DOG])
    first = len(looker.shot().jpeg)
    assert looker.viewer.next_at == pytest.approx(began + first / 1000)
    live.see(frame("garden"), [DOG])
    assert Looker(live, garden=640).shot().camera == "garden"
    clock.seconds = looker.viewer.next_at - 0.001
    settle(live)
    assert looker.viewer.take() == []
    clock.seconds = looker.viewer.next_at
    looker.viewer.want("garden")
    second = len(looker.shot().jpeg)
    assert looker.viewer.next_at == pytest.approx(began + (first + second) / 1000)


def test_pictures_that_come_together_count_both(
    live: LivePictures, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MOST_BYTES_A_SECOND", 1000.0)
    waiting = Looker(live, porch=320, garden=320)
    waiting.viewer.next_at = clock.seconds + 5
    live.see(frame("porch"), [DOG])
    live.see(frame("garden"), [DOG])
    settle(live)
    assert waiting.viewer.take() == []
    clock.seconds += 5
    waiting.viewer.want("porch")
    shots = waiting.shots(2)
    taken = sum(len(shot.jpeg) for shot in shots)
    assert waiting.viewer.next_at == pytest.approx(clock.seconds + taken / 1000)


def test_time_without_pictures_is_not_saved_up(
    live: LivePictures, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MOST_BYTES_A_SECOND", 1000.0)
    looker = Looker(live, porch=320)
    live.see(frame(), [DOG])
    looker.shot()
    clock.seconds += 3600
    live.see(frame(), [DOG])
    looker.viewer.want("porch")
    taken = len(looker.shot().jpeg)
    assert looker.viewer.next_at == pytest.approx(clock.seconds + taken / 1000)


def test_so_many_may_look(live: LivePictures) -> None:
    viewers = [live.viewer(lambda: None) for _ in range(MOST_VIEWERS)]
    with pytest.raises(TooManyViewers) as caught:
        live.viewer(lambda: None)
    assert str(caught.value) == "16 look at the page already; close one of them"
    viewers[3].close()
    viewers[3].close()
    looker = Looker(live, porch=320)
    with pytest.raises(TooManyViewers):
        live.viewer(lambda: None)
    live.see(frame(), [DOG])
    assert looker.shot().camera == "porch"


def test_one_looks_at_so_many_cameras(live: LivePictures, hurried: list[str]) -> None:
    names = [f"camera-{number}" for number in range(MOST_CAMERAS + 5)]
    looker = Looker(live, **dict.fromkeys(names, 320))
    assert hurried == names[:MOST_CAMERAS]
    assert list(looker.viewer.widths) == names[:MOST_CAMERAS]


# --- what fails, and the end ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SourceError("the frame can't be converted"), []),
        (ValueError("no pixels"), []),
        (cv2.error("bad size"), []),
        (RuntimeError("no such plane"), ["porch can't be shown (RuntimeError: no such plane)"]),
    ],
)
def test_a_frame_that_can_not_be_shown_harms_nobody(
    live: LivePictures,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    told: list[str],
) -> None:
    looker, other = Looker(live, porch=320), Looker(live, garden=320)
    broken = Seen(error=error)
    live.see(frame(picture=broken), [DOG])
    live.see(frame("garden"), [DOG])
    other.shot()
    settle(live)
    assert looker.viewer.take() == []
    assert broken.converted == [(320, 180)]  # it is not tried again
    clock.seconds += 1
    following = frame()
    live.see(following, [DOG])
    assert looker.shot().captured_at == following.captured_at
    warned = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert [each.getMessage() for each in warned] == told


def test_marks_that_fail_harm_nobody(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    def marks(camera: str, found: Sequence[Detection], size: tuple[int, int]) -> tuple[Mark, ...]:
        if camera == "porch":
            raise KeyError(camera)  # it was removed from the file meanwhile
        return found_by(camera, found, size)

    live = LivePictures(marks, lambda _: None)
    looker = Looker(live, porch=320, garden=320)
    live.see(frame("porch"), [DOG])
    live.see(frame("garden"), [DOG])
    assert looker.shot().camera == "garden"
    wait_until(lambda: "porch can't be shown (KeyError: 'porch')" in caplog.messages)
    live.close()


def test_closing_ends_the_thread(live: LivePictures) -> None:
    looker = Looker(live, porch=320)
    (thread,) = threads()
    live.close()
    live.close()
    assert not thread.is_alive()
    live.see(frame(), [DOG])
    looker.viewer.want("porch")
    looker.viewer.close()
    live.viewer(lambda: None)
    assert threads() == []
    assert looker.viewer.take() == []


def test_closing_without_anybody_who_looked_does_nothing(live: LivePictures) -> None:
    live.close()
    assert threads() == []
