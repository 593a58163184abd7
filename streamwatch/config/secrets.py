"""Masks passwords in messages and logs.

A URL can be ambiguous (in `rtsp://cam:12/34@host`, `12` may be a port or part of a password); then
too much is masked rather than too little.
"""

from __future__ import annotations

import re

SECRET_KEYS = frozenset({"password", "token"})
"""Keys of the configuration whose value is never shown."""

MASK = "***"

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?:://|:/|//)")
# Cameras that take the password in the path or query: rtsp://host/user=admin&password=…
_PARAMETER = re.compile(
    r"(?i)((?<![a-z])(?:password|passwd|passw|pass|pwd|psw|token|api_?key|secret|auth)=)[^&\s'\"<>]+"
)


def mask_url(url: str) -> str:
    """`rtsp://admin:secret@host/x` → `rtsp://admin:***@host/x`; other text unchanged.

    All up to the last `@` counts as user and password, so a password may contain `@`, `:` or `/`.
    """
    credentials, at, rest = url.rpartition("@")
    if at:
        scheme = _SCHEME.match(credentials)
        start = scheme.end() if scheme else 0
        user, colon, _ = credentials[start:].partition(":")
        if colon:
            url = f"{credentials[:start]}{user}:{MASK}@{rest}"
    return _PARAMETER.sub(rf"\g<1>{MASK}", url)


def mask_secrets_in(text: str) -> str:
    """`text` with every URL in it masked, for error messages of libraries (FFmpeg's hold the URL).

    A URL is taken to end at white space.
    """
    return _PARAMETER.sub(rf"\g<1>{MASK}", _URL.sub(lambda found: mask_url(found[0]), text))
