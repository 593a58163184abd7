"""Live streams over real connections: failures, their messages, and the times of RTSP."""

from __future__ import annotations

import logging
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import closing
from itertools import islice, pairwise

import pytest

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.errors import CredentialsRefused, SourceError
from streamwatch.source import Clock, Decoded, decoding, source_for
from tests.parts import STREET_CLIP, free_port
from tests.parts.rtsp import RtspServer
from tests.source.peers import garbage_peer, mute_peer

pytestmark = pytest.mark.slow(seconds=30)

SECRET = "hunter2"


def read(url: str, count: int | None = None) -> list[Decoded]:
    source = source_for(CameraSettings(url=url), Clock())
    with closing(source.frames(threading.Event())) as frames:
        return list(islice(frames, count))


def failure(url: str) -> SourceError:
    """The error of reading `url`; neither it nor its causes contain the password."""
    with pytest.raises(SourceError) as raised:
        read(url)
    cause: BaseException | None = raised.value
    while cause is not None and not cause.__suppress_context__:
        assert SECRET not in f"{cause!s} {cause!r}"
        cause = cause.__cause__ or cause.__context__
    return raised.value


@pytest.fixture
def short_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "OPEN_SECONDS", 1.0)


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_closed_port_is_a_refused_connection(scheme: str) -> None:
    port = free_port()
    assert str(failure(f"{scheme}://viewer:{SECRET}@127.0.0.1:{port}/stream")) == (
        f"{scheme}://viewer:***@127.0.0.1:{port}/stream: nothing listens there (connection refused)"
    )


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_peer_that_never_answers_times_out(scheme: str, short_opening: None) -> None:
    began = time.monotonic()
    with mute_peer() as port:
        error = failure(f"{scheme}://viewer:{SECRET}@127.0.0.1:{port}/stream")
    assert str(error).endswith("/stream: no answer within 1 s")
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_peer_that_sends_garbage_is_an_error_within_the_timeout(
    scheme: str, short_opening: None
) -> None:
    began = time.monotonic()
    with garbage_peer() as port:
        failure(f"{scheme}://viewer:{SECRET}@127.0.0.1:{port}/stream")
    assert time.monotonic() - began < 4


def test_an_unknown_host_gives_a_clear_error() -> None:
    assert str(failure(f"rtsp://viewer:{SECRET}@no-such-host.invalid/stream")) == (
        "rtsp://viewer:***@no-such-host.invalid/stream: the host is unknown or can't be reached"
    )


def test_http_401_403_and_404_give_clear_errors(web_camera: str) -> None:
    camera = web_camera.replace("//", f"//viewer:{SECRET}@")
    refused, forbidden = failure(f"{camera}/refused"), failure(f"{camera}/forbidden")
    assert isinstance(refused, CredentialsRefused)
    assert str(refused).endswith("/refused: the user name or password is wrong or missing (401)")
    assert isinstance(forbidden, CredentialsRefused)
    assert str(forbidden).endswith("/forbidden: access was refused (403)")
    assert str(failure(f"{camera}/gone")).endswith("/gone: there is no such stream (404)")


