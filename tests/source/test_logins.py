"""Logins of every printable character, and as long as FFmpeg takes them, at real servers."""

from __future__ import annotations

import string
import threading
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from typing import Any

import pytest

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.config.values.addresses import LONGEST_RTSP_LOGIN
from streamwatch.errors import CredentialsRefused
from streamwatch.source import Clock, source_for
from tests.parts.rtsp import RtspServer
from tests.source.peers import http_camera

pytestmark = pytest.mark.slow(seconds=20)

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
PASSWORDS = {
    "first half": PRINTABLE[:48],
    "second half": PRINTABLE[48:],
    "48 special characters": (string.punctuation * 2)[:48],
    "escapes": "%41 %2F%25%",
    "other scripts": "é€日😀ﬁ℀\N{FULLWIDTH SOLIDUS}\N{FULLWIDTH COLON}\N{FULLWIDTH COMMERCIAL AT}",
}

StartRtsp = Callable[..., RtspServer]


def accepted(**settings: Any) -> bool:
    """Whether a picture comes; every other error than a refused login is raised."""
    source = source_for(CameraSettings(**settings), Clock())
    with closing(source.frames(threading.Event())) as frames:
        try:
            return len(list(islice(frames, 1))) == 1
        except CredentialsRefused:
            return False


@pytest.mark.parametrize("digest", [False, True], ids=["basic", "digest"])
@pytest.mark.parametrize("password", PASSWORDS.values(), ids=PASSWORDS.keys())
def test_rtsp_takes_every_character(rtsp_parts: None, password: str, digest: bool) -> None:
    with RtspServer(user="me@home", password=password, digest=digest) as server:
        assert accepted(url=server.url, username="me@home", password=password)
        assert accepted(url=server.url_with_password)
        assert not accepted(url=server.url, username="me@home", password=f"{password}x")


@pytest.mark.parametrize("password", PASSWORDS.values(), ids=PASSWORDS.keys())
def test_http_takes_every_character(password: str) -> None:
    with http_camera(login=f"me@home:{password}") as url:
        assert accepted(url=f"{url}/guarded", username="me@home", password=password)
        assert not accepted(url=f"{url}/guarded", username="me@home", password=f"{password}x")


@pytest.mark.parametrize("digest", [False, True], ids=["basic", "digest"])
@pytest.mark.parametrize("more", [0, 1])
def test_the_longest_login_of_rtsp(rtsp_parts: None, digest: bool, more: int) -> None:
    password = "x" * (LONGEST_RTSP_LOGIN - len("me:") + more)
    with RtspServer(user="me", password=password, digest=digest) as server:
        assert accepted(url=server.url, username="me", password=password) is (more == 0)


def test_http_takes_a_login_of_any_length() -> None:
    password = "x" * 2000
    with http_camera(login=f"me:{password}") as url:
        assert accepted(url=f"{url}/guarded", username="me", password=password)


@pytest.mark.parametrize("digest", [False, True], ids=["basic", "digest"])
def test_an_empty_password_is_sent_over_rtsp(rtsp_parts: None, digest: bool) -> None:
    with RtspServer(user="admin", password="", digest=digest) as server:
        assert accepted(url=server.url, username="admin")
        assert accepted(url=server.url.replace("//", "//admin@"))
        assert not accepted(url=server.url)


def test_an_empty_password_is_sent_over_http() -> None:
    with http_camera(login="admin:") as url:
        assert accepted(url=f"{url}/guarded", username="admin")
        assert accepted(url=f"{url}/guarded".replace("//", "//admin@"))
        assert not accepted(url=f"{url}/guarded")
