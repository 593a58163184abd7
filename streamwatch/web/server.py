"""HTTP: health, readiness and metrics."""

from __future__ import annotations

import hmac
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from streamwatch import __version__
from streamwatch.config import HttpSettings, bracketed
from streamwatch.errors import UnavailableSetting

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0
"""How long to wait for a client's request."""
RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Pages:
    """The content of the pages; called in a thread per request. `stuck` gives sentences."""

    stuck: Callable[[], tuple[str, ...]]
    ready: Callable[[], bool]
    metrics: Callable[[], bytes]


class Web:
    """Serves the pages at the address in the setting `http`, if there is one. Owned by one thread.

    `on_change` is called when `problem` is set or cleared; in the thread `http` when the address
    can be listened on at last.
    """

    def __init__(self, pages: Pages, on_change: Callable[[], None]) -> None:
        self._pages = pages
        self._on_change = on_change
        self._listener: Listener | None = None

    @property
    def problem(self) -> str | None:
        """Why the address of `http` can't be listened on at present."""
        return None if self._listener is None else self._listener.problem

    def open(self, settings: HttpSettings | None) -> None:
        """Listen; if that fails, set `problem` and retry until it works."""
        if settings is None:
            return
        self._listener = Listener(settings, self._pages, later=self._on_change)
        if self._listener.problem is not None:
            self._on_change()

    def change(self, before: HttpSettings | None, now: HttpSettings | None) -> None:
        """Listen at another address. Raises UnavailableSetting, and listens as before."""
        same_place = before and now and (before.host, before.port) == (now.host, now.port)
        if same_place:
            self.close()
        try:
            listener = None if now is None else Listener(now, self._pages)
        except UnavailableSetting:
            if same_place:
                self.open(before)
            raise
        had_a_problem = self.problem is not None
        self.close()
        self._listener = listener
        if had_a_problem:
            self._on_change()

    def close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()


class Listener:
    """Listens at one address until `close`.

    Raises UnavailableSetting if it can't. With `later` that is logged and set as `problem` instead,
    and retried; `later` is called in the thread `http` when it works.

    If a `token` is set, `/metrics` requires it (`Authorization: Bearer …`).
    """

    def __init__(
        self, settings: HttpSettings, pages: Pages, *, later: Callable[[], None] | None = None
    ) -> None:
        self.settings = settings
        self.pages = pages
        self.problem: str | None = None
        self._later = later
        self._lock = threading.Lock()
        """Held while starting to listen or closing."""
        self._closed = threading.Event()
        self._server: _Server | None = None
        try:
            self._server = self._listening()
        except UnavailableSetting as error:
            if later is None:
                raise
            self.problem = str(error)
            log.error("%s; trying again, all else goes on", error)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        with self._lock:
            self._closed.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self._thread.join()

    def _run(self) -> None:
        while self._server is None:
            if self._closed.wait(RETRY_SECONDS):
                return
            self._try_again()
        self._server.serve_forever()

    def _try_again(self) -> None:
        with self._lock:
            if self._closed.is_set():
                return
            with suppress(UnavailableSetting):
                self._server = self._listening()
        if self._server is not None and self._later is not None:
            self.problem = None
            self._later()

    def _listening(self) -> _Server:
        """Raises UnavailableSetting."""
        host, port = self.settings.host, self.settings.port
        try:
            server = _Server(self, host, port)
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise UnavailableSetting(
                "http.port", f"can't listen on {bracketed(host)}:{port} ({reason})"
            ) from None
        log.info("listening on http://%s:%d", bracketed(host), port)
        return server

    def lets_in(self, authorization: str) -> bool:
        token = self.settings.token
        if token is None:
            return True
        wanted = f"Bearer {token.get_secret_value()}"
        return hmac.compare_digest(authorization.encode(), wanted.encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listener: Listener, host: str, port: int) -> None:
        self.listener = listener
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Request)


class _Request(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE_SECONDS
    server_version = f"streamwatch/{__version__}"
    sys_version = ""

    def do_GET(self) -> None:
        listener = self.server.listener
        match self.path.partition("?")[0]:
            case "/healthz":
                stuck = listener.pages.stuck()
                self._answer(503 if stuck else 200, "\n".join(stuck) or "ok")
            case "/readyz":
                ready = listener.pages.ready()
                self._answer(200 if ready else 503, "ok" if ready else "starting")
            case "/metrics" if not listener.lets_in(self.headers.get("Authorization", "")):
                self._answer(401, "a token is needed: Authorization: Bearer …")
            case "/metrics":
                self._send(
                    200, "text/plain; version=0.0.4; charset=utf-8", listener.pages.metrics()
                )
            case _:
                self._answer(404, "there are /healthz, /readyz and /metrics")

    def _answer(self, status: int, text: str) -> None:
        self._send(status, "text/plain; charset=utf-8", f"{text}\n".encode())

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)
