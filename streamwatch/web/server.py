"""Serves the pages on a socket, and over HTTP at the address that the configuration names."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn

from streamwatch import __version__
from streamwatch.config import HttpSettings, bracketed
from streamwatch.errors import UnavailableSetting
from streamwatch.web.app import App, Pages
from streamwatch.web.connection import Connection, Socket
from streamwatch.web.page.looking import LARGEST_MESSAGE

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
MOST_HEADER_BYTES = 16 * 1024
ACCEPTED_AT_ONCE = 16
"""How many connections are accepted before any of them is looked at. Well below MOST_CONNECTIONS,
so that a request which has arrived is read before others take its place."""
QUEUE = 128
"""How many may wait to be accepted; a client that finds no room tries again after a second."""
TURNS_TO_CONNECT = 5
"""After so many turns of asyncio's loop an accepted connection is one that can be closed."""
TELL_SECONDS = 60.0


class Server:
    """Answers with `app` on a listening socket, in a thread of its own, until `close`.

    Both are closed then, and clients that are still connected sent away. Raises OSError, and closes
    them too, if there is no descriptor for it.
    """

    def __init__(self, name: str, listening: socket.socket, app: App) -> None:
        self._app = app
        self._listening = listening
        self._told_at = -TELL_SECONDS
        try:
            self._loop = asyncio.new_event_loop()
        except OSError:
            listening.close()
            app.close()
            raise
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                app,
                http=Connection,
                ws=Socket if app.has_page else "none",
                ws_max_size=LARGEST_MESSAGE,
                ws_per_message_deflate=False,  # pictures are small already
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="error",  # warnings are of what clients send
                access_log=False,
                proxy_headers=False,
                backlog=ACCEPTED_AT_ONCE,
                h11_max_incomplete_event_size=MOST_HEADER_BYTES,
                timeout_graceful_shutdown=1,
                headers=[("server", f"streamwatch/{__version__}")],
            )
        )
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._uvicorn.should_exit = True
        with suppress(RuntimeError):  # a defect has ended the loop already
            self._loop.call_soon_threadsafe(self._uvicorn.awake.set)
        self._thread.join()
        self._app.close()

    def _run(self) -> None:
        self._loop.set_exception_handler(self._on_error)
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._uvicorn.serve([self._listening]))

    def _on_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if self._uvicorn.should_exit:
            return  # asyncio tries again to accept, on a socket that is closed
        if not isinstance(error, OSError):
            loop.default_exception_handler(context)
        elif time.monotonic() >= self._told_at + TELL_SECONDS:
            # asyncio tells it for each connection that it can't accept, and tries again.
            self._told_at = time.monotonic()
            log.warning("%s: can't accept connections: %s", self._thread.name, error.strerror)


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.awake = asyncio.Event()
        """Set, has it look at `should_exit` at once."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or ():
            listening.listen(QUEUE)  # asyncio has set it to what it accepts at once

    async def main_loop(self) -> None:
        """Wakes once a second, which the date in answers needs; uvicorn's own wakes ten times."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self.awake.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for _ in range(TURNS_TO_CONNECT):
            await asyncio.sleep(0)
        await super().shutdown(sockets)


class Web:
    """Serves the pages at the address in the setting `http`, if there is one. Owned by one thread.

    `on_change` is called when `problem` is set or cleared; in the thread `http retry` when the
    address can be listened on at last.
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
    """Serves the pages at one address until `close`.

    Raises UnavailableSetting if it can't. With `later` that is logged and set as `problem` instead,
    and retried; `later` is called in the thread `http retry` when it works.
    """

    def __init__(
        self, settings: HttpSettings, pages: Pages, *, later: Callable[[], None] | None = None
    ) -> None:
        self.settings = settings
        self.problem: str | None = None
        self._pages = pages
        self._closed = threading.Event()
        self._server: Server | None = None
        self._retrying: threading.Thread | None = None
        try:
            self._server = self._listening()
        except UnavailableSetting as error:
            if later is None:
                raise
            self.problem = str(error)
            log.error("%s; trying again, all else goes on", error)
            self._retrying = threading.Thread(
                target=self._retry, args=(later,), name="http retry", daemon=True
            )
            self._retrying.start()

    def close(self) -> None:
        self._closed.set()
        if self._retrying is not None:
            self._retrying.join()
        if self._server is not None:
            self._server.close()

    def _retry(self, later: Callable[[], None]) -> None:
        while not self._closed.wait(RETRY_SECONDS):
            try:
                self._server = self._listening()
            except UnavailableSetting:
                continue
            self.problem = None
            later()
            return

    def _listening(self) -> Server:
        """Raises UnavailableSetting."""
        host, port = self.settings.host, self.settings.port
        try:
            listening = _bound(host, port)
            server = Server("http", listening, App(self._pages, self.settings))
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise UnavailableSetting(
                "http.port", f"can't listen on {bracketed(host)}:{port} ({reason})"
            ) from None
        page = "" if self.settings.token is not None else "; the page needs http.token"
        log.info("listening on http://%s:%d%s", bracketed(host), port, page)
        return server


def _bound(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(QUEUE)
    except OSError:
        listening.close()
        raise
    return listening
