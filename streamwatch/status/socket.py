"""The socket on which a running daemon answers `streamwatch status` with one JSON document."""

from __future__ import annotations

import json
import logging
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0


class StatusServer:
    """Sends the result of `status` to each connection, until `close`.

    Only the daemon's user and root can connect. If the socket can't be made, that is a warning:
    alerts don't depend on it.
    """

    def __init__(self, path: Path, status: Callable[[], dict[str, Any]]) -> None:
        self._path = path
        self._server: socketserver.UnixStreamServer | None = None

        class Request(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.settimeout(PATIENCE_SECONDS)
                with suppress(OSError):
                    self.request.sendall(json.dumps(status()).encode())

        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # left by a daemon that was killed
            self._server = socketserver.UnixStreamServer(str(path), Request)
            path.chmod(0o600)
        except OSError as error:
            log.warning(
                "`streamwatch status` will not find this daemon: %s: %s",
                path,
                error.strerror or error,
            )
            return
        threading.Thread(target=self._server.serve_forever, name="status", daemon=True).start()

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._path.unlink(missing_ok=True)


def ask(paths: Iterable[Path]) -> dict[str, Any] | None:
    """The answer of the daemon behind the first of these sockets; None if none listens.

    Raises PermissionError if it belongs to another user, and TimeoutError if it does not answer.
    """
    for path in paths:
        if os.access(path.parent, os.X_OK) and not path.exists():
            continue
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(PATIENCE_SECONDS)
            try:
                asking.connect(str(path))
                content = b"".join(iter(lambda s=asking: s.recv(65536), b""))  # type: ignore[misc]
            except (PermissionError, TimeoutError):
                raise
            except OSError:
                continue
        if content:
            return cast(dict[str, Any], json.loads(content))
    return None
