"""The pages, as an ASGI application: health, readiness, metrics, status document and pictures."""

from __future__ import annotations

import asyncio
import hmac
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from streamwatch.errors import StreamwatchError

THREADS = 4
"""How many pages are made at the same time."""


@dataclass(frozen=True, slots=True)
class Pages:
    """The content of the pages; called in any of a few threads. `stuck` gives sentences.

    `look` gives a JPEG of a camera's next frame, or None for a camera that is not read; it raises
    StreamwatchError where no frame comes. `taught` lists the votes on alerts; `forget` takes one
    back, by the alert's id, and raises StreamwatchError where there is none. `learnt` gives all
    that is learnt.
    """

    stuck: Callable[[], tuple[str, ...]]
    ready: Callable[[], bool]
    metrics: Callable[[], bytes]
    status: Callable[[], dict[str, Any]]
    look: Callable[[str], bytes | None]
    taught: Callable[[], list[dict[str, Any]]] = list
    forget: Callable[[str], None] = lambda _: None
    learnt: Callable[[], dict[str, Any]] = dict


class App:
    """Answers with the pages; with the status document, pictures and votes only where it is
    `local`.

    If there is a `token`, `/metrics` requires it (`Authorization: Bearer …`).
    """

    def __init__(
        self, pages: Pages, *, token: SecretStr | None = None, local: bool = False
    ) -> None:
        self._pages = pages
        self._token = token
        self._threads = _Threads(THREADS)
        made = {"/healthz": self._health, "/readyz": self._readiness, "/metrics": self._metrics}
        if local:
            made |= {"/status": self._status, "/look": self._look, "/taught": self._taught}
            made["/learnt"] = self._learnt
        routes = [Route(path, self._endpoint(make)) for path, make in made.items()]
        if local:
            routes.append(Route("/forget", self._endpoint(self._forget), methods=["POST"]))
        self._starlette = Starlette(
            routes=routes,
            exception_handlers={404: _not_found},
        )
        self._starlette.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._starlette(scope, receive, send)

    def close(self) -> None:
        self._threads.close()

    def _endpoint(self, make: Callable[[Request], Response]) -> Callable[[Request], Any]:
        """Has a page made in a thread, since that may wait for locks, while the client is there."""

        async def answer(request: Request) -> Response:
            making = asyncio.wrap_future(self._threads.submit(lambda: make(request)))
            gone = asyncio.create_task(_gone(request))
            either: tuple[asyncio.Future[Any], ...] = (making, gone)
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if making.done():
                return making.result()
            making.cancel()
            return Response()  # nobody gets it

        return answer

    def _health(self, _request: Request) -> Response:
        stuck = self._pages.stuck()
        return _text("\n".join(stuck) or "ok", 503 if stuck else 200)

    def _readiness(self, _request: Request) -> Response:
        ready = self._pages.ready()
        return _text("ok" if ready else "starting", 200 if ready else 503)

    def _metrics(self, request: Request) -> Response:
        if not self._lets_in(request.headers.get("Authorization", "")):
            return _text("a token is needed: Authorization: Bearer …", 401)
        return Response(
            self._pages.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    def _status(self, _request: Request) -> Response:
        return JSONResponse(self._pages.status())

    def _look(self, request: Request) -> Response:
        """Of the camera that the query names: `/look?camera=porch`."""
        camera = request.query_params.get("camera", "")
        try:
            jpeg = self._pages.look(camera)
        except StreamwatchError as error:
            return _text(str(error), 503)
        if jpeg is None:
            return _text(f"{camera} is not read", 404)
        return Response(jpeg, media_type="image/jpeg")

    def _learnt(self, _request: Request) -> Response:
        return JSONResponse(self._pages.learnt())

    def _taught(self, _request: Request) -> Response:
        return JSONResponse(self._pages.taught())

    def _forget(self, request: Request) -> Response:
        """The vote that the query names: `/forget?id=01J…`."""
        try:
            self._pages.forget(request.query_params.get("id", ""))
        except StreamwatchError as error:
            return _text(str(error), 404)
        return _text("forgotten", 200)

    def _lets_in(self, authorization: str) -> bool:
        if self._token is None:
            return True
        wanted = f"Bearer {self._token.get_secret_value()}"
        # Starlette reads headers as Latin-1: this gives the bytes that were sent.
        return hmac.compare_digest(authorization.encode("latin-1"), wanted.encode())


def _text(text: str, code: int) -> Response:
    return PlainTextResponse(f"{text}\n", code)


def _not_found(_request: Request, _error: Exception) -> Response:
    return _text("there are /healthz, /readyz and /metrics", 404)


async def _gone(request: Request) -> None:
    """Returns when the client has gone or was sent away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Threads:
    """Calls functions in a few threads.

    An executor's threads would hold up the end of the program while a page hangs; these don't.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._waiting: queue.SimpleQueue[tuple[Future[Response], Callable[[], Response]] | None]
        self._waiting = queue.SimpleQueue()
        for number in range(count):
            threading.Thread(target=self._run, name=f"page-{number}", daemon=True).start()

    def submit(self, make: Callable[[], Response]) -> Future[Response]:
        future: Future[Response] = Future()
        self._waiting.put((future, make))
        return future

    def close(self) -> None:
        for _ in range(self._count):
            self._waiting.put(None)

    def _run(self) -> None:
        while (task := self._waiting.get()) is not None:
            future, make = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(make())
            except Exception as error:
                future.set_exception(error)
