"""Asks a running daemon for its status document, over HTTP on its socket."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, cast

PATIENCE_SECONDS = 5.0


def ask(paths: Iterable[Path]) -> dict[str, Any] | None:
    """The answer of the daemon behind the first of these sockets; None if none listens.

    Raises PermissionError if it belongs to another user, and TimeoutError if it does not answer.
    """
    for path in paths:
        if os.access(path.parent, os.X_OK) and not path.exists():
            continue
        with closing(_Connection(path)) as connection:
            try:
                connection.connect()
            except (PermissionError, TimeoutError):
                raise
            except OSError:
                continue
            return _answer(connection)
    return None


def _answer(connection: HTTPConnection) -> dict[str, Any]:
    """Raises TimeoutError, also if it hangs up or tells of an error of its own."""
    try:
        connection.request("GET", "/status")
        response = connection.getresponse()
        content = response.read()
    except (OSError, HTTPException) as error:
        raise TimeoutError(str(error)) from error
    if response.status != 200:
        raise TimeoutError(f"it answered {response.status}")
    return cast(dict[str, Any], json.loads(content))


class _Connection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_SECONDS)
        self.sock.connect(str(self._path))
