"""All reading with PyAV: opens and decodes containers, and turns its errors into SourceError.

FFmpeg's messages hold the URL with its password, so none is passed on as it is. PyAV's logging
stays off: with it on, a corrupt file was seen to hang the process.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, auto
from io import BytesIO
from typing import Any, Protocol, cast

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from streamwatch.config import is_encrypted, mask_secrets_in
from streamwatch.errors import CredentialsRefused, SourceError
from streamwatch.source.bounds import MOST_PIXELS, unfit_size
from streamwatch.source.certificates import tls_problem
from streamwatch.source.copies import Copies, Streams, Tap, codec_of, copied, streams_of
from streamwatch.source.picture import RawPicture
from streamwatch.source.upright import CLOCKWISE, Orientation, orientation, square_size

OPEN_SECONDS = 5.0
"""Timeout for connecting, and again for probing the streams."""

READ_SECONDS = 1.0
"""Timeout of a read where reading can go on after it; so a stop takes effect soon."""

MANY_FAILURES = 1000
"""Undecodable packets in a row after which the input is given up.

About a minute of a file at 15 fps; a live stream is given up sooner, after 5 s.
"""

NOTED_FRAMES = 25
"""So many frames hold to what was last noted of their orientation, at least."""

_NO_TIMESTAMPS = 0x80
"""AVFMT_NOTIMESTAMPS of libavformat/avformat.h."""

REFUSALS = {
    401: "the user name or password is wrong or missing (401)",
    403: "access was refused (403)",
}
"""What a status of HTTP or RTSP says of the login."""
NOT_FOUND = "there is no such stream (404)"
NOBODY_LISTENS = "nothing listens there (connection refused)"
UNREACHABLE = "the host is unknown or can't be reached"

FALLBACK_RATE = 25.0
"""Frames a second where the container names no rate."""


class Gap(Enum):
    """No frame this time; yielded so that the caller can check its timeout and its stop event."""

    NOTHING = auto()
    """A packet that completed no frame, or no packet within READ_SECONDS."""
    CORRUPT = auto()
    """A packet that could not be decoded."""


@dataclass(frozen=True, slots=True)
class Input:
    """What to open. `address` may hold a password; `shown` is its form for logs, without one."""

    address: str = field(repr=False)
    shown: str
    format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    read_seconds: float = READ_SECONDS
    """Timeout of a read."""
    resumable: bool = True
    """Whether reading can go on after its timeout: not where FFmpeg reads over HTTP."""
    rotate: int | None = None
    """Degrees to turn pictures clockwise; None: as they say themselves."""
    tap: Tap | None = field(default=None, compare=False, repr=False)
    """What takes copies of its packets."""


@dataclass(slots=True)
class _Noted:
    """What a stream said of its orientation, and how many frames ago."""

    rotation: int
    turned: Orientation
    frames: int = 0


class Video:
    """An open container and its video stream; for one thread, closed by `opened`."""

    def __init__(self, container: InputContainer, stream: VideoStream, target: Input) -> None:
        self._container = container
        self._stream = stream
        self._codec = codec_of(stream)
        self._shown = target.shown
        self._resumable = target.resumable
        self._read_seconds = target.read_seconds
        self._turned = None if target.rotate is None else CLOCKWISE[target.rotate]
        self._noted: _Noted | None = None
        self._copies: Copies | None = None
        self._copied: dict[int, bool] = {}
        """The streams that are copied, by their index, and whether each is sound."""
        if target.tap is not None:
            self._copy_to(target.tap, target.rotate)

    def _copy_to(self, tap: Tap, rotate: int | None) -> None:
        streams = streams_of(self._container, self._stream, rotate)
        if not isinstance(streams, Streams):
            tap.refuse(streams)
            return
        self._copies = tap.begin(streams)
        self._copied = {self._stream.index: False}
        if streams.audio_index is not None:
            self._copied[streams.audio_index] = True

    def note_time(self, picture: RawPicture, captured_at: datetime) -> None:
        """Tell who copies the packets when this frame of it was taken."""
        if self._copies is not None and picture.time is not None:
            self._copies.time(picture.time, captured_at)

    def end_copies(self) -> None:
        """Tell who copies the packets that it is closed."""
        if self._copies is not None:
            self._copies.end()

    @property
    def start_seconds(self) -> float:
        """The time stamp of the first frame; 0 where unknown."""
        if self._stream.start_time is None or self._stream.time_base is None:
            return 0.0
        return float(self._stream.start_time * self._stream.time_base)

    @property
    def format(self) -> str:
        """FFmpeg's name of the container's format."""
        return self._container.format.name

    @property
    def has_times(self) -> bool:
        """Whether the format has time stamps; FFmpeg makes them up where it has none."""
        return not self._container.format.flags & _NO_TIMESTAMPS

    @property
    def duration_seconds(self) -> float | None:
        """How long it is; None for what has no end, or none that is known."""
        duration = self._container.duration
        return duration / av.time_base if duration and duration > 0 else None

    @property
    def frame_seconds(self) -> float:
        """The duration of a frame, from the container's average frame rate."""
        rate = self._stream.average_rate
        return 1 / float(rate) if rate else 1 / FALLBACK_RATE

    def pictures(self) -> Iterator[RawPicture | Gap]:
        """Decode to the end of the stream, with a Gap wherever there is no frame.

        Demuxes all streams: if audio goes on without video, demuxing video alone would block
        without a timeout. Raises SourceError.
        """
        failures = 0
        packets = self._container.demux()
        while True:
            try:
                packet = next(packets, None)
            except av.error.ExitError:
                if not self._resumable:
                    raise SourceError(
                        f"{self._shown}: nothing came for {self._read_seconds:.0f} s"
                    ) from None
                packets = self._container.demux()
                yield Gap.NOTHING
                continue
            except av.error.InvalidDataError:
                packets = self._container.demux()
                failures = self._count_failure(failures)
                yield Gap.CORRUPT
                continue
            except (av.error.FFmpegError, OSError) as error:
                raise _read_error(error, self._shown) from None
            if packet is None:
                return
            self._copy(packet)
            if packet.stream.index != self._stream.index:
                yield Gap.NOTHING
                continue
            try:
                frames = cast(list[av.VideoFrame], packet.decode())
            except av.error.FFmpegError:
                failures = self._count_failure(failures)
                yield Gap.CORRUPT
                continue
            if not frames:
                yield Gap.NOTHING
                continue
            failures = 0
            for frame in frames:
                yield self._picture(frame)

    def _copy(self, packet: Packet[Any]) -> None:
        if self._copies is None or not self._copies.wanted:
            return
        is_audio = self._copied.get(packet.stream.index)
        if is_audio is not None and (copy := copied(packet, is_audio=is_audio)) is not None:
            self._copies.take(copy)

    def _picture(self, frame: av.VideoFrame) -> RawPicture:
        """Raises SourceError for a size that is not analysed."""
        # The container's goes before the codec's, as in FFmpeg's av_guess_sample_aspect_ratio.
        aspect = self._stream.sample_aspect_ratio or self._stream.codec_context.sample_aspect_ratio
        turned = self._noted_in(frame) if self._turned is None else self._turned
        square = square_size(frame.width, frame.height, aspect)
        _require_fit(frame.width, frame.height, self._shown)
        _require_fit(*square, self._shown)
        return RawPicture(frame, self._shown, self._codec, square, turned)

    def _noted_in(self, frame: av.VideoFrame) -> Orientation:
        """How its stream says that the picture is turned.

        It is read for each rotation, and at some key frames, since a change of what is mirrored
        shows in no rotation. Reading it makes PyAV keep the frame until Python collects garbage,
        so that the next are decoded into other memory: half as much again as decoding costs.
        """
        noted = self._noted
        if noted is not None:
            noted.frames += 1
            again = frame.key_frame and noted.frames >= NOTED_FRAMES
            if frame.rotation == noted.rotation and not again:
                return noted.turned
        self._noted = _Noted(frame.rotation, orientation(frame))
        return self._noted.turned

    def _count_failure(self, failures: int) -> int:
        if failures >= MANY_FAILURES:
            raise SourceError(f"{self._shown}: nothing of it can be decoded any more")
        return failures + 1


