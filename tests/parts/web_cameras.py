"""Cameras on HTTP that show a clip: live HLS, pictures one by one, and the file itself."""

from __future__ import annotations

import hashlib
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from tests.parts.certificates import Certificate
from tests.parts.serving import EncryptedHTTPServer, in_a_thread

FPS = 15
REALM, NONCE = "camera", "4d61"


class WebCamera(EncryptedHTTPServer):
    """Answers on the loopback while its `with` block runs; `began_at` is when the clip begins.

    `asked` holds the path and the status of each request, `connections` how many there were. With a
    `certificate` it speaks TLS.
    """

    def __init__(
        self,
        handler: type[BaseHTTPRequestHandler],
        *,
        certificate: Certificate | None = None,
        **state: Any,
    ) -> None:
        self.state = state
        self.began_at = time.time()
        self.asked: list[tuple[str, int]] = []
        self.connections = 0
        super().__init__(handler, certificate)

    @property
    def url(self) -> str:
        return self.address

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)


class Handler(BaseHTTPRequestHandler):
    server: WebCamera
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.server.asked.append((self.path, status))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 304:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        try:
            self.wfile.write(content)
        except OSError:
            return


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], **state: Any) -> Iterator[WebCamera]:
    with in_a_thread(WebCamera(handler, **state)) as server:
        yield server


# --- files ---------------------------------------------------------------------------------------


class _Files(Handler):
    """The files of a folder, whole or a range of bytes, as a web server gives them."""

    def do_GET(self) -> None:
        path = Path(self.server.state["folder"]) / self.path.split("?")[0].lstrip("/")
        try:
            content = path.read_bytes()
        except OSError:
            self.answer(404)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            self.answer(200, content, Accept_Ranges="bytes")
            return
        start, end = int(wanted[1]), int(wanted[2] or len(content) - 1)
        part = content[start : end + 1]
        span = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        self.answer(206, part, Content_Range=span)


@contextmanager
def web_files(folder: Path, certificate: Certificate | None = None) -> Iterator[WebCamera]:
    """The files of `folder`."""
    with serving(_Files, folder=folder, certificate=certificate) as server:
        yield server


# --- live HLS ------------------------------------------------------------------------------------


def encode(clip: Path, path: Path, *, key_seconds: int, before: float, after: float) -> Path:
    """The pictures of `clip` in H.264 with a key frame every so many seconds; the first picture
    stands for `before` seconds, the last one for `after`."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        options = {"crf": "18", "preset": "veryfast", "sc_threshold": "0"}
        stream = target.add_stream("libx264", rate=FPS, options=options)
        given = source.streams.video[0]
        stream.width, stream.height, stream.pix_fmt = given.width, given.height, "yuv420p"
        stream.codec_context.gop_size = key_seconds * FPS
        images = [frame.to_ndarray(format="yuv420p") for frame in source.decode(given)]
        images = [images[0]] * round(before * FPS) + images + [images[-1]] * round(after * FPS)
        for image in images:
            target.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="yuv420p")))
        target.mux(stream.encode(None))
    return path


class _Broadcast(threading.Thread):
    """Writes a clip into a playlist in real time, with FFmpeg's muxer, as a camera does."""

    def __init__(self, clip: Path, folder: Path, segment_seconds: int, part: str) -> None:
        super().__init__(name="broadcast", daemon=True)
        self.stop = threading.Event()
        self._clip = clip
        self._folder = folder
        self._options = {
            "hls_time": str(segment_seconds),
            "hls_list_size": "4",
            "hls_flags": "delete_segments+omit_endlist",
            "hls_segment_filename": str(folder / part),
        }

    def run(self) -> None:
        began = time.monotonic()
        with (
            av.open(str(self._clip)) as source,
            av.open(
                str(self._folder / "live.m3u8"), "w", format="hls", options=self._options
            ) as target,
        ):
            given = source.streams.video[0]
            stream = target.add_stream_from_template(given)
            for packet in source.demux(given):
                if packet.dts is None or packet.time_base is None:
                    continue
                due = began + float(packet.dts * packet.time_base) - time.monotonic()
                if self.stop.wait(max(0.0, due)):
                    return
                packet.stream = stream
                target.mux(packet)
            self.stop.wait()


