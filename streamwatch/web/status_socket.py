"""The socket on which a running daemon answers `streamwatch status`."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamwatch.web.app import App, Pages
from streamwatch.web.server import Server

log = logging.getLogger(__name__)


class StatusServer:
    """Serves the pages on a socket file until `close`, the status document among them.

    Only the daemon's user and root can connect. If the socket can't be made, or another daemon
    answers on it, that is a warning: alerts don't depend on it.
    """

    def __init__(self, path: Path, pages: Pages) -> None:
        self._path = path
        self._server: Server | None = None
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone_in(path.parent):
                if _answers(path):
                    log.warning(
                        "`streamwatch status` will not find this daemon: another answers on %s",
                        path,
                    )
                    return
                path.unlink(missing_ok=True)  # left by a daemon that was killed
                listening = _bound(path)
                self._own = _identity(path)
            self._server = Server("status", listening, App(pages, local=True))
        except OSError as error:
            log.warning(
                "`streamwatch status` will not find this daemon: %s: %s",
                path,
                error.strerror or error,
            )

    def close(self) -> None:
        if self._server is None:
            return
        try:
            with _alone_in(self._path.parent):
                if _identity(self._path) == self._own:
                    self._path.unlink()
        except OSError:
            log.debug("%s was gone before the daemon", self._path)
        self._server.close()


def _bound(path: Path) -> socket.socket:
    """Only after `listen` can anybody connect, and then the file is the user's alone."""
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen()
    except OSError:
        listening.close()
        raise
    return listening


def _answers(path: Path) -> bool:
    """Whether a process listens on the socket, be it frozen or busy."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.setblocking(False)
        try:
            asking.connect(str(path))
        except BlockingIOError:
            return True
        except (ConnectionRefusedError, FileNotFoundError):
            return False
    return True


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """No other daemon looks at the sockets in the folder, or changes them, meanwhile."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
