"""Small servers on the loopback: an HTTP camera, and peers that are no camera."""

from __future__ import annotations

import base64
import http.server
import re
import socket
import socketserver
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np

from streamwatch.config.values.addresses import bracketed
from tests.parts.certificates import Certificate
from tests.parts.serving import in_a_thread

FPS = 15
SIZE = (320, 240)
USER, PASSWORD = "me@home", "p@ss:w/ord#%?&"


class _Camera(http.server.BaseHTTPRequestHandler):
    """MJPEG as cheap cameras send it; /refused answers 401, /forbidden 403.

    /guarded wants the server's login; /640x360 gives pictures of that size.
    """

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        status = {"/refused": 401, "/forbidden": 403, "/stream": 200}.get(self.path, 404)
        size = re.fullmatch(r"/(\d+)x(\d+)", self.path)
        if size is not None:
            status = 200
        if self.path == "/guarded":
            assert isinstance(self.server, _WebServer)
            login = base64.b64encode(self.server.login.encode()).decode()
            status = 200 if self.headers["Authorization"] == f"Basic {login}" else 401
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
        if status == 200:
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.end_headers()
        if status == 200:
            self._send_pictures(SIZE if size is None else (int(size[1]), int(size[2])))

    def _send_pictures(self, size: tuple[int, int]) -> None:
        for index in range(60 * FPS):
            image = np.full((size[1], size[0], 3), index % 255, np.uint8)
            jpeg = cv2.imencode(".jpg", image)[1].tobytes()
            head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + jpeg + b"\r\n")
            except OSError:
                return
            time.sleep(1 / FPS)


class _Mute(socketserver.BaseRequestHandler):
    """Accepts and never answers."""

    def handle(self) -> None:
        while self.request.recv(4096):
            pass


class _Garbage(socketserver.BaseRequestHandler):
    """Sends random bytes without end."""

    def handle(self) -> None:
        noise = np.random.default_rng(3).bytes(4096)
        try:
            while True:
                self.request.sendall(noise)
                time.sleep(0.01)
        except OSError:
            return


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _WebServer(http.server.ThreadingHTTPServer):
    """Plain or, with a certificate, TLS; a failed handshake is no error of the server."""

    def __init__(self, host: str, certificate: Certificate | None, login: str) -> None:
        self.login = login
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), _Camera)
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate.path, certificate.key)

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self._context is None:
            super().finish_request(request, client_address)
            return
        try:
            line = self._context.wrap_socket(request, server_side=True)
        except OSError:
            return
        with line:
            super().finish_request(line, client_address)

    def shutdown_request(self, request: Any) -> None:
        if request.fileno() >= 0:  # otherwise TLS took the socket over and closed it
            super().shutdown_request(request)


@contextmanager
def http_camera(
    host: str = "127.0.0.1",
    certificate: Certificate | None = None,
    login: str = f"{USER}:{PASSWORD}",
) -> Iterator[str]:
    """`http://HOST:PORT`, or https with a certificate; the pictures are at /stream, and at /guarded
    for who has the login."""
    scheme = "https" if certificate else "http"
    with in_a_thread(_WebServer(host, certificate, login)) as server:
        yield f"{scheme}://{bracketed(host)}:{server.server_address[1]}"


@contextmanager
def mute_peer(port: int = 0) -> Iterator[int]:
    with in_a_thread(_Server(("127.0.0.1", port), _Mute)) as server:
        yield server.server_address[1]


@contextmanager
def garbage_peer(port: int = 0) -> Iterator[int]:
    with in_a_thread(_Server(("127.0.0.1", port), _Garbage)) as server:
        yield server.server_address[1]
