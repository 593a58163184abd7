"""Cameras on HTTP: what an answer is taken for, pictures one by one, recordings, slow streams."""

# ruff: noqa: N802 - do_GET is the library's name
from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image as Pillow

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.errors import CredentialsRefused, SourceError
from streamwatch.source import Capture, Clock, Decoded, Slot, Source, decoding, source_for, timing
from streamwatch.source.snapshots import picture_age_seconds
from tests.parts.certificates import self_signed
from tests.parts.web_cameras import (
    Handler,
    SlowPictures,
    WebCamera,
    encode,
    live_hls,
    serving,
    slow_mjpeg,
    snapshot_camera,
    web_files,
)
from tests.source.clips import write_clip
from tests.source.pictures import image_of
from tests.source.test_upright import UPRIGHT, corners, picture
from tests.source.waiting import until

pytestmark = pytest.mark.slow(seconds=45)


def source(url: str, **settings: Any) -> Source:
    return source_for(CameraSettings(url=url, **settings), Clock())


def read(url: str, count: int | None = 3, **settings: Any) -> list[Decoded]:
    with closing(source(url, **settings).frames(threading.Event())) as frames:
        return list(islice(frames, count))


def failure(url: str, **settings: Any) -> str:
    """What reading it says; without the address, and without anything behind it."""
    with pytest.raises(SourceError) as raised:
        read(url, None, **settings)
    assert raised.value.__cause__ is None
    return str(raised.value).partition(": ")[2]


def jpeg(brightness: int = 100) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((48, 64, 3), brightness, np.uint8))[1])


class _Scripted(Handler):
    """Gives the answers of a list one after the other, and the last one for ever."""

    def do_GET(self) -> None:
        answers = self.server.state["answers"]
        status, content, headers = answers.pop(0) if len(answers) > 1 else answers[0]
        self.server.state["headers"].append(dict(self.headers))
        self.answer(status, content, **headers)


@contextmanager
def scripted(*answers: tuple[int, bytes, dict[str, str]]) -> Iterator[WebCamera]:
    with serving(_Scripted, answers=list(answers), headers=[]) as server:
        yield server


def page(content: bytes, kind: str, status: int = 200) -> tuple[int, bytes, dict[str, str]]:
    return status, content, {"Content_Type": kind}


WEB_PAGE = "this is a web page, not a stream; is it a page to log in at?"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (page(b"<!DOCTYPE html><title>Log in</title>", "text/html; charset=utf-8"), WEB_PAGE),
        (page(b"\n\n<HTML><body>", "application/octet-stream"), WEB_PAGE),
        (page(b"\xef\xbb\xbf<!doctype html>", ""), WEB_PAGE),
        (page(b'{"error": 1}', "application/json"), "this is text (application/json), no stream"),
        (
            page(b"<?xml version='1.0'?><Status/>", "application/xml"),
            "this is text (application/xml), no stream",
        ),
        (page(b"hello", "text/plain"), "this is text (text/plain), no stream"),
        (page(b"", "video/mp4"), "it answers with nothing"),
        (page(b"", "text/html"), "it answers with nothing"),
        (page(b"gone", "text/html", 404), "there is no such stream (404)"),
        (page(b"", "text/html", 503), "it answers 503 Service Unavailable"),
        (page(b"", "text/html", 500), "it answers 500 Internal Server Error"),
        (page(b"\0" * 5000, "video/mp4"), "this is not a video, or a broken one"),
    ],
)
def test_answers_that_are_no_stream(answer: tuple[int, bytes, dict[str, str]], said: str) -> None:
    with scripted(answer) as camera:
        assert failure(camera.url) == said


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_login_is_tried_once(status: int) -> None:
    challenge = {"WWW_Authenticate": 'Digest realm="c", nonce="1", qop="auth"'}
    with scripted((status, b"", challenge)) as camera:
        with pytest.raises(CredentialsRefused):
            read(camera.url, username="me", password="wrong")
        assert len(camera.asked) == (2 if status == 401 else 1)


# --- pictures one by one -------------------------------------------------------------------------


def usual_step(frames: Sequence[Decoded]) -> float:
    """Seconds from a frame to the next, most often: on a busy machine some come late."""
    return median(b.seconds - a.seconds for a, b in pairwise(frames))


