"""All use of PyAV: opens and decodes containers, and turns its errors into SourceError.

FFmpeg's messages hold the URL with its password, so none is passed on as it is. PyAV's logging
stays off: with it on, a corrupt file was seen to hang the process.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import cast

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from streamwatch.config import is_encrypted, mask_secrets_in
from streamwatch.errors import CredentialsRefused, SourceError
from streamwatch.records import Image
from streamwatch.source.bounds import MOST_PIXELS, unfit_size
from streamwatch.source.certificates import tls_options, tls_problem
from streamwatch.source.redirects import destination
from streamwatch.source.upright import CLOCKWISE, Orientation, orientation, square_size

OPEN_SECONDS = 5.0
"""Timeout for connecting, and again for probing the streams."""

READ_SECONDS = 1.0
"""Timeout of a read, after which reading can go on."""

MANY_FAILURES = 1000
"""Undecodable packets in a row after which the input is given up.

About a minute of a file at 15 fps; a live stream is given up sooner, after 5 s.
"""

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
    redirects: bool = False
    """Whether the peer may redirect; the options keep FFmpeg from following by itself."""
    rotate: int | None = None
    """Degrees to turn pictures clockwise; None: as they say themselves."""


class Video:
    """An open container and its video stream; for one thread, closed by `opened`."""

    def __init__(self, container: InputContainer, stream: VideoStream, target: Input) -> None:
        self._container = container
        self._stream = stream
        self._shown = target.shown
        self._turned = None if target.rotate is None else CLOCKWISE[target.rotate]

    @property
    def start_seconds(self) -> float:
        """The time stamp of the first frame; 0 where unknown."""
        if self._stream.start_time is None or self._stream.time_base is None:
            return 0.0
        return float(self._stream.start_time * self._stream.time_base)

    @property
    def frame_seconds(self) -> float:
        """The duration of a frame, from the container's average frame rate."""
        rate = self._stream.average_rate
        return 1 / float(rate) if rate else 1 / FALLBACK_RATE

    def pictures(self) -> Iterator[av.VideoFrame | Gap]:
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
            if packet.stream.index != self._stream.index:
                yield Gap.NOTHING
                continue
            try:
                pictures = cast(list[av.VideoFrame], packet.decode())
            except av.error.FFmpegError:
                failures = self._count_failure(failures)
                yield Gap.CORRUPT
                continue
            for picture in pictures:  # the size may change at any of them
                _require_fit(picture.width, picture.height, self._shown)
                _require_fit(*self.size(picture), self._shown)
            if pictures:
                failures = 0
                yield from pictures
            else:
                yield Gap.NOTHING

    def size(self, picture: av.VideoFrame) -> tuple[int, int]:
        """(width, height) of the upright picture with square pixels."""
        return self._orientation(picture).size(*self._square_size(picture))

    def image(self, picture: av.VideoFrame) -> Image:
        """`(height, width, 3)` uint8 BGR, upright and with square pixels. Raises SourceError."""
        width, height = self._square_size(picture)
        try:
            image = cast(Image, picture.to_ndarray(format="bgr24", width=width, height=height))
            return self._orientation(picture).applied(image)
        except av.error.FFmpegError as error:
            raise _read_error(error, self._shown) from None

    def _orientation(self, picture: av.VideoFrame) -> Orientation:
        return orientation(picture) if self._turned is None else self._turned

    def _square_size(self, picture: av.VideoFrame) -> tuple[int, int]:
        # The container's goes before the codec's, as in FFmpeg's av_guess_sample_aspect_ratio.
        aspect = self._stream.sample_aspect_ratio or self._stream.codec_context.sample_aspect_ratio
        return square_size(picture.width, picture.height, aspect)

    def _count_failure(self, failures: int) -> int:
        if failures >= MANY_FAILURES:
            raise SourceError(f"{self._shown}: nothing of it can be decoded any more")
        return failures + 1


@contextmanager
def opened(target: Input) -> Iterator[Video]:
    """Open `target` for the `with` block. Raises SourceError where it has no video."""
    with _container(target) as container:
        stream = _largest(container.streams.video)
        if stream is None:
            raise SourceError(f"{target.shown}: no video came from it")
        _require_fit(stream.codec_context.width, stream.codec_context.height, target.shown)
        # Frame threads would delay the output by two more frames.
        stream.thread_type = "SLICE"
        # FFmpeg allocates a larger picture before it can be looked at.
        stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
        yield Video(container, stream, target)


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


def _container(target: Input) -> InputContainer:
    """Open `target`, or what it redirects to. Raises SourceError."""
    started = time.monotonic()
    try:
        return av.open(
            target.address,
            format=target.format,
            options=dict(target.options),
            timeout=(OPEN_SECONDS, READ_SECONDS),
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, OSError) as error:
        failure = error
    # Not within the `except`: FFmpeg's message holds the password and would show in tracebacks.
    elapsed_seconds = time.monotonic() - started
    if target.redirects and failure.errno == errno.EIO:  # FFmpeg's for a redirect, among others
        address = destination(target.address, target.shown, OPEN_SECONDS)
        if address is not None:
            options = {**target.options, **tls_options(address)}
            return _container(replace(target, address=address, options=options, redirects=False))
    raise _open_error(failure, target, elapsed_seconds)


def _open_error(error: Exception, target: Input, elapsed_seconds: float) -> SourceError:
    shown = target.shown
    match error:
        case av.error.HTTPUnauthorizedError():
            return CredentialsRefused(
                f"{shown}: the user name or password is wrong or missing (401)"
            )
        case av.error.HTTPForbiddenError():
            return CredentialsRefused(f"{shown}: access was refused (403)")
        case av.error.HTTPNotFoundError():
            return SourceError(f"{shown}: there is no such stream (404)")
        case ConnectionRefusedError():
            return SourceError(f"{shown}: nothing listens there (connection refused)")
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
            return SourceError(f"{shown}: the host is unknown or can't be reached")
        # A timeout surfaces as InvalidDataError or as ExitError.
        case av.error.FFmpegError() if elapsed_seconds >= OPEN_SECONDS:
            return SourceError(f"{shown}: no answer within {OPEN_SECONDS:.0f} s")
        case av.error.InvalidDataError():
            return SourceError(f"{shown}: this is not a video, or a broken one")
    return SourceError(f"{shown}: can't be opened ({_reason(error)})")


def _read_error(error: Exception, shown: str) -> SourceError:
    return SourceError(f"{shown}: reading failed ({_reason(error)})")


def _reason(error: Exception) -> str:
    return mask_secrets_in(getattr(error, "strerror", None) or type(error).__name__)