def test_rtsp_passwords_are_used_and_never_logged(
    rtsp_server: Callable[..., RtspServer], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = rtsp_server(user="viewer", password=f"{SECRET}/@:%")
    assert len(read(server.url_with_password, 3)) == 3
    wrong = server.url_with_password.replace(SECRET, f"{SECRET}wrong")
    for url in (wrong, server.url):
        error = failure(url)
        assert isinstance(error, CredentialsRefused)
        assert str(error).endswith("/stream: the user name or password is wrong or missing (401)")
    assert SECRET not in caplog.text


def test_an_unknown_rtsp_path_is_a_404(ball: RtspServer) -> None:
    assert str(failure(f"{ball.url}/other")).endswith("/other: there is no such stream (404)")


def test_rtsp_times_of_a_clip_advance_by_a_frame_each(
    rtsp_server: Callable[..., RtspServer],
) -> None:
    """With B-frames, which leave the decoder four at a time."""
    server = rtsp_server(clip=STREET_CLIP)
    began = time.monotonic()
    # The first second arrives in a burst.
    frames = read(server.url, 75)[20:]
    assert abs(frames[-1].seconds - time.monotonic()) < 2
    assert frames[0].seconds > began
    steps = [b.seconds - a.seconds for a, b in pairwise(frames)]
    assert statistics.mean(steps) == pytest.approx(1 / 15, abs=0.01)
    assert sorted(steps)[len(steps) // 10] > 0.04
    assert sorted(steps)[-len(steps) // 10] < 0.1
    assert server.frame0_at is not None
    behind = frames[0].captured_at - server.frame0_at
    assert 20 / 15 < behind.total_seconds() < 20 / 15 + 3


@pytest.mark.parametrize("sizes", [((320, 180), (640, 360)), ((640, 360), (320, 180))])
def test_of_two_video_tracks_the_larger_is_taken(
    rtsp_server: Callable[..., RtspServer], sizes: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    server = rtsp_server(size=sizes[0], second=sizes[1])
    assert {frame.size for frame in read(server.url, 15)} == {(640, 360)}


def test_a_clip_served_once_ends_as_a_closed_connection(
    rtsp_server: Callable[..., RtspServer], clip: object
) -> None:
    server = rtsp_server(clip=clip, loop=False)
    source = source_for(CameraSettings(url=server.url), Clock())
    frames: list[Decoded] = []
    with pytest.raises(SourceError, match=r"/stream: the connection was closed$"):
        frames.extend(source.frames(threading.Event()))
    assert len(frames) == 30


def test_a_killed_server_is_a_closed_connection(rtsp_server: Callable[..., RtspServer]) -> None:
    server = rtsp_server()
    source = source_for(CameraSettings(url=server.url), Clock())
    with closing(source.frames(threading.Event())) as frames:
        assert len(list(islice(frames, 3))) == 3
        server.kill()
        began = time.monotonic()
        with pytest.raises(SourceError, match=r"/stream: the connection was closed$"):
            list(frames)
    assert time.monotonic() - began < 3


def test_a_frozen_server_times_out_after_5_s(rtsp_server: Callable[..., RtspServer]) -> None:
    """A read timeout may release a delayed frame, which must keep its capture time."""
    server = rtsp_server()
    source = source_for(CameraSettings(url=server.url), Clock())
    with closing(source.frames(threading.Event())) as frames:
        list(islice(frames, 20))
        server.freeze()
        frozen = time.monotonic()
        held_back: list[Decoded] = []
        with pytest.raises(SourceError, match=r"/stream: no picture for 5 s$"):
            held_back.extend(frames)
    assert 4 < time.monotonic() - frozen < 9
    assert all(frame.seconds < frozen + 0.3 for frame in held_back)
    server.thaw()


def test_a_stream_survives_a_short_freeze_of_the_server(
    rtsp_server: Callable[..., RtspServer],
) -> None:
    server = rtsp_server()
    source = source_for(CameraSettings(url=server.url), Clock())
    with closing(source.frames(threading.Event())) as frames:
        list(islice(frames, 20))
        server.freeze()
        threading.Timer(2.5, server.thaw).start()
        times = [frame.seconds for frame in islice(frames, 60)]
    assert all(b - a < 0.2 for a, b in pairwise(times))


def test_a_frozen_server_does_not_delay_the_stop(rtsp_server: Callable[..., RtspServer]) -> None:
    server = rtsp_server()
    stop = threading.Event()
    source = source_for(CameraSettings(url=server.url), Clock())
    with closing(source.frames(stop)) as frames:
        list(islice(frames, 20))
        server.freeze()
        threading.Timer(0.5, stop.set).start()
        began = time.monotonic()
        list(frames)
    assert time.monotonic() - began < 3
    server.thaw()
