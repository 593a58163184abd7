"""Warnings about a camera's login, separate or in its URL, without any of its characters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.config.values.addresses import (
    LONGEST_RTSP_LOGIN,
    login_of,
    with_credentials,
    with_short_login,
)

_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_LIKE_A_REFERENCE = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}|\$[A-Z_][A-Z0-9_]+|%[A-Z_]{2,}%")
"""`{NAME}` of Frigate, `$NAME` of a shell, `%NAME%`."""

AS_IT_STANDS = (
    "looks like the name of an environment variable, and is taken as it stands; where a variable "
    "is meant, write ${NAME}"
)


def is_like_a_reference(text: str) -> bool:
    """Whether `text` is the name of a variable in another program's form."""
    return _LIKE_A_REFERENCE.fullmatch(text) is not None


def login_advice(camera: CameraSettings) -> Iterator[tuple[str, str]]:
    """(key below the camera, message)."""
    if camera.kind not in ("rtsp", "http"):
        return
    parts, login = urlsplit(camera.url), login_of(camera.url)
    if any(map(is_like_a_reference, login.split(":"))):
        yield ".url", f"what stands before the @ {AS_IT_STANDS}"
    elif any(map(_PERCENT.search, (login, parts.path, parts.query))):
        yield ".url", "a % that begins no escape, such as %40 for @: write %25 for a % itself"
    password = camera.password.get_secret_value() if camera.password else None
    for key, value in (("username", camera.username), ("password", password)):
        if value is None:
            continue
        if is_like_a_reference(value):
            yield f".{key}", f"what stands here {AS_IT_STANDS}"
        elif _ESCAPE.search(value):
            yield (
                f".{key}",
                "what stands here holds an escape of URLs, such as %40, and is taken as it stands; "
                "where @ is meant, write @",
            )
    if camera.kind != "rtsp":
        return
    if camera.username is None:
        key, full = ".url", with_short_login(camera.url)
    else:
        key = ".password" if password else ".username"
        full = with_credentials(camera.url, camera.username, password)
    over = len(login_of(full).encode()) - LONGEST_RTSP_LOGIN
    if over > 0:
        yield (
            key,
            f"user name and password are too long for FFmpeg, which cuts {over} bytes off, so the "
            f"camera will refuse them: at rtsp:// {LONGEST_RTSP_LOGIN} go in, where each of "
            f"/?#%[] and space counts three times, and a letter beyond a-z twice or more; give the "
            "camera a shorter password",
        )
