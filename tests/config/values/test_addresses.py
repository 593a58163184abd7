"""What is said of a camera's address that is none, and which files pass for files."""

# ruff: noqa: E501 - a table

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.config.values.addresses import (
    on_own_network,
    with_credentials,
    with_short_login,
)
from streamwatch.config.values.paths import Reading
from streamwatch.config.wording import Wrong

SCHEME = "looks like an address without its scheme; write rtsp:// or http:// before it"
RTSP = "most cameras have an RTSP address too; write that, as rtsp://host:554/…"
PUSHED = "is a stream that is sent rather than asked for, and is not read; have a server such as MediaMTX take it, and write that one's rtsp://…"
COMMAND = "is a command for go2rtc or FFmpeg, and no program is run here; write the address it reads from, as rtsp://…"
BRACES = "holds a name in { }, which may not stand in a URL; write ${NAME} for an environment variable, or %7B and %7D for the braces themselves"
UNKNOWN = "has a scheme that is not known; write rtsp://…, rtsps://…, http://…, https://…, bundled:street, a file, /dev/video0 or a number"


def said(url: str, folder: Path) -> str | None:
    try:
        CameraSettings.model_validate({"url": url}, context=Reading(folder))
    except ValidationError as error:
        (details,) = error.errors()
        wrong = details["ctx"]["error"]
        assert isinstance(wrong, Wrong)
        return wrong.predicate
    return None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("192.168.1.20", SCHEME),
        ("192.168.1.20/", SCHEME),
        ("192.168.1.20:554/stream", SCHEME),
        ("192.168.1.20/video.mjpg?channel=1", SCHEME),
        ("192.168.1.20?channel=1", SCHEME),
        ("camera:554", SCHEME),
        ("camera:8080/video.mjpg", SCHEME),
        ("localhost", SCHEME),
        ("localhost:8554/porch", SCHEME),
        ("camera.local", SCHEME),
        ("camera.local/stream", SCHEME),
        ("Porch.LAN./video.mjpg", SCHEME),
        ("cam.example.com", SCHEME),
        ("cam.example.de/stream", SCHEME),
        ("[fe80::1]/x", SCHEME),
        ("[fe80::1]:554/x", SCHEME),
        ("fe80::1", SCHEME),
        ("user:pass@host", SCHEME),
        ("user:pass@host/stream.mp4", SCHEME),
        ("me@192.168.1.20/stream", SCHEME),
        ("ffmpeg:rtsp://cam/x#video=h264", "is a form of go2rtc; write what follows ffmpeg:, without what it has from # on"),
        ("ffmpeg:porch", "is a form of go2rtc; write what follows ffmpeg:, without what it has from # on"),
        ("exec:ffmpeg -i rtsp://cam/ -f mpegts -", COMMAND),
        ("echo:cat /etc/camera", COMMAND),
        ("pipe:0", COMMAND),
        ("file:///videos/clip.mp4", "is a file as a URL; write its path alone, as /videos/clip.mp4"),
        ("file:clip.mp4", "is a file as a URL; write its path alone, as /videos/clip.mp4"),
        ("rtsp:cam", "lacks a slash; write rtsp://host/…"),
        ("RTSP:/cam", "lacks a slash; write rtsp://host/…"),
        ("rtspx://cam:7441/abc", "is RTSP in another program's words; write rtsp://…"),
        ("rtspu://cam/", "is RTSP over UDP in another program's words; write rtsp://… and transport: udp"),
        ("v4l2:/dev/video0", "is a device in another program's words; write /dev/video0 or its number"),
        ("onvif://me:pw@cam", f"is the address for asking a camera about its streams; {RTSP}"),
        ("rtmp://cam/live", f"is RTMP, which is not read; {RTSP}"),
        ("webrtc:http://cam/api", f"is for browsers (WebRTC, MSE) and is not read; {RTSP}"),
        ("webrtc://cam", f"is for browsers (WebRTC, MSE) and is not read; {RTSP}"),
        ("srt://cam:9000", PUSHED),
        ("udp://@:1234", PUSHED),
        ("rtp://0.0.0.0:5004", PUSHED),
        ("tapo://pw@cam", "is a protocol of go2rtc's; have go2rtc offer it as RTSP, and write rtsp://host:8554/NAME"),
        ("ftp://cam/x", UNKNOWN),
        ("rtsp://me:{PW}@cam/", BRACES),
        ("http://cam/{STREAM}", BRACES),
        ("rtsp://me:$PW@cam/", None),
        ("http://cam/?id={4f9c-11}", None),
        ("clip.mp4", None),
        ("videos/clip.mp4", None),
        ("my.videos/clip.mp4", None),
        ("my videos/porch", None),
        ("2026.11.26.mkv", None),
        ("./camera.local/stream", None),
        ("../192.168.1.20", None),
        ("~/192.168.1.20", None),
        ("/192.168.1.20", None),
        ("porch", None),
        ("recording 12:30.ts", None),
    ],
)  # fmt: skip
def test_what_is_said_of_an_address(tmp_path: Path, url: str, expected: str | None) -> None:
    assert said(url, tmp_path) == expected


