"""A web server on the loopback that serves files, with faults if a test sets them."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from streamwatch.config.catalogue import ENCODERS, HubFolder
from tests.parts.serving import in_a_thread


def _hub_folder(encoder: str) -> HubFolder:
    source = ENCODERS[encoder].sources[-1]
    assert isinstance(source, HubFolder)
    return source


CLIP, TOKENIZER = _hub_folder("clip"), _hub_folder("mobileclip")
HUB_FILES = {
    "config.json": b'{"model_type": "clip"}',
    "vocab.json": b"{}",
    "merges.txt": b"#version: 0.2\n",
    "README.md": b"not needed",
    "model.safetensors": b"weights" * 10_000,
    "pytorch_model.bin": b"the same weights, for those who must",
}


def checkpoint(content: str = "weights") -> bytes:
    """A zip file, which is all a checkpoint is to a web server."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        # A ZipInfo, since with only a name the entry would get the current time.
        archive.writestr(zipfile.ZipInfo("model/data.pkl"), content * 10_000)
    return file.getvalue()


class Request(BaseHTTPRequestHandler):
    server: Web
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append((path, self.headers.get("Range")))
        self.close_connection = True
        faults = self.server.faults.get(path, [])
        # The last fault of a list repeats.
        fault = (faults.pop(0) if len(faults) > 1 else faults[0]) if faults else good
        if path not in self.server.files:
            fault = status(404)
        fault(self, self.server.files.get(path, b""))

    def head(self, code: int, **headers: object) -> None:
        self.send_response(code)
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def start(self, content: bytes, length: int | None = None) -> bytes:
        """Send the head of a good response and return its body."""
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        wanted = self.headers.get("Range", "")
        if not wanted or self.headers.get("If-Range") != tag:
            self.head(200, ETag=tag, Content_Length=len(content) if length is None else length)
            return content
        begin = int(wanted.removeprefix("bytes=").rstrip("-"))
        if begin >= len(content):
            self.head(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
            return b""
        rest = content[begin:]
        self.head(
            206,
            ETag=tag,
            Content_Range=f"bytes {begin}-{len(content) - 1}/{len(content)}",
            Content_Length=len(rest) if length is None else length - begin,
        )
        return rest

    def log_message(self, *_: object) -> None:
        pass


Fault = Callable[[Request, bytes], None]


class Web(ThreadingHTTPServer):
    """`files` by path; `faults` by path, one for each request, the last of them repeated.

    `asked` are the requests: path, Range.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.released = threading.Event()

    def address(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def ranges(self, path: str) -> list[str | None]:
        return [wanted for asked, wanted in self.asked if asked == path]

    def serve_hub(self, files: dict[str, bytes]) -> None:
        """Serve `files` as the hub serves those of CLIP: large ones in LFS, with their SHA-256."""
        siblings = [
            {
                "rfilename": name,
                "size": len(content),
                "blobId": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
            }
            | (
                {"lfs": {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}}
                if name.endswith((".safetensors", ".bin"))
                else {}
            )
            for name, content in files.items()
        ]
        api = f"/api/models/{CLIP.repository}/revision/{CLIP.revision}"
        self.files[api] = json.dumps({"sha": CLIP.revision, "siblings": siblings}).encode()
        for name, content in files.items():
            self.files[f"/{CLIP.repository}/resolve/{CLIP.revision}/{name}"] = content


@contextmanager
def serving() -> Iterator[Web]:
    with in_a_thread(Web()) as web:
        try:
            yield web
        finally:
            web.released.set()


def good(request: Request, content: bytes) -> None:
    request.wfile.write(request.start(content))


def break_off(after: int) -> Fault:
    """Close the connection after so many bytes."""

    def serve(request: Request, content: bytes) -> None:
        request.wfile.write(request.start(content)[:after])

    return serve


def stall(after: int) -> Fault:
    """Send nothing more after so many bytes, without closing the connection."""

    def serve(request: Request, content: bytes) -> None:
        request.wfile.write(request.start(content)[:after])
        request.wfile.flush()
        request.server.released.wait(30)

    return serve


def lie(length: int) -> Fault:
    """Declare a wrong Content-Length and send what there is."""

    def serve(request: Request, content: bytes) -> None:
        body = request.start(content, length)
        request.wfile.write(body[:length])

    return serve


def status(code: int, **headers: object) -> Fault:
    def serve(request: Request, content: bytes) -> None:
        request.head(code, Content_Length=0, **headers)

    return serve


def redirect(to: str) -> Fault:
    return status(302, Location=to)
