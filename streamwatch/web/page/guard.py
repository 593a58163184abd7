"""Stands before the page: who may have what they ask for, and what each answer's headers say."""

from __future__ import annotations

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamwatch.config import HttpSettings
from streamwatch.web.page.access import Access, client_of
from streamwatch.web.replies import text

_OPEN = frozenset({"/login", "/session"})
"""What is given without a token, beside what lies in `static`."""


class Guard:
    """Of the page at one address of `http`."""

    def __init__(self, settings: HttpSettings, access: Access) -> None:
        self._settings = settings
        self._access = access

    def before(self, page: ASGIApp) -> ASGIApp:
        """`page`, for those alone who may."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            own = self._headers(scope["path"])
            more = [(name.lower().encode(), value.encode()) for name, value in own.items()]

            async def send_with_headers(message: Message) -> None:
                if message["type"] in ("http.response.start", "websocket.http.response.start"):
                    message["headers"] = [*message.get("headers", []), *more]
                await send(message)

            answer = self._refusal(scope) or page
            await answer(scope, receive, send_with_headers)

        return serve

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Whether they come from a browser that has logged in."""
        return self._access.knows(_cookie(headers, self._access.cookie))

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to those who may not have what they ask for; None where they may."""
        headers = Headers(scope=scope)
        refused = self._access.host_problem(headers.get("host"))
        if refused is None and _changes_something(scope):
            bearer = "authorization" in headers and "origin" not in headers
            if not bearer:  # which no browser sends by itself
                refused = self._access.origin_problem(headers.get("origin"), headers.get("host"))
        if refused is not None:
            return text(refused.sentence, refused.code)
        path = scope["path"]
        if path in _OPEN or path.startswith("/static/") or self.knows(headers):
            return None
        if "authorization" in headers:
            refused = self._access.try_bearer(client_of(scope), headers["authorization"])
            return None if refused is None else text(refused.sentence, refused.code)
        if scope["type"] == "http" and "text/html" in headers.get("accept", ""):
            to = quote(path if path != "/" else "", safe="/")
            return RedirectResponse(f"{self._settings.root_path}/login?to={to}", 303)
        return text("log in first, or send the token as Authorization: Bearer …", 401)

    def _headers(self, path: str) -> dict[str, str]:
        ancestors = " ".join(self._settings.frame_ancestors) or "'none'"
        found = {
            "Content-Security-Policy": (
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
                " media-src 'self';"
                " connect-src 'self'; form-action 'self'; base-uri 'none';"
                f" frame-ancestors {ancestors}"
            ),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
            "Cache-Control": "max-age=31536000, immutable"
            if path.startswith("/static/")
            else "no-store",
        }
        if not self._settings.frame_ancestors:
            found["X-Frame-Options"] = "DENY"
        return found


def _changes_something(scope: Scope) -> bool:
    return scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")


def _cookie(headers: Mapping[str, str], name: str) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return None
    return None if found is None else found.value
