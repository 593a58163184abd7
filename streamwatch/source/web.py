"""Cameras on HTTP: what comes decides how it is read, since the address doesn't say.

The first answer is asked for and looked at here. FFmpeg reads what goes on without an end (MJPEG,
MPEG-TS) out of that very answer, so that a stop and a silence can break it off; playlists and
recordings, for which it asks several times, by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Literal

from streamwatch.errors import SourceError
from streamwatch.source.certificates import tls_options
from streamwatch.source.clock import Clock
from streamwatch.source.decoding import Input, Video, opened, picture_format
from streamwatch.source.file import FileSource
from streamwatch.source.live import LiveReader, Times
from streamwatch.source.protocol import Decoded
from streamwatch.source.snapshots import Snapshots
from streamwatch.source.web_client import Answer, NotUnderstood, Stopped, WebClient

READ_SECONDS = 20.0
"""Timeout of FFmpeg's reads over HTTP, after which it can't go on: longer than a segment of HLS,
since nothing comes between two of them."""

PROTOCOLS = "http,https,tcp,tls,crypto,data"
"""What a playlist may list, and so no files: the protocols that HTTP, TLS and encrypted HLS are
made of. They hold for a playlist's parts only while the connection is kept."""

STREAM_FORMATS = "mpjpeg,mjpeg,mpegts,flv,live_flv,mov,matroska,ogg,asf,avi,mpeg,h264,hevc,av1"
"""FFmpeg's formats of streams without an end, none of which opens other files."""

FFMPEG_OPTIONS = {
    "max_redirects": "0",
    "http_proxy": "",
    "protocol_whitelist": PROTOCOLS,
    "reconnect": "1",
    "multiple_requests": "1",
    "allowed_extensions": "ALL",
    "allowed_segment_extensions": "ALL",
    "extension_picky": "0",
    "live_start_index": "-2",
}
"""For what FFmpeg reads by itself. Redirects were followed before. `reconnect` goes on at the same
byte of a file. Without `multiple_requests` FFmpeg 8.1 asks to close a connection and asks for more
on it all the same, and a short recording lost its beginning. Segments of a playlist may be called
anything. It begins with the last but one, so that little is told late and nothing told again after
a reconnect, and has one ahead."""

Found = tuple[str, str | None]
"""An address, and FFmpeg's name of the format there, if that is known."""

Kind = Literal["picture", "stream", "hls", "dash", "recording"]


PLAYLISTS = ("hls", "dash")
"""Called as FFmpeg calls these formats, which it doesn't take from all that they are called."""


