"""The page's addresses."""

from __future__ import annotations

import asyncio
import hashlib
import json
import mimetypes
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from streamwatch import __version__
from streamwatch.config import HttpSettings, Preview
from streamwatch.errors import ConfigError, StreamwatchError
from streamwatch.history.history import Wanted
from streamwatch.web.page import edits
from streamwatch.web.page.access import SESSION_SECONDS, Access, Refused, client_of
from streamwatch.web.page.answers import Answers, Document
from streamwatch.web.page.guard import Guard
from streamwatch.web.page.looking import STATE_SECONDS, look
from streamwatch.web.page.media import media
from streamwatch.web.replies import text
from streamwatch.web.threads import Threads

HERE = Path(__file__).parent
THREADS = 4
"""How many pages are made at the same time."""
LARGEST_BODY = 64 * 1024
"""Bytes of what a form or an edit sends."""
_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
"""A ULID."""


class Site:
    """The routes of the page. `threads` make what may wait."""

    def __init__(
        self, settings: HttpSettings, access: Access, guard: Guard, answers: Answers
    ) -> None:
        self._settings = settings
        self._answers = answers
        self._access = access
        self._guard = guard
        self._threads = Threads("page", THREADS)
        self._static = _read_static(HERE / "static")
        self._stamp = hashlib.sha256(b"".join(c for c, _ in self._static.values())).hexdigest()[:12]
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(
            root=settings.root_path,
            edits=settings.edits,
            version=__version__,
            stamp=self._stamp,
            quoted=lambda name: quote(str(name), safe=""),
        )
        self._state = ""
        self._state_at = -STATE_SECONDS
        self._state_lock = asyncio.Lock()

    def close(self) -> None:
        self._threads.close()

    def routes(self) -> list[BaseRoute]:
        pages: dict[str, Callable[[Request], Response]] = {
            "/": self._cameras,
            "/cameras/{name}": self._camera,
            "/cameras/{name}/areas": self._areas,
            "/words": self._words,
            "/alerts": self._alerts,
            "/alerts/{id}": self._alert,
            "/near-misses": self._near_misses,
            "/watches": self._watches,
            "/watches/{name}": self._watch,
            "/health": self._health,
            "/pictures/{id}.jpg": self._picture,
            "/pictures/{id}/crop.jpg": self._crop,
            "/clips/{id}.mp4": self._clip,
            "/clips/{id}.jpg": self._poster,
            "/near-misses/{file}": self._near_miss_picture,
            "/static/{file}": self._file,
            "/login": self._login,
            "/session": self._session,
        }
        changes: dict[str, Callable[[Request], Response]] = {
            "/login": self._log_in,
            "/logout": self._log_out,
            "/edits/preview": self._preview if self._settings.edits else _only_shows,
            "/edits": self._edit if self._settings.edits else _only_shows,
            "/teach": self._teach if self._settings.edits else _only_shows,
        }
        found: list[BaseRoute] = [
            Route(path, self._threads.endpoint(make), methods=["GET"])
            for path, make in pages.items()
        ]
        for path, make in changes.items():
            found.append(Route(path, _with_body(self._threads.endpoint(make)), methods=["POST"]))
        found.append(WebSocketRoute("/live", self._live))
        return found

    # --- logging in -------------------------------------------------------------------------------

    def _login(self, request: Request) -> Response:
        return self._login_form(request.query_params.get("to", ""))

    def _login_form(self, to: str, refused: Refused | None = None) -> Response:
        return self._page("login", code=200 if refused is None else refused.code, to=to,
                          problem=None if refused is None else refused.sentence)  # fmt: skip

    def _log_in(self, request: Request) -> Response:
        fields = parse_qs(request.state.body.decode(errors="replace"))
        to = fields.get("to", [""])[0]
        refused = self._access.try_token(client_of(request.scope), fields.get("token", [""])[0])
        if refused is not None:
            return self._login_form(to, refused)
        if not to.startswith("/") or to.startswith(("//", "/\\")):
            to = "/"
        answer = RedirectResponse(f"{self._settings.root_path}{quote(to, safe='/')}", 303)
        self._set_cookie(answer, request, self._access.session(), SESSION_SECONDS)
        return answer

    def _log_out(self, request: Request) -> Response:
        answer = RedirectResponse(f"{self._settings.root_path}/login", 303)
        self._set_cookie(answer, request, "", 0)
        return answer

    def _set_cookie(self, answer: Response, request: Request, value: str, seconds: float) -> None:
        encrypted = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
        answer.set_cookie(
            self._access.cookie,
            value,
            max_age=int(seconds),
            path=self._settings.root_path or "/",
            secure=encrypted,
            httponly=True,
            samesite="strict",
        )

    def _session(self, request: Request) -> Response:
        """Whether the browser has logged in: a link from elsewhere comes without its cookie."""
        return JSONResponse({"in": self._guard.knows(request.headers)})

    # --- pages ------------------------------------------------------------------------------------

    def _cameras(self, _request: Request) -> Response:
        return self._page("cameras", state=self._answers.state)

    def _camera(self, request: Request) -> Response:
        camera = self._answers.camera(request.path_params["name"])
        if camera is None:
            return self._missing("there is no such camera")
        return self._page("camera", camera=camera, state=self._answers.state)

    def _areas(self, request: Request) -> Response:
        camera = self._answers.camera(request.path_params["name"])
        return text("there is no such camera", 404) if camera is None else JSONResponse(camera)

    def _words(self, request: Request) -> Response:
        state = self._answers.state
        cameras = [name for name, each in state["cameras"].items() if each["status"] != "disabled"]
        asked = request.query_params.get("camera", "")
        return self._page(
            "words",
            state=state,
            cameras=cameras,
            chosen=asked if asked in cameras else next(iter(cameras), ""),
            words=request.query_params.get("words", ""),
        )

    def _alerts(self, request: Request) -> Response:
        query = request.query_params
        camera, watch = query.get("camera") or None, query.get("watch") or None
        alerts = self._answers.alerts(Wanted(camera, watch, query.get("before")))
        return self._page(
            "alerts",
            alerts=alerts,
            camera=camera,
            watch=watch,
            earlier=alerts[-1]["id"] if alerts else None,
            later="before" in query,
            state=self._answers.state,
        )

    def _alert(self, request: Request) -> Response:
        alert = self._answers.alert(request.path_params["id"])
        if alert is None:
            return self._missing("there is no such alert any more")
        return self._page("alert", alert=alert)

    def _near_misses(self, request: Request) -> Response:
        query = request.query_params
        camera, watch = query.get("camera") or None, query.get("watch") or None
        misses = self._answers.near_misses(camera, watch)
        return self._page(
            "near_misses", misses=misses, camera=camera, watch=watch, state=self._answers.state
        )

    def _watches(self, _request: Request) -> Response:
        return self._page("watches", watches=self._answers.watches())

    def _watch(self, request: Request) -> Response:
        name = request.path_params["name"]
        watch = next((each for each in self._answers.watches() if each["name"] == name), None)
        if watch is None:
            return self._missing("there is no such watch")
        return self._page("watch", watch=watch, state=self._answers.state)

    def _health(self, _request: Request) -> Response:
        return self._page("health", state=self._answers.state)

    def _page(self, name: str, code: int = 200, **values: Any) -> Response:
        made = self._templates.get_template(f"{name}.html").render(here=name, **values)
        return HTMLResponse(made, code)

    def _missing(self, sentence: str) -> Response:
        return self._page("missing", 404, sentence=sentence)

    # --- pictures and files -----------------------------------------------------------------------

    def _picture(self, request: Request) -> Response:
        return self._picture_of(request.path_params["id"], crop=False)

    def _crop(self, request: Request) -> Response:
        return self._picture_of(request.path_params["id"], crop=True)

    def _picture_of(self, id: str, *, crop: bool) -> Response:
        content = self._answers.picture(id, crop=crop) if _ID.fullmatch(id) else None
        return _jpeg(content)

    def _clip(self, request: Request) -> Response:
        id = request.path_params["id"]
        path = self._answers.clip(id) if _ID.fullmatch(id) else None
        return media(request, path, "video/mp4", self._threads)

    def _poster(self, request: Request) -> Response:
        id = request.path_params["id"]
        return _jpeg(self._answers.poster(id) if _ID.fullmatch(id) else None)

    def _near_miss_picture(self, request: Request) -> Response:
        return _jpeg(self._answers.near_miss_picture(request.path_params["file"]))

    def _file(self, request: Request) -> Response:
        found = self._static.get(request.path_params["file"])
        if found is None:
            return text("there is no such file", 404)
        return Response(found[0], media_type=found[1])

    # --- changes ----------------------------------------------------------------------------------

    def _preview(self, request: Request) -> Response:
        return self._changed(request, lambda edit, _: _shown(self._answers.preview(edit)))

    def _edit(self, request: Request) -> Response:
        return self._changed(request, lambda edit, seen: {"done": self._answers.apply(edit, seen)})

    def _changed(self, request: Request, change: Callable[[Any, str], Document]) -> Response:
        try:
            edit, seen = edits.parsed(request.state.body)
            return JSONResponse(change(edit, seen))
        except ConfigError as error:
            problems = [
                {"path": each.path, "message": each.message, "said": str(each)}
                for each in error.problems
            ]
            return JSONResponse({"problems": problems}, 422)
        except StreamwatchError as error:
            return _problem(str(error), 422)

    def _teach(self, request: Request) -> Response:
        try:
            fields = json.loads(request.state.body)
            id, said = fields["id"], fields["is"]
            right = {"right": True, "wrong": False}[said]
        except (ValueError, KeyError, TypeError, RecursionError):
            return _problem('write {"id": …, "is": "right" or "wrong"}', 422)
        try:
            return JSONResponse({"done": self._answers.teach(str(id), right=right)})
        except StreamwatchError as error:
            return _problem(str(error), 422)

    # --- live -------------------------------------------------------------------------------------

    async def _live(self, socket: WebSocket) -> None:
        await look(socket, self._answers, self._newest_state)

    async def _newest_state(self) -> str:
        """Made once for all who look."""
        async with self._state_lock:
            if time.monotonic() - self._state_at >= STATE_SECONDS * 0.9:
                made = self._threads.submit(lambda: json.dumps({"state": self._answers.state}))
                self._state = await asyncio.wrap_future(made)
                self._state_at = time.monotonic()
            return self._state


