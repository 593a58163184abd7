"""A real RTSP server: GStreamer's, in a process of its own (rtsp_server.py)."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import av
import pytest

from streamwatch.config.values.addresses import bracketed
from tests.parts import free_port, missing
from tests.parts.certificates import Certificate

SYSTEM_PYTHON = Path("/usr/bin/python3")
SCRIPT = Path(__file__).with_name("rtsp_server.py")
PACKAGES = (
    "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base"
    " gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly"
    " glib-networking"
)
START_SECONDS = 20.0
PROBE = """
import gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, Gst, GstRtspServer
Gst.init(None)
assert Gio.TlsBackend.get_default().supports_tls()
assert all(Gst.ElementFactory.find(name) for name in ("x264enc", "rtph264pay", "h264parse"))
"""


class RtspServer:
    """Serves one stream on the loopback while its `with` block runs.

    With a `clip` (an MP4 of `codec` "h264" or "h265") its encoded frames are sent in real time, in
    a loop with rising time stamps, or once if `loop` is False; all clients share one playback,
    which starts at frame 0 with the first client's PLAY and ends with the last client. Without a
    clip it is a moving ball of `size` at `fps`, in H.264 or as `codec` "jpeg"; `second` is the size
    of another video track in the same stream. `restart` keeps the port, so the URL stays. With a
    `certificate` it is RTSPS, with `digest` the password itself never travels.
    """

    def __init__(
        self,
        *,
        clip: Path | None = None,
        loop: bool = True,
        size: tuple[int, int] = (640, 360),
        fps: int = 15,
        codec: str = "h264",
        second: tuple[int, int] | None = None,
        user: str | None = None,
        password: str | None = None,
        digest: bool = False,
        host: str = "127.0.0.1",
        certificate: Certificate | None = None,
    ) -> None:
        self.host = host
        self.port = free_port()
        self.certificate = certificate
        self.clip = clip
        self.loop = loop
        self.size = size
        self.fps = fps
        self.codec = codec
        self.second = second
        self.user = user
        self.password = password
        self.digest = digest
        self._folder = tempfile.TemporaryDirectory(prefix="rtsp-server-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The stream's address, without the password."""
        scheme = "rtsps" if self.certificate else "rtsp"
        return f"{scheme}://{bracketed(self.host)}:{self.port}/stream"

    @property
    def url_with_password(self) -> str:
        user, password = quote(self.user or "", safe=""), quote(self.password or "", safe="")
        return self.url.replace("//", f"//{user}:{password}@", 1)

    @property
    def frame0_at(self) -> datetime | None:
        """The time at which frame 0 of the newest playback was due; None before the first PLAY."""
        lines = self._journal.read_text().split() if self._journal.exists() else []
        return datetime.fromtimestamp(float(lines[-1]), UTC) if lines else None

    @property
    def _journal(self) -> Path:
        return Path(self._folder.name) / "journal"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._folder.cleanup()

    def start(self) -> None:
        """Start serving and wait until the port accepts connections."""
        options = {
            "port": self.port,
            "journal": str(self._journal),
            "clip": str(self.clip) if self.clip else None,
            "seconds": float(_length(self.clip)) if self.clip else 0.0,
            "loop": self.loop,
            "width": self.size[0],
            "height": self.size[1],
            "fps": self.fps,
            "codec": self.codec,
            "second": self.second,
            "user": self.user,
            "password": self.password,
            "digest": self.digest,
            "host": self.host,
            "certificate": str(self.certificate.path) if self.certificate else None,
            "key": str(self.certificate.key) if self.certificate else None,
        }
        with (Path(self._folder.name) / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [SYSTEM_PYTHON, SCRIPT, json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (Path(self._folder.name) / "log").read_text()
                self.kill()
                raise RuntimeError(f"the RTSP server did not start: {said}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=1):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL, as a camera that loses power; does nothing if it isn't running."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process = None

    def restart(self) -> None:
        """Kill it if it is running, and serve again on the same port."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered or sent."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def _length(clip: Path) -> Fraction:
    """Seconds from the first frame to the end of the last."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        return stream.duration * Fraction(stream.time_base)


@pytest.fixture(scope="session")
def rtsp_parts() -> None:
    """Skip (or fail) if the server's parts are not installed."""
    if (
        not SYSTEM_PYTHON.exists()
        or subprocess.run([SYSTEM_PYTHON, "-c", PROBE], capture_output=True, check=False).returncode
    ):
        missing("gst-rtsp-server", PACKAGES)


@pytest.fixture(scope="module")
def rtsp_server(rtsp_parts: None) -> Iterator[Callable[..., RtspServer]]:
    """A factory with `RtspServer`'s arguments; its servers stop at the end of the module."""
    with ExitStack() as running:
        yield lambda **options: running.enter_context(RtspServer(**options))
