"""Fixtures for the tests of the sources: one server of each kind per module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.parts.certificates import Authority
from tests.parts.rtsp import RtspServer
from tests.source.clips import write_clip
from tests.source.peers import http_camera


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


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds at 15 fps, 160x120."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4")