def _with_body(endpoint: Callable[[Request], Any]) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                return text(f"this is too large; {LARGEST_BODY} bytes at most", 413)
        request.state.body = bytes(body)
        response: Response = await endpoint(request)
        return response

    return answer


def _shown(preview: Preview) -> Document:
    return {
        "of": preview.of,
        "hunks": [
            {"line": hunk.line, "before": list(hunk.before), "after": list(hunk.after)}
            for hunk in preview.hunks
        ],
    }


def _only_shows(_request: Request) -> Response:
    return _problem("nothing may be changed here: http.edits is false", 403)


def _problem(sentence: str, code: int) -> Response:
    return JSONResponse({"problems": [{"path": "", "message": sentence, "said": sentence}]}, code)


def _jpeg(content: bytes | None) -> Response:
    if content is None:
        return text("there is no such picture any more", 404)
    return Response(content, media_type="image/jpeg")


def _read_static(folder: Path) -> dict[str, tuple[bytes, str]]:
    """Every file of the folder with its media type: nothing else can be asked for."""
    files: Iterable[Path] = sorted(path for path in folder.iterdir() if path.is_file())
    return {
        path.name: (
            path.read_bytes(),
            "text/javascript"
            if path.suffix == ".js"
            else mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        )
        for path in files
    }
