"""Masks passwords in messages and logs.

A URL can be ambiguous (in `rtsp://cam:12/34@host`, `12` may be a port or part of a password), and
no list knows every name that a camera or a signed link gives its password in a query. So too much
is masked rather than too little: every value of a query, and what has no name there.
"""

from __future__ import annotations

import re

SECRET_KEYS = frozenset({"password", "token"})
"""Keys of the configuration whose value is never shown."""

MASK = "***"

# The length of a scheme is bounded for the time that a long word takes.
_START = r"[A-Za-z][A-Za-z0-9+.-]{0,30}://"
_URL = re.compile(rf"""(?<=['"]){_START}\S+?(?=['"][^'"\s]*(?:\s|$))|{_START}\S+""")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?:://|:/|//)")
_QUERY = re.compile(r"[?#]")
_HOLDS_VALUE = re.compile(r"(?s)[^/?#;]*[/?#;].*=")
_UP_TO_NEXT = re.compile(r"[^&;#]*")
_SEPARATOR = re.compile(r"([&;#])")
# Cameras that take the password in the path: rtsp://host/user=admin_password=…_channel=1. A value
# ends before the next name; the = that fill base64 up follow no name.
_IN_PATH = re.compile(
    r"(?<![^/=_&;,])([^/=_&;,]*=)[^/]*?(?=[_&;,][^/=_&;,]+=[^/=]|/|$)",
)
_NAMES = (
    "password|passwd|passw|pass|pwd|psw|pw|p|loginpas|loginpass|userpwd|userpass|token|"
    "api_?key|key|secret|auth|sid|u"
)
_PARAMETER = re.compile(rf"(?i)((?<![a-z])(?:{_NAMES})=)[^&;\s'\"<>]+")
_PARAMETER_OR_URL = re.compile(f"{_PARAMETER.pattern}|{_URL.pattern}")

_MASKED = rf"\g<1>{MASK}"


def mask_url(url: str) -> str:
    """`rtsp://admin:secret@host/x?a=b` → `rtsp://admin:***@host/x?a=***`; other text unchanged.

    All up to the last `@` counts as user and password, so a password may contain `@`, `:` or `/`.
    """
    scheme = _SCHEME.match(url)
    start = scheme.end() if scheme else 0
    credentials, at, rest = url[start:].rpartition("@")
    user, colon, password = credentials.partition(":")
    if at and colon:
        if _HOLDS_VALUE.match(password):  # perhaps it is a port, and the @ stands in a value
            rest = MASK + _without_values(_UP_TO_NEXT.sub("", rest, count=1))
        address = f"{user}:{MASK}@{rest}"
    else:
        address = url[start:]
    query = _QUERY.search(address)
    path, tail = (address[: query.start()], address[query.start() :]) if query else (address, "")
    if "=" in tail or scheme:  # a file may be named `#1`
        tail = _without_values(tail)
    if not scheme:
        return _PARAMETER.sub(_MASKED, path) + tail
    host, slash, below = path.partition("/")
    host = _PARAMETER.sub(_MASKED, host)
    return f"{scheme[0]}{host}{slash}{_IN_PATH.sub(_MASKED, below)}{tail}"


def mask_secrets_in(text: str) -> str:
    """`text` with every URL in it masked, for error messages of libraries (FFmpeg's hold the URL).

    A URL is taken to end at white space or, if it stands in quotation marks, at the last of them.
    Elsewhere only the values of well-known names (`password=…`) are masked.
    """
    return _PARAMETER_OR_URL.sub(
        lambda found: f"{found[1]}{MASK}" if found[1] else mask_url(found[0]), text
    )


def holds_password(text: str) -> bool:
    """Whether a password is in it for sure: behind a user name, or under a well-known name."""
    return _PARAMETER.search(text) is not None or any(
        f":{MASK}@" in mask_url(found[0]) for found in _URL.finditer(text)
    )


def _without_values(tail: str) -> str:
    """A query and what follows it, where only names and what stands between them is left."""
    pieces = _SEPARATOR.split(tail[1:])
    return tail[:1] + "".join(
        piece if piece in ("&", ";", "#", "") else _without_value(piece) for piece in pieces
    )


def _without_value(piece: str) -> str:
    name, equals, _ = piece.partition("=")
    return f"{name}={MASK}" if equals else MASK
