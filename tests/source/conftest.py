"""Fixtures for the tests of the sources: one server of each kind per module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.parts.certificates import Authority
from tests.parts.rtsp import RtspServer
from tests.parts.web_cameras import encode, jpegs, live_hls, snapshot_camera, web_files
from tests.source.clips import write_clip
from tests.source.peers import http_camera
from tests.source.waiting import until


@pytest.fixture(scope="module")
def ball(rtsp_server: Callable[..., RtspServer]) -> RtspServer:
    """A live 640x360 picture at 15 fps."""
    return rtsp_server()


@pytest.fixture(scope="module")
def encrypted_ball(rtsp_server: Callable[..., RtspServer], authority: Authority) -> RtspServer:
    return rtsp_server(certificate=authority.issue("ball"))


@pytest.fixture(scope="module")
def web_camera() -> Iterator[str]:
    with http_camera() as url:
        yield url


@pytest.fixture(scope="module")
def web_folder(clip: Path) -> Iterator[str]:
    with web_files(clip.parent) as server:
        yield server.url


@pytest.fixture(scope="module")
def web_pictures(long_clip: Path) -> Iterator[str]:
    with snapshot_camera(jpegs(long_clip)) as server:
        yield server.url


@pytest.fixture(scope="module")
def web_hls(long_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    keyed = tmp_path_factory.mktemp("hls") / "keyed.mp4"
    encode(long_clip, keyed, key_seconds=1, before=0, after=0)
    with live_hls(keyed, segment_seconds=1) as server:
        until(lambda: (Path(server.state["folder"]) / "live.m3u8").exists(), 20)
        yield f"{server.url}/live.m3u8"


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute at 15 fps, 160x120."""
    return write_clip(tmp_path_factory.mktemp("long") / "clip.mp4", frames=900)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds at 15 fps, 160x120."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4")