class Readable(Protocol):
    """What an open connection gives, in place of an address."""

    def read(self, size: int) -> bytes:
        """The next bytes, empty at the end."""


def still(content: bytes, target: Input) -> RawPicture:
    """The picture of a picture's file. Raises SourceError."""
    name = picture_format(content)
    if name is None:
        raise SourceError(f"{target.shown}: this picture is none of JPEG, PNG and WebP")
    with opened(replace(target, format=name, tap=None), BytesIO(content)) as video:
        for picture in video.pictures():
            if not isinstance(picture, Gap):
                return picture
    raise SourceError(f"{target.shown}: this is a broken picture")


def picture_format(content: bytes) -> str | None:
    """FFmpeg's name of the format of a picture's file, by its first 12 bytes."""
    if content.startswith(b"\xff\xd8\xff"):
        return "jpeg_pipe"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png_pipe"
    return "webp_pipe" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else None


@contextmanager
def opened(target: Input, body: Readable | None = None) -> Iterator[Video]:
    """Open `target` for the `with` block; read `body`, if given, in place of its address.

    Raises SourceError where it has no video.
    """
    with _container(target, body) as container:
        stream = _largest(container.streams.video)
        if stream is None:
            raise SourceError(f"{target.shown}: no video came from it")
        _require_fit(stream.codec_context.width, stream.codec_context.height, target.shown)
        # Frame threads would delay the output by two more frames.
        stream.thread_type = "SLICE"
        # FFmpeg allocates a larger picture before it can be looked at.
        stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
        video = Video(container, stream, target)
        try:
            yield video
        finally:
            video.end_copies()


