"""A server on the loopback with OpenAI's chat completions, and faults if a test wants them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.parts.certificates import Certificate
from tests.parts.serving import EncryptedHTTPServer, in_a_thread

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


class LanguageModelServer(EncryptedHTTPServer):
    """Gives one of `replies` to each request, the last of them again and again."""

    def __init__(self, replies: tuple[Reply, ...], certificate: Certificate | None) -> None:
        super().__init__(Request, certificate)
        self.replies = replies
        self.asked: list[Asked] = []
        self.ended = threading.Event()

    @property
    def where(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{self.address}/v1"


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