class WebSource:
    """Whatever an address of HTTP gives: a stream, pictures one by one, or a recording.

    `target.address` may hold a login. A recording is played in real time, once or in a `loop`.
    """

    def __init__(self, target: Input, *, fps: float, loop: bool, clock: Clock) -> None:
        self._target = target
        self._clock = clock
        self._reader = LiveReader(target.shown, clock)
        self._snapshots = Snapshots(target, fps=fps, clock=clock)
        self._loop = loop
        self._recording: FileSource | None = None
        self._lives = False
        """Whether a live stream or pictures have come."""
        self._one_by_one = False
        """Whether what looked like a stream has ended with its first picture."""
        self._opening_since: float | None = None

    @property
    def corrupt(self) -> int:
        return self._reader.corrupt + (self._recording.corrupt if self._recording else 0)

    @property
    def unchanged_at(self) -> float | None:
        return self._snapshots.unchanged_at

    @property
    def away_since(self) -> float | None:
        since = self._reader.away_since
        return self._opening_since if since is None else since

    @property
    def patience_seconds(self) -> float:
        return self._reader.patience_seconds

    def frames(self, stop: threading.Event) -> Generator[Decoded, None, None]:
        try:
            with suppress(Stopped):
                found = yield from self._looked_at(stop)
                if found is not None:
                    yield from self._by_ffmpeg(*found, stop)
        finally:
            self._opening_since = None

    def _looked_at(self, stop: threading.Event) -> Generator[Decoded, None, Found | None]:
        """Ask, and read what comes out of that answer. Returns what is for FFmpeg to read."""

        def demand_pictures() -> None:
            if answer.waiting:
                self._reader.note_waiting()
            self._reader.demand_pictures()

        self._opening_since = self._clock.monotonic()
        with WebClient(self._target.address, self._target.shown, stop, self._clock) as client:
            try:
                with client.answering():
                    answer = client.get()
                    answer.demand_ok()
                    kind = kind_of(answer, self._target.shown)
            except NotUnderstood:
                return self._target.address, None
            self._opening_since = None
            if kind == "stream" and not self._one_by_one:
                self._reader.begin()
                client.check = demand_pictures
                try:
                    yield from self._stream(answer, stop)
                finally:
                    client.demand_going_on()
                return None
        if kind not in ("picture", "stream"):
            return answer.address, kind if kind in PLAYLISTS else None
        self._lives, self._one_by_one = True, False
        yield from self._snapshots.frames(stop)
        return None

    def _stream(self, answer: Answer, stop: threading.Event) -> Generator[Decoded, None, None]:
        options = {"format_whitelist": STREAM_FORMATS, "protocol_whitelist": PROTOCOLS}
        is_jpeg = picture_format(answer.ahead(12)) == "jpeg_pipe"
        name = "mpjpeg" if is_multipart(answer) else "mjpeg" if is_jpeg else None
        target = replace(self._target, format=name, options=options)
        count = 0
        try:
            with opened(target, answer) as video:
                self._lives = True
                self._reader.least_patience_seconds = 0.0
                self._reader.begin()
                for frame in self._reader.frames(video, times_of(video), stop):
                    count += 1
                    yield frame
        except SourceError:
            # Some answer with a picture, and say neither its type nor its length.
            self._one_by_one = is_jpeg and count <= 1
            raise

    def _by_ffmpeg(
        self, address: str, name: str | None, stop: threading.Event
    ) -> Generator[Decoded, None, None]:
        options: Mapping[str, str] = {**FFMPEG_OPTIONS, **tls_options(address)}
        target = replace(
            self._target,
            address=address,
            format=name,
            options=options,
            read_seconds=READ_SECONDS,
            resumable=False,
        )
        self._reader.begin()
        self._opening_since = self._clock.monotonic()
        with opened(target) as video:
            self._opening_since = None
            if video.duration_seconds is None:
                self._lives = True
                self._reader.least_patience_seconds = READ_SECONDS
                self._reader.begin()
                yield from self._reader.frames(video, times_of(video), stop)
                return
            if self._lives:
                raise SourceError(
                    f"{self._target.shown}: the stream has ended; a recording of it is left"
                )
            if self._recording is None:
                recording = FileSource(target, loop=self._loop, paced=True, clock=self._clock)
                self._recording = recording
            yield from self._recording.frames(stop, video)


def times_of(video: Video) -> Times:
    return "playout" if video.has_times else "arrival"


def kind_of(answer: Answer, shown: str) -> Kind:
    """What an answer holds. Raises SourceError if it is no video and no picture."""
    kind = answer.media_type
    if is_multipart(answer):
        return "stream"
    if kind.startswith("image/"):
        return "picture"
    if "mpegurl" in kind:
        return "hls"
    if kind == "application/dash+xml":
        return "dash"
    begin = answer.ahead(64)
    if not begin:
        raise SourceError(f"{shown}: it answers with nothing")
    text = begin.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if kind in ("text/html", "application/xhtml+xml") or text.startswith((b"<!doctype", b"<html")):
        raise SourceError(f"{shown}: this is a web page, not a stream; is it a page to log in at?")
    if text.startswith(b"#extm3u"):
        return "hls"
    if text.startswith((b"<?xml", b"<mpd")) and b"<mpd" in answer.ahead(1024).lower():
        return "dash"
    if kind.startswith("text/") or kind.endswith(("json", "xml")):
        raise SourceError(f"{shown}: this is text ({kind}), no stream")
    if picture_format(begin) and answer.length is not None:
        return "picture"
    if begin.startswith(b"--"):
        return "stream"
    return "stream" if answer.length is None else "recording"


def is_multipart(answer: Answer) -> bool:
    return answer.media_type.startswith("multipart/") or (
        not answer.media_type.startswith(("image/", "video/")) and answer.ahead(2) == b"--"
    )
