"""What is answered over HTTP, as an ASGI application: health, metrics, pictures, and the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamwatch.config import HttpSettings
from streamwatch.errors import StreamwatchError
from streamwatch.web.page.access import Access, client_of
from streamwatch.web.page.answers import Answers
from streamwatch.web.page.guard import Guard
from streamwatch.web.replies import text
from streamwatch.web.threads import Threads

if TYPE_CHECKING:
    from streamwatch.web.page.site import Site

THREADS = 4
"""How many pages are made at the same time."""

Make = Callable[[Request], Response]


@dataclass(frozen=True, slots=True)
class Pages:
    """The content of the pages; called in any of a few threads. `stuck` gives sentences.

    `look` gives a JPEG of a camera's next frame, or None for a camera that is not read; it raises
    StreamwatchError where no frame comes. `taught` lists the votes on alerts; `forget` takes one
    back, by the alert's id, and raises StreamwatchError where there is none. `learnt` gives all
    that is learnt. `answers` are for the page to look at.
    """

    stuck: Callable[[], tuple[str, ...]]
    ready: Callable[[], bool]
    metrics: Callable[[], bytes]
    status: Callable[[], dict[str, Any]]
    look: Callable[[str], bytes | None]
    taught: Callable[[], list[dict[str, Any]]] = list
    forget: Callable[[str], None] = lambda _: None
    learnt: Callable[[], dict[str, Any]] = dict
    answers: Answers | None = None


class App:
    """Answers health and metrics; the page too where `http` has one.

    Where it is `local`, for those who could read the daemon's files anyway, it gives the status
    document, pictures and votes instead. A connection is closed after each answer.
    """

    def __init__(
        self, pages: Pages, settings: HttpSettings | None = None, *, local: bool = False
    ) -> None:
        """Where `settings` have a token, `/metrics` asks for it (`Authorization: Bearer …`)."""
        self._pages = pages
        self._threads = Threads("http", THREADS)
        self._access: Access | None = None
        if settings is not None and settings.token is not None:
            self._access = Access(settings)
        gets = {"/healthz": self._health, "/readyz": self._readiness, "/metrics": self._metrics}
        posts: dict[str, Make] = {}
        missing = "there are /healthz, /readyz and /metrics"
        if local:
            gets |= {"/status": self._status, "/look": self._look, "/taught": self._taught}
            gets["/learnt"] = self._learnt
            posts["/forget"] = self._forget
        elif settings is not None and settings.token is None:
            missing += "; a page to look at comes with http.token in the configuration file"
        self._own = frozenset({*gets, *posts})
        self._root_path = "" if settings is None else settings.root_path
        self._plain: ASGIApp = _starlette(
            [
                *(Route(path, self._threads.endpoint(make)) for path, make in gets.items()),
                *(
                    Route(path, self._threads.endpoint(make), methods=["POST"])
                    for path, make in posts.items()
                ),
            ],
            missing,
        )
        self._site: Site | None = None
        self._page: ASGIApp = self._plain
        if pages.answers is not None and settings is not None and settings.has_page:
            # Imported here since only a daemon with a page needs its templates' library.
            from streamwatch.web.page.site import Site

            assert self._access is not None
            guard = Guard(settings, self._access)
            self._site = Site(settings, self._access, guard, pages.answers)
            self._page = guard.before(_starlette(self._site.routes(), "there is no such page"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
            await send(message)

        path = _without_prefix(scope["path"], self._root_path)
        asgi = self._plain if path in self._own else self._page
        await asgi({**scope, "path": path}, receive, send_and_close)

    def close(self) -> None:
        self._threads.close()
        if self._site is not None:
            self._site.close()

    @property
    def has_page(self) -> bool:
        return self._site is not None

    def _health(self, _request: Request) -> Response:
        stuck = self._pages.stuck()
        return text("\n".join(stuck) or "ok", 503 if stuck else 200)

    def _readiness(self, _request: Request) -> Response:
        ready = self._pages.ready()
        return text("ok" if ready else "starting", 200 if ready else 503)

    def _metrics(self, request: Request) -> Response:
        if self._access is not None:
            given = request.headers.get("Authorization", "")
            refused = self._access.try_bearer(client_of(request.scope), given)
            if refused is not None:
                return text(refused.sentence, refused.code)
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
            return text(str(error), 503)
        if jpeg is None:
            return text(f"{camera} is not read", 404)
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
            return text(str(error), 404)
        return text("forgotten", 200)


def _starlette(routes: Sequence[BaseRoute], missing: str) -> Starlette:
    app = Starlette(routes=routes, exception_handlers={404: lambda _r, _e: text(missing, 404)})
    app.router.redirect_slashes = False
    return app


def _without_prefix(path: str, prefix: str) -> str:
    """A proxy may take the prefix away, or leave it."""
    if prefix and (path == prefix or path.startswith(f"{prefix}/")):
        return path.removeprefix(prefix) or "/"
    return path