def test_what_is_there_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "camera.local").mkdir()
    (tmp_path / "192.168.1.20").touch()
    assert said("camera.local/stream", tmp_path) is None
    assert said("192.168.1.20", tmp_path) is None
    assert said("camera.lan/stream", tmp_path) == SCHEME


@pytest.mark.parametrize(
    ("username", "password", "written"),
    [
        ("me", None, "me:"),
        ("me", "", "me:"),
        ("me", "!\"$&'()*+,-.:;<=>@\\^_`{|}~", "me:!\"$&'()*+,-.:;<=>@\\^_`{|}~"),
        ("me", "/?#%[] ", "me:%2F%3F%23%25%5B%5D%20"),
        ("me", "a\tb", "me:a%09b"),
        ("a:b", "a:b", "a%3Ab:a:b"),
        ("zoë", "日", "zoë:日"),
        ("me", "\N{FULLWIDTH SOLIDUS}", "me:%EF%BC%8F"),
    ],
)
def test_only_what_must_be_is_encoded(username: str, password: str | None, written: str) -> None:
    assert with_credentials("rtsp://cam/x", username, password) == f"rtsp://{written}@cam/x"


@pytest.mark.parametrize(
    ("url", "short"),
    [
        ("rtsp://cam/%21", "rtsp://cam/%21"),
        ("rtsp://me%40home:%21%7e%20%2F%3a%e9%25%41@cam/%21", "rtsp://me@home:!~%20%2F%3A%e9%25A@cam/%21"),
        ("rtsp://me:100%@cam/", "rtsp://me:100%@cam/"),
        ("rtsp://me:%2541@cam/", "rtsp://me:%2541@cam/"),
        ("rtsp://me:%%341%4%31@cam/", "rtsp://me:%%341%4%31@cam/"),
    ],
)  # fmt: skip
def test_a_login_in_the_url_loses_the_encoding_that_it_does_not_need(url: str, short: str) -> None:
    assert with_short_login(url) == short


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(TEXTS, TEXTS)
def test_a_login_can_be_read_back(username: str, password: str) -> None:
    parts = urlsplit(with_credentials("http://cam:80/x?y#z", username, password))
    assert unquote(parts.username or "") == username
    assert unquote(parts.password or "") == password
    assert (parts.hostname, parts.port, parts.path) == ("cam", 80, "/x")


OWN = """
localhost LOCALHOST localhost. ollama.localhost 127.0.0.1 127.8.9.10 127.1 2130706433 0x7f000001
[::1] 0.0.0.0 [::] 10.0.0.5 172.16.0.1 172.31.255.255 192.168.178.20 169.254.3.4 100.64.0.1
100.127.255.255 [fe80::1] [fe80::1%25eth0] [fd12:3456::1] [fc00::1] [::ffff:127.0.0.1]
[::ffff:192.168.1.2] [::ffff:c0a8:102] ollama Ollama llama-server my_model büro
server.local SERVER.LOCAL server.local. a.b.lan box.home model.internal host.docker.internal
nas.home.arpa nas.fritz.box fritz.box user:secret@localhost user@192.168.1.2
"""
OTHER = """
example.com api.example.com. 8.8.8.8 1.1.1.1 172.15.255.255 172.32.0.1 192.169.0.1 100.63.255.255
100.128.0.0 169.253.0.1 11.0.0.1 134744072 0x08080808 010.0.0.1 8.8 [2606:4700::1111]
[::ffff:8.8.8.8] [fec0::1] local.example.com localhost.example.com notlocal.com mylan.de
xfritz.box fritz.box.example.com 127.0.0.1.example.com 127.0.0.1@example.com
localhost:11434@example.com example\u3002com example\uff0ecom
"""


@pytest.mark.parametrize(
    ("host", "own"),
    [(host, True) for host in OWN.split()] + [(host, False) for host in OTHER.split()],
)
def test_it_is_seen_by_its_writing_whether_a_host_stands_on_the_own_network(
    host: str, own: bool
) -> None:
    for url in (f"http://{host}", f"https://{host}/v1", f"http://{host}:11434/v1?x=127.0.0.1"):
        assert on_own_network(url) is own


@pytest.mark.parametrize("url", ["http://", "http:///v1", "http://[::1", "http://.", ""])
def test_no_host_is_not_on_the_own_network(url: str) -> None:
    assert not on_own_network(url)
