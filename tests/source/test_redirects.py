"""Redirects of HTTP cameras: followed where they may lead, and nowhere else."""

from __future__ import annotations

import base64
import ipaddress
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.errors import SourceError
from streamwatch.source import Clock, Decoded, certificates, decoding, redirects, source_for
from streamwatch.source.redirects import host_classes
from tests.parts import free_port
from tests.parts.certificates import Authority, self_signed
from tests.parts.serving import in_a_thread
from tests.source.clips import write_clip
from tests.source.peers import http_camera

Places = dict[str, str | bytes]
"""For each path the address that it redirects to, or its content."""


class _Handler(BaseHTTPRequestHandler):
    server: Web

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        login = self.headers.get("Authorization")
        self.server.asked.append((self.path, login))
        place = self.server.places.get(urlsplit(self.path).path)
        if self.server.login and not (login or "").startswith(self.server.login):
            self.send_response(401)
            kind = self.server.login.partition(" ")[0]
            self.send_header("WWW-Authenticate", f'{kind} realm="camera", nonce="1", qop="auth"')
            content = b""
        elif isinstance(place, str):
            self.send_response(302)
            self.send_header("Location", place)
            content = b""
        else:
            self.send_response(404 if place is None else 200)
            content = place or b""
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        try:
            self.wfile.write(content)
        except OSError:
            return


