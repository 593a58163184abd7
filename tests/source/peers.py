"""Small servers on the loopback: a camera that speaks HTTP, and peers that are no camera."""

from __future__ import annotations

import http.server
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

FPS = 15
SIZE = (320, 240)


class _Camera(http.server.BaseHTTPRequestHandler):
    """MJPEG as cheap cameras send it; /refused wants a password, /forbidden takes none."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test's output is for the test."""

    def do_GET(self) -> None:
        status = {"/refused": 401, "/forbidden": 403, "/stream": 200}.get(self.path, 404)
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
        if status == 200:
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.end_headers()
        if status == 200:
            self._send_pictures()

    def _send_pictures(self) -> None:
        for index in range(60 * FPS):
            image = np.full((SIZE[1], SIZE[0], 3), index % 255, np.uint8)
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
    """Sends what is no protocol at all, for ever."""

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


@contextmanager
def _serving(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def http_camera() -> Iterator[str]:
    """`http://127.0.0.1:PORT`; the pictures are at /stream."""
    with _serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Camera)) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def mute_peer() -> Iterator[int]:
    with _serving(_Server(("127.0.0.1", 0), _Mute)) as port:
        yield port


@contextmanager
def garbage_peer() -> Iterator[int]:
    with _serving(_Server(("127.0.0.1", 0), _Garbage)) as port:
        yield port