@pytest.mark.parametrize("login", [None, ("me", "p:w%/é")])
def test_pictures_are_asked_for_at_the_rate_of_the_camera(login: tuple[str, str] | None) -> None:
    with snapshot_camera([jpeg(shade) for shade in range(200)], login=login) as camera:
        user = {} if login is None else {"username": login[0], "password": login[1]}
        frames = read(f"{camera.url}/a.jpg?size=1", 8, fps=10, **user)
    assert usual_step(frames) == pytest.approx(0.1, abs=0.03)
    assert all(frame.position is None for frame in frames)
    assert all(frame.size == (64, 48) for frame in frames)
    # One connection to look at what it is, and one that is kept.
    assert camera.connections == 2
    assert [status for _, status in camera.asked].count(401) == (0 if login is None else 2)


@pytest.mark.parametrize("tags", [True, False])
def test_a_picture_that_has_not_changed_is_no_new_frame(tags: bool) -> None:
    pictures = [jpeg(shade) for shade in range(0, 250, 5)]
    with snapshot_camera(pictures, hold_seconds=0.6, tags=tags) as camera:
        frames = read(camera.url, 3, fps=20)
        statuses = [status for _, status in camera.asked]
        assert camera.connections == 2
    shades = [int(image_of(frame).mean()) for frame in frames]
    assert shades == sorted(set(shades))
    assert frames[2].seconds - frames[1].seconds == pytest.approx(0.6, abs=0.15)
    assert len(statuses) > 12
    assert (statuses.count(304) > 8) is tags


def test_a_camera_is_online_while_its_picture_does_not_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timing, "SILENCE_SECONDS", 0.5)
    slot = Slot(threading.Condition())
    with snapshot_camera([jpeg()]) as camera:
        settings = CameraSettings(url=camera.url, fps=10)
        capture = Capture("a", settings, slot=slot, due=lambda _: True, on_problem=print)
        capture.start()
        try:
            until(lambda: capture.online(time.monotonic()))
            for _ in range(15):
                time.sleep(0.1)
                assert capture.online(time.monotonic())
            counts = capture.counts(time.monotonic())
        finally:
            capture.stop()
    assert (counts.frames, counts.failures) == (1, 0)
    assert not capture.online(time.monotonic() + 31)


def test_one_answer_that_fails_is_no_outage() -> None:
    good = [(200, jpeg(shade), {"Content_Type": "image/jpeg"}) for shade in (10, 60, 110)]
    bad: tuple[int, bytes, dict[str, str]] = (503, b"busy", {})
    with scripted(good[0], good[0], bad, bad, good[1], good[2]) as camera:
        frames = read(camera.url, 3, fps=20)
    assert [int(image_of(frame).mean()) for frame in frames] == [10, 60, 110]


def test_answers_that_go_on_failing_are_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamwatch.source.snapshots.SILENCE_SECONDS", 0.3)
    good = (200, jpeg(), {"Content_Type": "image/jpeg"})
    with scripted(good, good, (503, b"busy", {})) as camera:
        assert failure(camera.url, fps=20) == "it answers 503 Service Unavailable"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"GIF89a" + b"\0" * 100, "this picture is none of JPEG, PNG and WebP"),
        (jpeg()[:60], "no video came from it"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "this picture is none of JPEG, PNG and WebP"),
        (bytes(cv2.imencode(".png", np.zeros((8, 64, 3), np.uint8))[1]), None),
    ],
)
def test_pictures_that_are_none(content: bytes, said: str | None) -> None:
    with scripted(page(content, "image/jpeg")) as camera:
        told = failure(camera.url)
    assert told == (said or "its pictures are 64x8 px, and 16 are needed on each side")


def test_a_picture_of_too_many_bytes_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamwatch.source.snapshots.MOST_BYTES", 100)
    monkeypatch.setattr("streamwatch.source.snapshots.SILENCE_SECONDS", 0.0)
    with scripted(page(jpeg(), "image/jpeg")) as camera:
        assert failure(camera.url) == "its picture has more than 100 bytes"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_pictures_of_each_format_and_what_their_exif_says(kind: str) -> None:
    stored, exif = io.BytesIO(), Pillow.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    turned = np.ascontiguousarray(np.rot90(picture())[:, :, ::-1])
    options = {"exif": exif} if kind == "JPEG" else {"lossless": True}
    Pillow.fromarray(turned if kind == "JPEG" else picture()[:, :, ::-1]).save(
        stored, kind, **options
    )
    with scripted(page(stored.getvalue(), f"image/{kind.lower()}")) as camera:
        (frame,) = read(camera.url, 1)
    assert frame.size == (160, 96)
    assert corners(image_of(frame)) == UPRIGHT


