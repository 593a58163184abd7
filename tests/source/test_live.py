"""Live streams over real connections: what fails, how it is told, and the times of RTSP."""

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

SECRET = "hunter2"


def read(url: str, count: int | None = None) -> list[Decoded]:
    source = source_for(CameraSettings(url=url), Clock())
    with closing(source.frames(threading.Event())) as frames:
        return list(islice(frames, count))


def failure(url: str) -> SourceError:
    """The error of reading `url`; the password is neither in it nor in what it was raised from."""
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
def test_a_port_that_nobody_listens_on(scheme: str) -> None:
    port = free_port()
    assert str(failure(f"{scheme}://viewer:{SECRET}@127.0.0.1:{port}/stream")) == (
        f"{scheme}://viewer:***@127.0.0.1:{port}/stream: nothing listens there (connection refused)"
    )


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_peer_that_never_answers(scheme: str, short_opening: None) -> None:
    began = time.monotonic()
    with mute_peer() as port:
        error = failure(f"{scheme}://viewer:{SECRET}@127.0.0.1:{port}/stream")
    assert str(error).endswith("/stream: no answer within 1 s")
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_peer_that_sends_garbage(scheme: str, short_opening: None) -> None:
    began = time.monotonic()
    with garbage_peer() as port:
        failure(f"{scheme}://viewer:{SECRET}@127.0.0.1:{port}/stream")
    assert time.monotonic() - began < 4


def test_an_unknown_host() -> None:
    assert str(failure(f"rtsp://viewer:{SECRET}@no-such-host.invalid/stream")) == (
        "rtsp://viewer:***@no-such-host.invalid/stream: the host is unknown or can't be reached"
    )


def test_http_statuses(web_camera: str) -> None:
    camera = web_camera.replace("//", f"//viewer:{SECRET}@")
    refused, forbidden = failure(f"{camera}/refused"), failure(f"{camera}/forbidden")
    assert isinstance(refused, CredentialsRefused)
    assert str(refused).endswith("/refused: the user name or password is wrong or missing (401)")
    assert isinstance(forbidden, CredentialsRefused)
    assert str(forbidden).endswith("/forbidden: access was refused (403)")
    assert str(failure(f"{camera}/gone")).endswith("/gone: there is no such stream (404)")


def test_rtsp_with_a_password(
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


def test_rtsp_of_a_path_that_does_not_exist(ball: RtspServer) -> None:
    assert str(failure(f"{ball.url}/other")).endswith("/other: there is no such stream (404)")


def test_rtsp_times_of_a_clip_advance_by_a_frame_each(
    rtsp_server: Callable[..., RtspServer],
) -> None:
    """With B-frames, whose pictures leave the decoder four at a time."""
    server = rtsp_server(clip=STREET_CLIP)
    began = time.monotonic()
    # The first second is a burst of what the server had ready.
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


def test_a_frozen_server_is_given_up_after_5_s(rtsp_server: Callable[..., RtspServer]) -> None:
    """Each read time-out may hand over a picture held back: its time must be that of its taking."""
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


def test_a_server_frozen_for_a_moment_goes_on(rtsp_server: Callable[..., RtspServer]) -> None:
    server = rtsp_server()
    source = source_for(CameraSettings(url=server.url), Clock())
    with closing(source.frames(threading.Event())) as frames:
        list(islice(frames, 20))
        server.freeze()
        threading.Timer(2.5, server.thaw).start()
        times = [frame.seconds for frame in islice(frames, 60)]
    assert all(b - a < 0.2 for a, b in pairwise(times))


def test_a_frozen_server_does_not_hold_up_the_stop(rtsp_server: Callable[..., RtspServer]) -> None:
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
