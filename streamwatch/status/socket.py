"""Asks a running daemon for its status document or a picture, over HTTP on its socket."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from streamwatch.errors import StreamwatchError

PATIENCE_SECONDS = 5.0
LOOK_SECONDS = 10.0
"""The daemon waits 5 s for a frame."""


def ask(paths: Iterable[Path]) -> dict[str, Any] | None:
    """The answer of the daemon behind the first of these sockets; None if none listens.

    Raises PermissionError if it belongs to another user, and TimeoutError if it does not answer.
    """
    return cast(dict[str, Any] | None, _document(paths, "/status"))


def look(paths: Iterable[Path], camera: str) -> bytes | None:
    """A JPEG of the camera's next frame, nothing drawn on it, from that daemon.

    None if there is none, or it does not read this camera. Raises StreamwatchError with a sentence
    if the camera gives it no frame, and else what `ask` raises.
    """
    answer = _asked(paths, f"/look?{urlencode({'camera': camera})}", LOOK_SECONDS)
    if answer is None:
        return None
    code, content = answer
    match code:
        case HTTPStatus.OK:
            return content
        case HTTPStatus.NOT_FOUND:
            return None
        case HTTPStatus.SERVICE_UNAVAILABLE:
            raise StreamwatchError(content.decode().strip())
    raise TimeoutError(f"it answered {code}")


def taught(paths: Iterable[Path]) -> list[dict[str, Any]] | None:
    """The votes on alerts that this daemon knows; None if none listens. Raises what `ask` does."""
    return cast(list[dict[str, Any]] | None, _document(paths, "/taught"))


def learnt(paths: Iterable[Path]) -> dict[str, Any] | None:
    """All that this daemon has learnt; None if none listens. Raises what `ask` does."""
    return cast(dict[str, Any] | None, _document(paths, "/learnt"))


def forget(paths: Iterable[Path], id: str) -> bool:
    """Have that daemon take back the vote on an alert; False if none listens.

    Raises StreamwatchError if there is no such vote, and else what `ask` raises.
    """
    answer = _asked(paths, f"/forget?{urlencode({'id': id})}", LOOK_SECONDS, method="POST")
    if answer is None:
        return False
    code, content = answer
    match code:
        case HTTPStatus.OK:
            return True
        case HTTPStatus.NOT_FOUND:
            raise StreamwatchError(content.decode().strip())
    raise TimeoutError(f"it answered {code}")


def _document(paths: Iterable[Path], page: str) -> Any:
    """What a page of JSON holds; None if nobody listens."""
    answer = _asked(paths, page, PATIENCE_SECONDS)
    if answer is None:
        return None
    code, content = answer
    if code != HTTPStatus.OK:
        raise TimeoutError(f"it answered {code}")
    return json.loads(content)


def _asked(
    paths: Iterable[Path], page: str, patience: float, method: str = "GET"
) -> tuple[int, bytes] | None:
    """The code and the content of a page; None if nobody listens."""
    for path in paths:
        if os.access(path.parent, os.X_OK) and not path.exists():
            continue
        with closing(_Connection(path, patience)) as connection:
            try:
                connection.connect()
            except (PermissionError, TimeoutError):
                raise
            except OSError:
                continue
            return _answer(connection, page, method)
    return None


def _answer(connection: HTTPConnection, page: str, method: str) -> tuple[int, bytes]:
    """Raises TimeoutError, also if it hangs up."""
    try:
        connection.request(method, page)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, HTTPException) as error:
        raise TimeoutError(str(error)) from error


class _Connection(HTTPConnection):
    def __init__(self, path: Path, patience_seconds: float) -> None:
        super().__init__("localhost", timeout=patience_seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