class _Untold(Handler):
    """A JPEG a request, or without an end, of which neither the type nor the length is said."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        shades = range(10, 250, 10) if self.path == "/endless" else [len(self.server.asked) % 200]
        self.server.asked.append((self.path, 200))
        for shade in shades:
            try:
                self.wfile.write(jpeg(shade))
            except OSError:
                return
            time.sleep(0.05)
        self.close_connection = True


def test_a_picture_of_which_nothing_is_said_is_polled_after_the_first_try() -> None:
    with serving(_Untold) as camera:
        polled = source(camera.url, fps=10)
        with pytest.raises(SourceError, match="the connection was closed"):
            list(polled.frames(threading.Event()))
        with closing(polled.frames(threading.Event())) as frames:
            few = [*islice(frames, 6)]
    assert usual_step(few) == pytest.approx(0.1, abs=0.03)


def test_jpegs_in_a_row_without_an_end_are_a_stream() -> None:
    with serving(_Untold) as camera:
        frames = read(f"{camera.url}/endless", 10)
        assert len(camera.asked) == 1
    shades = [int(image_of(frame).mean()) for frame in frames]
    assert shades == sorted(set(shades))


NOON = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sent", "taken", "age"),
    [
        (NOON, NOON, 0),
        (NOON + timedelta(seconds=2), NOON, 0),  # whole seconds say too little
        (NOON + timedelta(seconds=40), NOON, 40),
        (NOON, NOON + timedelta(seconds=40), 0),
        (NOON, None, 0),
        (None, NOON, 0),
    ],
)
def test_the_age_of_a_picture(sent: datetime | None, taken: datetime | None, age: float) -> None:
    said = {"Date": sent, "Last-Modified": taken}
    headers = {name: format_datetime(at, usegmt=True) for name, at in said.items() if at}
    assert picture_age_seconds(httpx.Headers(headers)) == age


def test_the_age_of_a_picture_with_strange_headers() -> None:
    assert picture_age_seconds(httpx.Headers({"Date": "now", "Last-Modified": "then"})) == 0.0


def test_an_old_picture_keeps_the_time_at_which_it_was_taken() -> None:
    taken = datetime.now(UTC) - timedelta(seconds=600)
    headers = {"Content_Type": "image/jpeg", "Last_Modified": format_datetime(taken, usegmt=True)}
    with scripted((200, jpeg(), headers)) as camera:
        (frame,) = read(camera.url, 1)
    assert abs((frame.captured_at - taken).total_seconds()) < 3


# --- streams and recordings ----------------------------------------------------------------------


def test_slow_mjpeg_is_read_on_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slower than the usual patience, and than the time for opening."""
    monkeypatch.setattr(timing, "SILENCE_SECONDS", 0.4)
    monkeypatch.setattr(decoding, "OPEN_SECONDS", 0.5)
    with slow_mjpeg(0.7) as camera:
        frames = read(camera.url, 5)
        assert camera.connections == 1
    assert usual_step(frames) == pytest.approx(0.7, abs=0.2)


def test_a_stop_ends_a_wait_for_a_picture() -> None:
    stop = threading.Event()
    with slow_mjpeg(60) as camera:
        threading.Timer(0.5, stop.set).start()
        began = time.monotonic()
        assert list(source(camera.url).frames(stop)) == []
        assert time.monotonic() - began < 5