@contextmanager
def live_hls(
    clip: Path,
    *,
    segment_seconds: int,
    part: str = "part%d.ts",
    certificate: Certificate | None = None,
) -> Iterator[WebCamera]:
    """`clip` live in segments; its key frames must lie so far apart. The playlist is /live.m3u8,
    and there is one segment when this begins."""
    with (
        tempfile.TemporaryDirectory(prefix="hls-") as folder,
        web_files(Path(folder), certificate) as server,
    ):
        broadcast = _Broadcast(clip, Path(folder), segment_seconds, part)
        server.began_at = time.time()
        broadcast.start()
        while not (Path(folder) / "live.m3u8").exists():  # it comes with the end of the first part
            time.sleep(0.05)
        try:
            yield server
        finally:
            broadcast.stop.set()
            broadcast.join()


# --- pictures one by one -------------------------------------------------------------------------


class _Pictures(Handler):
    """A picture a request. With `hold_seconds` each stays for so long, as at a bridge."""

    def do_GET(self) -> None:
        state = self.server.state
        login = state["login"]
        if login is not None and not _digest_is_right(self.headers.get("Authorization"), login):
            challenge = f'Digest realm="{REALM}", nonce="{NONCE}", qop="auth", algorithm=MD5'
            self.answer(401, b"log in", WWW_Authenticate=challenge)
            return
        step = state["hold_seconds"] or 1 / FPS
        number = int((time.time() - self.server.began_at) / step) * max(1, round(step * FPS))
        images: list[bytes] = state["pictures"]
        number = max(0, min(number, len(images) - 1))
        tag = f'"{number}"'
        if state["tags"] and self.headers.get("If-None-Match") == tag:
            self.answer(304, ETag=tag)
            return
        taken = datetime.fromtimestamp(self.server.began_at + number / FPS, UTC)
        headers = {"Content_Type": "image/jpeg"}
        if state["tags"]:
            headers |= {"ETag": tag, "Last_Modified": format_datetime(taken, usegmt=True)}
        self.answer(200, images[number], **headers)


def _digest_is_right(said: str | None, login: tuple[str, str]) -> bool:
    """Whether an `Authorization` answers the challenge (RFC 7616, with MD5 and qop=auth)."""
    fields = dict(re.findall(r'(\w+)="?([^",]*)"?', said or ""))
    if fields.get("username") != login[0] or fields.get("nonce") != NONCE:
        return False

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    user, secret = md5(f"{login[0]}:{REALM}:{login[1]}"), md5(f"GET:{fields['uri']}")
    parts = (user, NONCE, fields["nc"], fields["cnonce"], fields["qop"], secret)
    return bool(fields["response"] == md5(":".join(parts)))


@contextmanager
def snapshot_camera(
    pictures: list[bytes],
    *,
    login: tuple[str, str] | None = None,
    hold_seconds: float = 0.0,
    tags: bool = False,
    certificate: Certificate | None = None,
) -> Iterator[WebCamera]:
    """`pictures` at 15 a second, one a request, at any path; behind a digest `login`."""
    state = {"pictures": pictures, "login": login, "hold_seconds": hold_seconds, "tags": tags}
    with serving(_Pictures, certificate=certificate, **state) as server:
        yield server


class SlowPictures(Handler):
    """MJPEG of one picture every `seconds`; the first one after so long, too."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=--frame")
        self.end_headers()
        for shade in range(0, 250, 10):
            time.sleep(self.server.state["seconds"])
            content = _jpeg(np.full((48, 64, 3), shade, np.uint8))
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + content + b"\r\n")
            except OSError:
                return


@contextmanager
def slow_mjpeg(seconds: float, certificate: Certificate | None = None) -> Iterator[WebCamera]:
    """MJPEG of one picture every `seconds`, at any path."""
    with serving(SlowPictures, certificate=certificate, seconds=seconds) as server:
        yield server


def jpegs(clip: Path) -> list[bytes]:
    """Each picture of a clip as JPEG."""
    with av.open(str(clip)) as container:
        return [_jpeg(frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]


def _jpeg(image: Any) -> bytes:
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1])
