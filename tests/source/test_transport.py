"""Streams over UDP, TLS and IPv6 and with a login, from real servers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.errors import CredentialsRefused, SourceError
from streamwatch.source import Capture, Clock, Decoded, Slot, certificates, source_for
from tests.parts import free_port
from tests.parts.certificates import Authority, Certificate, self_signed
from tests.parts.rtsp import RtspServer
from tests.source.peers import PASSWORD, USER, http_camera
from tests.source.waiting import until

pytestmark = pytest.mark.slow(seconds=15)

StartRtsp = Callable[..., RtspServer]


def read(count: int | None = None, **settings: Any) -> list[Decoded]:
    source = source_for(CameraSettings(**settings), Clock())
    with closing(source.frames(threading.Event())) as frames:
        return list(islice(frames, count))


def failure(**settings: Any) -> SourceError:
    with pytest.raises(SourceError) as raised:
        read(**settings)
    return raised.value


# --- UDP -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["kill", "freeze"])
def test_a_killed_or_frozen_server_over_udp_is_noticed(rtsp_server: StartRtsp, end: str) -> None:
    server = rtsp_server()
    source = source_for(CameraSettings(url=server.url, transport="udp"), Clock())
    with closing(source.frames(threading.Event())) as frames:
        assert len(list(islice(frames, 20))) == 20
        getattr(server, end)()
        gone = time.monotonic()
        with pytest.raises(SourceError, match=r"/stream: (no picture for 5 s|the connection was)"):
            list(frames)
    assert time.monotonic() - gone < 9
    server.kill()


# --- login ---------------------------------------------------------------------------------------


def test_a_password_with_special_characters_works(
    rtsp_server: StartRtsp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = rtsp_server(user=USER, password=PASSWORD)
    assert len(read(3, url=server.url, username=USER, password=PASSWORD)) == 3
    for wrong in ({"username": USER, "password": f"{PASSWORD}x"}, {"username": USER}, {}):
        error = failure(url=server.url, **wrong)
        assert isinstance(error, CredentialsRefused)
        assert str(error) == (f"{server.url}: the user name or password is wrong or missing (401)")
    assert "p@ss" not in caplog.text
    assert "p%40ss" not in caplog.text


def test_http_passwords_are_used() -> None:
    with http_camera() as url:
        guarded = f"{url}/guarded"
        assert len(read(3, url=guarded, username=USER, password=PASSWORD)) == 3
        assert isinstance(failure(url=guarded, username=USER, password="x"), CredentialsRefused)


def test_the_separate_password_is_in_no_problem_and_no_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    problems: list[str] = []
    url = f"rtsp://127.0.0.1:{free_port()}/stream"
    capture = Capture(
        "porch",
        CameraSettings(url=url, username=USER, password=PASSWORD),
        slot=Slot(threading.Condition()),
        due=lambda seconds: True,
        on_problem=problems.append,
    )
    capture.start()
    until(lambda: bool(problems))
    capture.stop()
    assert problems == [f"{url}: nothing listens there (connection refused)"]
    assert "p@ss" not in caplog.text
    assert "p%40ss" not in caplog.text


# --- IPv6 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rtsp_over_ipv6(rtsp_server: StartRtsp, ipv6: str, transport: str) -> None:
    server = rtsp_server(host=ipv6, user=USER, password=PASSWORD)
    assert "[::1]" in server.url
    login = {"username": USER, "password": PASSWORD}
    assert len(read(3, url=server.url, transport=transport, **login)) == 3
    server.kill()
    assert str(failure(url=server.url)) == (
        f"{server.url}: nothing listens there (connection refused)"
    )


@pytest.mark.parametrize("encrypted", [False, True])
def test_http_over_ipv6(authority: Authority, ipv6: str, encrypted: bool) -> None:
    with http_camera(ipv6, authority.issue("six") if encrypted else None) as url:
        assert len(read(3, url=f"{url}/stream")) == 3


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(params=["rtsps", "https"])
def served(request: pytest.FixtureRequest) -> Callable[[Certificate], str]:
    """Serves with a certificate over each of the protocols; returns the URL."""

    def serve(certificate: Certificate) -> str:
        if request.param == "rtsps":
            server: RtspServer = request.getfixturevalue("rtsp_server")(certificate=certificate)
            request.addfinalizer(server.kill)
            return server.url
        camera = http_camera(certificate=certificate)
        url = camera.__enter__()
        request.addfinalizer(lambda: camera.__exit__(None, None, None))
        return f"{url}/stream"

    return serve


Serve = Callable[[Certificate], str]


@pytest.fixture
def verified(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat the loopback as a host of the internet, and `authority` as one of the system's."""
    monkeypatch.setattr(certificates, "is_certified", lambda url: True)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))


def test_a_self_signed_certificate_is_accepted_in_the_local_network(
    served: Serve, tmp_path: Path
) -> None:
    assert len(read(3, url=served(self_signed(tmp_path, "IPCamera")))) == 3


def test_a_certificate_of_a_trusted_authority_is_accepted(
    served: Serve, authority: Authority, verified: None
) -> None:
    url = served(authority.issue("camera"))
    assert len(read(3, url=url)) == 3
    assert len(read(3, url=url.replace("127.0.0.1", "localhost"))) == 3


@pytest.mark.parametrize(
    ("certificate", "said"),
    [
        ("self-signed", "shows a certificate of an authority that is not trusted"),
        ("expired", "shows a certificate that has expired"),
        ("elsewhere", "shows a certificate for another host name"),
    ],
)
def test_an_invalid_certificate_is_refused(
    served: Serve,
    authority: Authority,
    verified: None,
    tmp_path: Path,
    certificate: str,
    said: str,
) -> None:
    shown = {
        "self-signed": lambda: self_signed(tmp_path, "IPCamera"),
        "expired": lambda: authority.issue("expired", days=-1),
        "elsewhere": lambda: authority.issue("elsewhere", hosts=("cam.example.com",)),
    }[certificate]()
    url = served(shown)
    login = {"username": USER, "password": PASSWORD}
    assert str(failure(url=url, **login)) == f"{url}: the camera {said}"


def test_tls_to_a_camera_without_tls_gives_a_clear_error(ball: RtspServer, web_camera: str) -> None:
    for url in (ball.url.replace("rtsp", "rtsps"), web_camera.replace("http", "https")):
        assert str(failure(url=url)) in (
            f"{url}: the camera does not speak TLS on this port",
            f"{url}: the camera closes the connection instead of speaking TLS",
        )


def test_tls_to_a_closed_port_or_unknown_host_gives_a_clear_error() -> None:
    url = f"rtsps://127.0.0.1:{free_port()}/stream"
    assert str(failure(url=url)) == f"{url}: nothing listens there (connection refused)"
    assert str(failure(url="https://no-such-host.invalid/")) == (
        "https://no-such-host.invalid/: the host is unknown or can't be reached"
    )


def test_only_public_tls_hosts_are_verified_with_the_systems_authorities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert certificates.tls_options("https://cam.example.com/") == {
        "tls_verify": "1",
        "ca_file": str(bundle),
    }
    monkeypatch.delenv("SSL_CERT_FILE")
    assert certificates.tls_options("https://cam.example.com/")["tls_verify"] == "1"
    assert certificates.tls_options("https://192.168.1.20/") == {"tls_verify": "0"}
    assert certificates.tls_options("http://cam.example.com/") == {}
