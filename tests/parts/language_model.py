"""A server on the loopback with OpenAI's chat completions, and faults if a test wants them."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.parts.certificates import Certificate
from tests.parts.serving import in_a_thread

DRIP_SECONDS = 0.05
"""Between two bytes of a server that drips."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


class Request(BaseHTTPRequestHandler):
    server: LanguageModelServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.close_connection = True
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(Asked(self.path, dict(self.headers), json.loads(content)))
        number = min(len(self.server.asked), len(self.server.replies))
        with suppress(OSError):  # it was waited for no longer
            self.server.replies[number - 1](self)

    def answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


Reply = Callable[[Request], None]


class LanguageModelServer(ThreadingHTTPServer):
    """Gives one of `replies` to each request, the last of them again and again."""

    daemon_threads = True

    def __init__(self, replies: tuple[Reply, ...], certificate: Certificate | None) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.replies = replies
        self.asked: list[Asked] = []
        self.ended = threading.Event()
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate.path, certificate.key)

    @property
    def where(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{'http' if self._context is None else 'https'}://{self.where}/v1"

    def get_request(self) -> tuple[socket.socket, Any]:
        line, address = super().get_request()
        if self._context is not None:  # the handshake comes with the first read, in its own thread
            line = self._context.wrap_socket(line, server_side=True, do_handshake_on_connect=False)
        return line, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: it is left in the middle of a handshake or an answer."""


@contextmanager
def serving(
    *replies: Reply, certificate: Certificate | None = None
) -> Iterator[LanguageModelServer]:
    with in_a_thread(LanguageModelServer(replies, certificate)) as server:
        try:
            yield server
        finally:
            server.ended.set()


def says(content: object, finish_reason: str = "stop") -> Reply:
    """An answer of the model, in the form that servers give it."""
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return sends({"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice]})


def sends(content: object, status: int = 200, **headers: str) -> Reply:
    """JSON, or bytes as they are."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return lambda request: request.answer(status, body, **headers)


def refuses(status: int, message: str) -> Reply:
    return sends({"error": {"message": message, "type": "invalid_request_error"}}, status)


def writes(content: bytes) -> Reply:
    """What need not be HTTP, and then the end of the connection."""

    def reply(request: Request) -> None:
        request.wfile.write(content)

    return reply


def silent(request: Request) -> None:
    request.server.ended.wait()


def drips(head: bytes) -> Reply:
    """Goes on with a space now and then, after `head`, and never ends."""

    def reply(request: Request) -> None:
        request.wfile.write(head)
        while not request.server.ended.wait(DRIP_SECONDS):
            request.wfile.write(b" ")

    return reply


def floods(request: Request) -> None:
    """Goes on as fast as it can, and never ends."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not request.server.ended.is_set():
        request.wfile.write(b" " * 65_536)
