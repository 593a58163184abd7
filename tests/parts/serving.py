"""Servers of the standard library that run beside the test."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

from tests.parts.certificates import Certificate


class EncryptedHTTPServer(ThreadingHTTPServer):
    """On a free port of the loopback; with a certificate it speaks TLS."""

    daemon_threads = True

    def __init__(
        self, handler: type[BaseHTTPRequestHandler], certificate: Certificate | None
    ) -> None:
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate.path, certificate.key)
        super().__init__(("127.0.0.1", 0), handler)

    @property
    def address(self) -> str:
        scheme = "http" if self._context is None else "https"
        return f"{scheme}://127.0.0.1:{self.server_address[1]}"

    def get_request(self) -> tuple[socket.socket, Any]:
        line, address = super().get_request()
        if self._context is not None:  # the handshake comes with the first read, in its own thread
            line = self._context.wrap_socket(line, server_side=True, do_handshake_on_connect=False)
        return line, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: it is left in the middle of a handshake or an answer."""


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