def _largest(streams: Iterable[VideoStream]) -> VideoStream | None:
    """The stream with the largest pictures, since some cameras send a small one beside it.

    None without any: a stream that was announced but sent no data has no size.
    """
    sizes = {stream: stream.codec_context.width * stream.codec_context.height for stream in streams}
    largest = max(sizes, key=sizes.__getitem__, default=None)
    return largest if largest is not None and sizes[largest] else None


def _require_fit(width: int, height: int, shown: str) -> None:
    unfit = unfit_size(width, height)
    if unfit is not None:
        raise SourceError(f"{shown}: {unfit}")


def _container(target: Input, body: Readable | None) -> InputContainer:
    started = time.monotonic()
    try:
        return av.open(
            target.address if body is None else body,
            "r",
            format=target.format,
            options=dict(target.options),
            timeout=(OPEN_SECONDS, target.read_seconds),
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, OSError) as error:
        failure = error
    # Not within the `except`: FFmpeg's message holds the password and would show in tracebacks.
    elapsed_seconds = time.monotonic() - started
    raise _open_error(failure, target, elapsed_seconds)


def _open_error(error: Exception, target: Input, elapsed_seconds: float) -> SourceError:
    shown = target.shown
    match error:
        case av.error.HTTPUnauthorizedError():
            return CredentialsRefused(f"{shown}: {REFUSALS[401]}")
        case av.error.HTTPForbiddenError():
            return CredentialsRefused(f"{shown}: {REFUSALS[403]}")
        case av.error.HTTPNotFoundError():
            return SourceError(f"{shown}: {NOT_FOUND}")
        case ConnectionRefusedError():
            return SourceError(f"{shown}: {NOBODY_LISTENS}")
        case FileNotFoundError():
            return SourceError(f"{shown}: no such file or device")
        case PermissionError():
            return SourceError(f"{shown}: this user may not read it")
        case OSError(errno=errno.ENOTTY):
            return SourceError(f"{shown}: this is not a camera")
        # FFmpeg's error for unknown host names, and for every TLS failure.
        case OSError(errno=errno.EIO) if is_encrypted(target.address) and (
            problem := tls_problem(target.address, OPEN_SECONDS)
        ):
            return SourceError(f"{shown}: the camera {problem}")
        case OSError(errno=errno.EIO) if "://" in shown:
            return SourceError(f"{shown}: {UNREACHABLE}")
        # A timeout surfaces as InvalidDataError or as ExitError.
        case av.error.FFmpegError() if elapsed_seconds >= OPEN_SECONDS:
            return SourceError(f"{shown}: {no_answer()}")
        case av.error.InvalidDataError():
            return SourceError(f"{shown}: this is not a video, or a broken one")
    return SourceError(f"{shown}: can't be opened ({_reason(error)})")


def no_answer() -> str:
    return f"no answer within {OPEN_SECONDS:.0f} s"


def _read_error(error: Exception, shown: str) -> SourceError:
    return SourceError(f"{shown}: reading failed ({_reason(error)})")


def _reason(error: Exception) -> str:
    return mask_secrets_in(getattr(error, "strerror", None) or type(error).__name__)
