"""Runs a server of the standard library beside the test."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

Server = TypeVar("Server", bound=socketserver.BaseServer)

POLL_SECONDS = 0.01
"""How long its end may take."""


@contextmanager
def in_a_thread(server: Server) -> Iterator[Server]:
    """`server` answers in a thread of its own within the `with` block, and is closed then."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
