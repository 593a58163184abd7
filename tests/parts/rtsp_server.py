"""An RTSP server with GStreamer, run by the system's Python, which has `gi`; see rtsp.py.

    /usr/bin/python3 rtsp_server.py '{"port": 8554, "journal": "/tmp/journal", …}'

The options are the fields of `Options`. It stops when its standard input closes, so that it
never outlives the program that started it. Each time the media starts
playing, one line is added to the file `journal`: the unix time at which its first frame was due.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # type: ignore[import-not-found]  # noqa: E402

PATH = "/stream"
ROLE = "viewer"
PAYLOADER = {
    codec: f"rtp{codec}pay name=pay0 pt=96 config-interval=1" for codec in ("h264", "h265")
}
LIVE = {
    "h264": f"x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! {PAYLOADER['h264']}",
    "jpeg": "jpegenc ! rtpjpegpay name=pay0 pt=26",
}
"""How the ball is encoded and sent, by codec."""


@dataclass(frozen=True)
class Options:
    """`clip` None serves a moving ball, encoded live with `codec`; `second` adds a track in H.264.
    Else `codec` is that of the clip, `h264` or `h265`.

    `seconds` is the clip's length, for loops.
    """

    port: int
    journal: str
    clip: str | None = None
    seconds: float = 0.0
    loop: bool = True
    width: int = 640
    height: int = 360
    fps: int = 15
    codec: str = "h264"
    second: tuple[int, int] | None = None
    user: str | None = None
    password: str | None = None
    digest: bool = False
    host: str = "127.0.0.1"
    certificate: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Unit:
    """One encoded picture; times in nanoseconds."""

    content: bytes
    pts: int
    duration: int


@dataclass(frozen=True)
class Clip:
    units: tuple[Unit, ...]
    caps: Any


def read_clip(path: str, codec: str) -> Clip:
    """Read the access units of an MP4, in decoding order."""
    pipeline = Gst.parse_launch(
        f"filesrc name=file ! qtdemux ! {codec}parse"
        f" ! video/x-{codec},stream-format=byte-stream,alignment=au"
        " ! appsink name=units sync=false"
    )
    pipeline.get_by_name("file").set_property("location", path)
    sink = pipeline.get_by_name("units")
    pipeline.set_state(Gst.State.PLAYING)
    units: list[Unit] = []
    caps = None
    while sample := sink.emit("pull-sample"):
        buffer = sample.get_buffer()
        caps = sample.get_caps()
        content = buffer.extract_dup(0, buffer.get_size())
        units.append(Unit(content, buffer.pts, buffer.duration))
    pipeline.set_state(Gst.State.NULL)
    if not units:
        raise SystemExit(f"no {codec} in {path}")
    return Clip(tuple(units), caps)


class Playback:
    """Feeds the `appsrc` of one media with units, with time stamps that keep rising."""

    def __init__(self, clip: Clip, source: Any, pass_ns: int, loop: bool) -> None:
        self._clip = clip
        self._pass_ns = pass_ns
        self._loop = loop
        self._sent = 0
        source.set_property("caps", clip.caps)
        source.connect("need-data", self._push)

    def _push(self, source: Any, _wanted_bytes: int) -> None:
        passes, index = divmod(self._sent, len(self._clip.units))
        if passes and not self._loop:
            source.emit("end-of-stream")
            return
        unit = self._clip.units[index]
        buffer = Gst.Buffer.new_wrapped(unit.content)
        buffer.pts = unit.pts - self._clip.units[0].pts + passes * self._pass_ns
        buffer.duration = unit.duration
        self._sent += 1
        source.emit("push-buffer", buffer)


def note_start(media: Any, state: int, journal: Path) -> None:
    """Once it plays: running time 0, that of frame 0, is the base time on the media's clock."""
    if state != int(Gst.State.PLAYING):
        return

    def note() -> bool:
        base_ns = media.get_base_time()
        if base_ns in (0, Gst.CLOCK_TIME_NONE):
            return True
        played_ns = media.get_clock().get_time() - base_ns
        with journal.open("a") as lines:
            lines.write(f"{time.time() - played_ns / Gst.SECOND}\n")
        return False

    # The signal may arrive before the base time is set.
    GLib.timeout_add(20, note)


def make_factory(options: Options) -> Any:
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_shared(True)
    codec = options.codec
    clip = read_clip(options.clip, codec) if options.clip else None
    if clip:
        launch = (
            f"appsrc name=units format=time max-bytes=200000 ! {codec}parse ! {PAYLOADER[codec]}"
        )
    else:
        launch = (
            "videotestsrc is-live=true pattern=ball"
            f" ! video/x-raw,format=I420,width={options.width},height={options.height},"
            f"framerate={options.fps}/1 ! {LIVE[codec]}"
        )
        if options.second:
            width, height = options.second
            launch += (
                " videotestsrc is-live=true pattern=ball"
                f" ! video/x-raw,format=I420,width={width},height={height},"
                f"framerate={options.fps}/1 ! {LIVE['h264'].replace('pay0', 'pay1')}"
            )
    factory.set_launch(f"( {launch} )")

    def configure(_factory: Any, media: Any) -> None:
        media.connect("new-state", note_start, Path(options.journal))
        if clip:
            units = media.get_element().get_by_name("units")
            pass_ns = int(options.seconds * Gst.SECOND)
            media.playback = Playback(clip, units, pass_ns, options.loop)

    factory.connect("media-configure", configure)
    return factory


def guard(server: Any, factory: Any, options: Options) -> None:
    """Set up TLS and the password, if there are any."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", ROLE)
    if options.user is None:
        auth.set_default_token(token)
    elif options.digest:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(options.user, options.password, token)
    else:
        basic = GstRtspServer.RTSPAuth.make_basic(options.user, options.password)
        auth.add_basic(basic, token)
    if options.certificate is not None:
        pair = Gio.TlsCertificate.new_from_files(options.certificate, options.key)
        auth.set_tls_certificate(pair)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_role(ROLE)
    permissions.add_permission_for_role(ROLE, "media.factory.access", True)
    permissions.add_permission_for_role(ROLE, "media.factory.construct", True)
    factory.set_permissions(permissions)


def main() -> None:
    options = Options(**json.loads(sys.argv[1]))
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address(options.host)
    server.set_service(str(options.port))
    factory = make_factory(options)
    if options.user is not None or options.certificate is not None:
        guard(server, factory, options)
    server.get_mount_points().add_factory(PATH, factory)
    if not server.attach(None):
        raise SystemExit(f"port {options.port} can't be served")
    loop = GLib.MainLoop()
    GLib.io_add_watch(sys.stdin, GLib.IO_HUP, lambda *_: loop.quit())
    loop.run()


if __name__ == "__main__":
    main()
