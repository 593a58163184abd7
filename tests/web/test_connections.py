"""What strangers may do to `http`: be slow, be many, send anything, hang up, hold on."""

from __future__ import annotations

import gc
import http.client
import logging
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from streamwatch.config import HttpSettings
from streamwatch.errors import UnavailableSetting
from streamwatch.status.socket import ask
from streamwatch.web import connection
from streamwatch.web.app import Pages
from streamwatch.web.connection import MOST_CONNECTIONS
from streamwatch.web.server import Listener
from streamwatch.web.status_socket import StatusServer
from tests.parts import free_port
from tests.parts.waiting import wait_until

PATIENCE_SECONDS = 30.0
MANY = 300
BIG = b"x" * 50_000_000
"""More than the buffers of a connection hold."""


def pages(metrics: Callable[[], bytes] = lambda: b"streamwatch_healthy 1\n") -> Pages:
    return Pages(lambda: (), lambda: True, metrics, lambda: {"version": "1.0"}, lambda _: None)


@pytest.fixture
def listener() -> Iterator[Listener]:
    serving = Listener(HttpSettings(port=free_port()), pages())
    yield serving
    serving.close()


def connect(listener: Listener, sent: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", listener.settings.port), PATIENCE_SECONDS)
    client.sendall(sent)
    return client


def rest(client: socket.socket) -> bytes:
    """What still comes until it is closed."""
    received = b""
    with suppress(ConnectionResetError):
        while chunk := client.recv(65536):
            received += chunk
    return received


def asked(listener: Listener, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    asking = http.client.HTTPConnection("127.0.0.1", listener.settings.port, PATIENCE_SECONDS)
    asking.request(method, path)
    answer = asking.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    asking.close()
    return found


def is_closed(client: socket.socket) -> bool:
    """Found out by sending, as a client does that reads nothing."""
    try:
        client.sendall(b"x")
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/nothing"])
def test_head_gives_the_headers_of_get_and_no_body(listener: Listener, path: str) -> None:
    code, headers, body = asked(listener, "GET", path)
    assert body
    headers.pop("date")
    code_of_head, headers_of_head, nothing = asked(listener, "HEAD", path)
    headers_of_head.pop("date")
    assert (code_of_head, headers_of_head, nothing) == (code, headers, b"")
    assert headers["content-length"] == str(len(body))


def test_other_methods_are_refused(listener: Listener) -> None:
    assert asked(listener, "POST", "/healthz")[0] == 405


def test_silent_connections_leave_room_for_those_who_ask(
    listener: Listener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The number of descriptors is bounded, and neither HTTP nor the status socket is starved."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    status = StatusServer(tmp_path / "s", pages())
    before = descriptors()
    most = 0
    with ExitStack() as stack:
        for number in range(min(MANY, soft // 3)):
            client = stack.enter_context(connect(listener, b"GET /metrics HT"))
            most = max(most, descriptors() - before - number - 1)
            if number % 50 == 0:
                assert asked(listener, "GET", "/healthz")[0] == 200
        assert ask([tmp_path / "s"]) == {"version": "1.0"}
        assert asked(listener, "GET", "/healthz")[0] == 200
        client.sendall(b"TP/1.1\r\nHost: x\r\n\r\n")  # it came last, so it was let in
        assert rest(client).endswith(b"streamwatch_healthy 1\n")
    status.close()
    assert most <= 2 * MOST_CONNECTIONS < MANY  # those that are being closed count for a moment
    assert not warnings(caplog)


def test_an_unfinished_request_is_closed(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that comes byte by byte."""
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.5)
    with connect(listener) as silent, connect(listener, b"GET ") as slow:
        wait_until(lambda: is_closed(slow))
        assert rest(silent) == b""


def test_an_answer_that_is_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.5)
    listener = Listener(HttpSettings(port=free_port()), pages(lambda: BIG))
    with connect(listener, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") as client:
        wait_until(lambda: is_closed(client))
    assert asked(listener, "GET", "/healthz")[0] == 200
    listener.close()


def test_headers_that_are_too_long_are_refused(listener: Listener) -> None:
    with connect(listener, b"GET / HTTP/1.1\r\nX: ") as client:
        with suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(40):
                client.sendall(b"x" * 1024)
                time.sleep(0.001)
        answer = rest(client)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert asked(listener, "GET", "/healthz")[0] == 200


GARBAGE = (
    b"\r\n\r\n\0\xff",
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500),  # a TLS hello
    b"GET /healthz HTTP/9.9\r\n\r\n",
    b"GET \xff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /%ff%00 HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: \xff\xe2\x82\xac\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nshort",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /metrics HTTP/1.1\r\n\0\r\n" * 3,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)


@pytest.mark.parametrize("sent", GARBAGE)
def test_garbage_is_answered_or_closed_without_a_word(
    listener: Listener, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(listener, sent) as client:
        assert rest(client)[:9] in {b"", b"HTTP/1.1 "}
    with connect(listener) as client:
        for byte in sent[:200]:
            with suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(bytes([byte]))
        rest(client)
    assert asked(listener, "GET", "/healthz")[0] == 200
    assert not warnings(caplog)


def test_clients_that_hang_up_are_nothing_to_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Before, in and after the request, and in the answer; politely or by a reset."""
    going = threading.Event()

    def metrics() -> bytes:
        going.wait(0.01)
        return BIG[:500_000]

    listener = Listener(HttpSettings(port=free_port()), pages(metrics))
    request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    for number in range(200):
        client = connect(listener, request[: (number * 7) % (len(request) + 1)])
        if number % 3 == 0:
            client.sendall(request)
            client.settimeout(0.02)
            with suppress(TimeoutError, ConnectionResetError):
                client.recv(100)
        if number % 2:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    assert asked(listener, "GET", "/healthz")[0] == 200
    listener.close()
    assert not warnings(caplog)
    assert capfd.readouterr().err == ""


def test_pages_that_hang_hold_up_neither_the_end_nor_other_clients_for_good(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.5)
    made, hanging = threading.Event(), threading.Event()

    def metrics() -> bytes:
        hanging.set()
        made.wait(PATIENCE_SECONDS)
        return b""

    listener = Listener(HttpSettings(port=free_port()), pages(metrics))
    request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    with connect(listener, request) as first, connect(listener, request) as second:
        assert hanging.wait(PATIENCE_SECONDS)
        assert asked(listener, "GET", "/healthz")[0] == 200
        assert rest(first) == rest(second) == b""  # closed after ANSWER_SECONDS
    with connect(listener, request), connect(listener) as silent:
        listener.close()
        assert rest(silent) == b""
    made.set()
    assert not warnings(caplog)


def test_without_a_descriptor_it_says_so_once_and_goes_on(
    listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    assert asked(listener, "GET", "/healthz")[0] == 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    clients = [socket.socket() for _ in range(20)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(c.fileno() for c in clients) + 1, hard))
        for client in clients:
            client.connect(("127.0.0.1", listener.settings.port))
        wait_until(lambda: bool(warnings(caplog)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for client in clients:
            client.close()
    assert asked(listener, "GET", "/healthz")[0] == 200
    assert warnings(caplog) == ["http: can't accept connections: Too many open files"]


# An event loop that could not be made complains when it is deleted.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_a_descriptor_to_begin_with_there_is_one_clear_error() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    settings = HttpSettings(port=free_port())
    with socket.socket() as lowest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest.fileno() + 2, hard))
        try:
            with pytest.raises(UnavailableSetting, match=r"can't listen .*\(too many open files\)"):
                Listener(settings, pages())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    gc.collect()