class Web(ThreadingHTTPServer):
    """Holds what it was asked, with the login that came along.

    With `login` it wants one that begins so.
    """

    def __init__(self, host: str, places: Places) -> None:
        self.host = host
        self.places = places
        self.login: str | None = None
        self.asked: list[tuple[str, str | None]] = []
        super().__init__((host, 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.server_address[1]}"

    def paths(self) -> set[str]:
        return {path for path, _ in self.asked}


@contextmanager
def web(places: Places, host: str = "127.0.0.1") -> Iterator[Web]:
    with in_a_thread(Web(host, places)) as server:
        yield server


@pytest.fixture(scope="module")
def video(clip: Path) -> bytes:
    return clip.read_bytes()


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name for this machine that seems to be another one."""
    known = redirects.addresses
    monkeypatch.setattr(
        redirects,
        "addresses",
        lambda host: ["192.0.2.1"] if host == "127.0.0.2" else known(host),
    )
    return "127.0.0.2"


def read(url: str, count: int | None = 3, **settings: Any) -> list[Decoded]:
    source = source_for(CameraSettings(url=url, **settings), Clock())
    with closing(source.frames(threading.Event())) as frames:
        return list(islice(frames, count))


def failure(url: str, **settings: Any) -> str:
    with pytest.raises(SourceError) as raised:
        read(url, None, **settings)
    assert raised.value.__cause__ is raised.value.__context__ is None
    return str(raised.value)


@pytest.mark.parametrize("target", ["/clip.mp4", "clip.mp4?a=1", "//{host}/clip.mp4"])
def test_a_redirect_on_the_same_host_is_followed(video: bytes, target: str) -> None:
    with web({"/clip.mp4": video}) as server:
        server.places["/stream"] = target.format(host=server.url.removeprefix("http://"))
        assert len(read(f"{server.url}/stream")) == 3


def test_a_redirect_from_this_machine_to_this_machine_is_followed(video: bytes) -> None:
    with web({"/clip.mp4": video}) as other, web({}) as server:
        server.places |= {"/one": "/two", "/two": f"{other.url}/clip.mp4"}
        assert len(read(f"{server.url}/one")) == 3
        assert len(read(f"{server.url.replace('127.0.0.1', 'localhost')}/one")) == 3


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0.0.0.0", "127.1", "2130706433", "[::ffff:127.0.0.1]", "[::1]"],
)
def test_a_redirect_from_another_machine_to_this_one_is_refused(
    elsewhere: str, video: bytes, host: str
) -> None:
    with web({"/secret": video}) as inner, web({}, elsewhere) as server:
        port = inner.server_address[1]
        server.places["/stream"] = f"http://{host}:{port}/secret?token=hunter2"
        assert failure(f"{server.url}/stream") == (
            f"{server.url}/stream: it redirects to http://{host}:{port}/…, which is this machine: "
            "refused"
        )
        assert inner.asked == []


def test_a_second_redirect_is_looked_at_too(elsewhere: str, video: bytes) -> None:
    with web({"/secret": video}) as inner, web({}, elsewhere) as server:
        server.places |= {"/one": "/two", "/two": f"{inner.url}/secret"}
        assert failure(f"{server.url}/one").endswith("which is this machine: refused")
        assert inner.asked == []


def test_a_redirect_to_a_link_local_address_is_refused() -> None:
    with web({"/stream": "http://169.254.169.254/latest/meta-data"}) as server:
        assert failure(f"{server.url}/stream") == (
            f"{server.url}/stream: it redirects to http://169.254.169.254/…, which is a "
            "link-local address: refused"
        )


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "rtsp://host/", "concat:/etc/passwd", "http://h:x/", "http://a\\b/"],
)
def test_a_redirect_to_no_address_of_http_is_refused(target: str) -> None:
    with web({"/stream": target}) as server:
        assert failure(f"{server.url}/stream") == (
            f"{server.url}/stream: it redirects to what is no address of HTTP: refused"
        )


def test_a_redirect_to_an_unknown_host_is_an_error() -> None:
    with web({"/stream": "http://no-such-host.invalid/"}) as server:
        assert failure(f"{server.url}/stream").endswith(
            "it redirects to http://no-such-host.invalid/…, and that host is unknown"
        )


def test_a_redirect_in_a_circle_is_an_error() -> None:
    with web({"/one": "/two", "/two": "/one"}) as server:
        assert failure(f"{server.url}/one") == (f"{server.url}/one: it redirects more than 5 times")
        assert len(server.asked) < 10


def test_five_redirects_are_followed(video: bytes) -> None:
    with web({"/5": video, **{f"/{hop}": f"/{hop + 1}" for hop in range(5)}}) as server:
        assert len(read(f"{server.url}/0")) == 3


def test_a_redirect_to_nobody_is_an_error() -> None:
    with web({"/stream": f"http://127.0.0.1:{free_port()}/"}) as server:
        assert failure(f"{server.url}/stream") == (
            f"{server.url}/stream: nothing listens there (connection refused)"
        )


@pytest.mark.parametrize("encrypted", [False, True])
def test_an_answer_that_trickles_in_ends_at_the_deadline(
    authority: Authority, encrypted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes soon enough, and the head never ends."""
    monkeypatch.setattr(decoding, "OPEN_SECONDS", 1.0)

    class Trickle(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            line: socket.socket = self.request
            if encrypted:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(certificate.path, certificate.key)
                line = context.wrap_socket(line, server_side=True)
            with line, suppress(OSError):
                line.sendall(b"HTTP/1.1 302 Found\r\n")
                while True:
                    line.sendall(b"A: b\r\n")
                    time.sleep(0.05)

    certificate = authority.issue("trickle")
    with in_a_thread(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Trickle)) as server:
        address = f"{'https' if encrypted else 'http'}://127.0.0.1:{server.server_address[1]}/"
        began = time.monotonic()
        assert failure(address).endswith("/: no answer within 1 s")
        assert time.monotonic() - began < 10


def test_the_login_goes_along_on_the_same_host_only(video: bytes) -> None:
    login = f"Basic {base64.b64encode(b'me:hunt@er2').decode()}"
    with web({"/clip.mp4": video}) as other, web({"/clip.mp4": video}) as server:
        server.login = login
        server.places |= {"/here": "/clip.mp4", "/there": f"{other.url}/clip.mp4"}
        within = server.url.replace("//", "//me:hunt%40er2@")
        for url, settings in (
            (server.url, {"username": "me", "password": "hunt@er2"}),
            (within, {}),
        ):
            server.asked.clear()
            assert len(read(f"{url}/here", 3, **settings)) == 3
            assert ("/clip.mp4", login) in server.asked
            assert len(read(f"{url}/there", 3, **settings)) == 3
        assert other.paths() == {"/clip.mp4"}
        assert {given for _, given in other.asked} == {None}
        assert "hunt" not in failure(f"{within}/gone")


def test_a_redirect_behind_a_digest_login_is_followed(video: bytes) -> None:
    with web({"/clip.mp4": video, "/stream": "/clip.mp4"}) as server:
        server.login = 'Digest username="me"'
        assert len(read(f"{server.url}/stream".replace("//", "//me:hunter2@"))) == 3


def test_a_redirect_to_https_is_followed_with_that_hosts_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    with (
        web({}) as server,
        http_camera(certificate=self_signed(tmp_path, "camera")) as own,
        http_camera(certificate=authority.issue("redirected")) as signed,
    ):
        server.places |= {"/own": f"{own}/stream", "/signed": f"{signed}/stream"}
        assert len(read(f"{server.url}/own")) == 3
        monkeypatch.setattr(certificates, "is_certified", lambda url: True)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
        assert len(read(f"{server.url}/signed")) == 3
        assert failure(f"{server.url}/own") == (
            f"{server.url}/own: the camera shows a certificate of an authority that is not trusted"
        )


@pytest.mark.parametrize("kind", ["mp4", "m3u8"])
def test_a_camera_without_redirects_is_asked_once(video: bytes, tmp_path: Path, kind: str) -> None:
    part = write_clip(tmp_path / "part.ts").read_bytes()
    with web({"/clip.mp4": video, "/clip.m3u8": playlist("part.ts"), "/part.ts": part}) as server:
        assert len(read(f"{server.url}/clip.{kind}")) == 3
        assert len([path for path, _ in server.asked if path == f"/clip.{kind}"]) <= 2


def test_a_playlist_reaches_no_file(tmp_path: Path) -> None:
    part = write_clip(tmp_path / "part.ts")
    with web({"/clip.m3u8": playlist(f"file://{part}")}) as server:
        assert failure(f"{server.url}/clip.m3u8").endswith("this is not a video, or a broken one")


def playlist(part: str) -> bytes:
    lines = ("#EXTM3U", "#EXT-X-TARGETDURATION:2", "#EXTINF:2,", part, "#EXT-X-ENDLIST", "")
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "this machine"),
        ("127.8.9.1", "this machine"),
        ("0.0.0.0", "this machine"),
        ("0.1.2.3", "this machine"),
        ("::", "this machine"),
        ("::1", "this machine"),
        ("::ffff:127.0.0.1", "this machine"),
        ("169.254.1.1", "a link-local address"),
        ("fe80::1", "a link-local address"),
        ("::ffff:169.254.1.1", "a link-local address"),
        ("192.168.1.2", "another machine"),
        ("8.8.8.8", "another machine"),
        ("2001:db8::1", "another machine"),
    ],
)
def test_the_classes_of_addresses(address: str, kind: str) -> None:
    host = f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
    assert host_classes(urlsplit(f"http://me@{host}:8080/x")) == {kind}