def test_mjpeg_that_stops_for_longer_than_it_used_to_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timing, "SILENCE_SECONDS", 0.4)

    class Ending(SlowPictures):
        def do_GET(self) -> None:
            self.server.state["seconds"] = 0.05
            threading.Timer(1.0, lambda: self.server.state.update(seconds=60)).start()
            super().do_GET()

    with serving(Ending) as camera:
        assert failure(camera.url) == "no picture for 0 s"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds, with its index at the end, as most recorders write it."""
    return write_clip(tmp_path_factory.mktemp("web") / "clip.mp4", frames=30)


def test_a_recording_is_played_once_in_real_time(recording: Path) -> None:
    with web_files(recording.parent) as server:
        began = time.monotonic()
        frames = read(f"{server.url}/clip.mp4", None)
        took = time.monotonic() - began
        assert len(server.asked) <= 4
    assert len(frames) == 30
    assert [frame.position for frame in frames] == pytest.approx([n / 15 for n in range(30)])
    assert took > 1.9


def test_a_recording_in_a_loop(recording: Path) -> None:
    with web_files(recording.parent) as server:
        frames = read(f"{server.url}/clip.mp4", 35, loop=True)
    assert frames[30].position == 0.0
    steps = [b.seconds - a.seconds for a, b in pairwise(frames)]
    assert steps == pytest.approx([1 / 15] * 34, abs=0.001)


def test_a_finished_playlist_is_a_recording(tmp_path: Path) -> None:
    write_clip(tmp_path / "part.ts", frames=15)
    lines = ("#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXTINF:1,", "part.ts", "#EXT-X-ENDLIST", "")
    (tmp_path / "list").write_text("\n".join(lines))
    with web_files(tmp_path) as server:
        frames = read(f"{server.url}/list", None)
    assert len(frames) == 15
    assert frames[-1].position == pytest.approx(14 / 15)


@pytest.fixture(scope="module")
def bursts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with a key frame every 2 s, for segments of that length."""
    folder = tmp_path_factory.mktemp("bursts")
    clip = write_clip(folder / "clip.mp4", frames=30 * 15)
    return encode(clip, folder / "keyed.mp4", key_seconds=2, before=0, after=0)


def test_a_late_segment_does_not_make_hls_offline(bursts: Path) -> None:
    with live_hls(bursts, segment_seconds=2) as camera:
        live = source(f"{camera.url}/live.m3u8")
        with closing(live.frames(threading.Event())) as frames:
            list(islice(frames, 10))
            assert live.patience_seconds == 20.0
    with slow_mjpeg(0.05) as camera:
        live = source(camera.url)
        with closing(live.frames(threading.Event())) as frames:
            list(islice(frames, 10))
            assert live.patience_seconds == 5.0


def test_live_hls_is_played_without_bursts_and_without_a_reconnect(bursts: Path) -> None:
    with live_hls(bursts, segment_seconds=2, part="part%d") as camera:
        until(lambda: len(list(Path(camera.state["folder"]).glob("part*"))) > 2, 20)
        began = time.monotonic()
        frames, arrived = [], []
        with closing(source(f"{camera.url}/live.m3u8").frames(threading.Event())) as coming:
            for frame in islice(coming, 8 * 15):
                frames.append(frame)
                arrived.append(time.monotonic())
    steps = [b.seconds - a.seconds for a, b in pairwise(frames)]
    assert np.median(steps) == pytest.approx(1 / 15, abs=0.002)
    assert 6.5 < arrived[-1] - began < 12
    # None of the frames comes before its time, and none of them twice.
    assert all(abs(at - frame.seconds) < 0.5 for at, frame in zip(arrived, frames, strict=True))
    shades = [int(image_of(frame)[0, 0, 0]) for frame in frames[::15]]
    assert len(set(shades)) == len(shades)


def test_each_kind_is_read_over_tls(tmp_path: Path, bursts: Path, recording: Path) -> None:
    own = self_signed(tmp_path, "camera")
    with web_files(recording.parent, own) as server:
        assert len(read(f"{server.url}/clip.mp4", None)) == 30
    with live_hls(bursts, segment_seconds=2, certificate=own) as server:
        assert len(read(f"{server.url}/live.m3u8", 45)) == 45
    with snapshot_camera([jpeg(n) for n in range(99)], login=("a", "b"), certificate=own) as server:
        assert len(read(server.url, 3, username="a", password="b")) == 3
        assert server.connections == 2
    with slow_mjpeg(0.1, own) as server:
        assert len(read(server.url, 3)) == 3


def test_a_stop_ends_a_wait_for_a_picture_over_tls(tmp_path: Path) -> None:
    stop = threading.Event()
    with slow_mjpeg(60, self_signed(tmp_path, "camera")) as camera:
        threading.Timer(0.5, stop.set).start()
        assert list(source(camera.url).frames(stop)) == []
