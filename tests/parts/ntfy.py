"""A server on the loopback that stands for ntfy, and fails as it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

from tests.parts import free_port

Fault = int | Literal["slow", "closed"]
"""A status in place of 200; `slow` takes the message and answers after the client has given up;
`closed` takes it and closes the connection."""


@dataclass(frozen=True, slots=True)
class Told:
    """A message that came; `fault` is what it was answered with, None for 200."""

    topic: str
    text: str
    picture: bytes | None
    fault: Fault | None


class NtfyServer:
    """`ntfy`'s two ways to publish: JSON to `/`, and an attachment to `/TOPIC?message=…`."""

    def __init__(self, port: int | None = None) -> None:
        self.port = port or free_port()
        self.told: list[Told] = []
        self.faults: deque[Fault] = deque()
        """What the next messages meet, one each."""
        self.always: Callable[[Told], Fault | None] = lambda _: None
        """What a message meets when `faults` is empty."""
        self._changed = threading.Condition()
        self._closing = threading.Event()

    def url(self, topic: str = "alerts") -> str:
        return f"ntfy://127.0.0.1:{self.port}/{topic}?rto=1"

    def __enter__(self) -> Self:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="ntfy", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def taken(self) -> list[Told]:
        """What was answered with 200."""
        return [each for each in self.told if each.fault is None]

    def texts(self, topic: str = "alerts") -> list[str]:
        return [each.text for each in self.taken if each.topic == topic]

    def wait_for(self, enough: Callable[[], Any], timeout: float = 60.0) -> None:
        deadline = time.monotonic() + timeout
        with self._changed:
            while not enough():
                left = deadline - time.monotonic()
                assert left > 0, f"came: {[(each.text, each.fault) for each in self.told]}"
                self._changed.wait(min(left, 0.2))

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        content = request.rfile.read(int(request.headers["Content-Length"]))
        address = urlsplit(request.path)
        if address.path == "/":
            fields = json.loads(content)
            topic, text, picture = fields["topic"], fields.get("message", ""), None
        else:
            topic = address.path.strip("/")
            text = parse_qs(address.query).get("message", [""])[0]
            picture = content
        told = Told(topic, text, picture, None)
        with self._changed:
            fault = self.faults.popleft() if self.faults else self.always(told)
            self.told.append(Told(topic, text, picture, fault))
            self._changed.notify_all()
        if fault == "closed":
            request.close_connection = True
            return
        if fault == "slow":
            self._closing.wait(3.0)
        request.send_response(fault if isinstance(fault, int) else 200)
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"{}")
