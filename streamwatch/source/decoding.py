"""The edge to PyAV: containers are opened and decoded here, foreign errors become ours.

FFmpeg's texts hold the address with its password, so none of them is passed on as it is. PyAV's
logging stays off: turned on, it was seen to hang the process on a corrupt file.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import cast

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from streamwatch.config import is_encrypted, mask_secrets_in
from streamwatch.errors import CredentialsRefused, SourceError
from streamwatch.records import Image
from streamwatch.source.certificates import tls_problem

OPEN_SECONDS = 5.0
"""For connecting, and again for learning what the stream holds."""

READ_SECONDS = 1.0
"""How soon a silent stream gives control back; reading can go on after it."""

MANY_FAILURES = 1000
"""So many packets in a row without a picture: what is read is no video any more.

About a minute of a file at 15 fps; a live stream is given up sooner, after 5 s.
"""

FALLBACK_RATE = 25.0


class Gap(Enum):
    """What came instead of a picture, so that the reader can look at its clock."""

    NOTHING = auto()
    """A packet that completed no picture, or none within READ_SECONDS."""
    CORRUPT = auto()
    """A packet that could not be decoded."""


@dataclass(frozen=True, slots=True)
class Input:
    """What to open. `address` may hold a password; `shown` is it as people may see it."""

    address: str = field(repr=False)
    shown: str
    format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


class Video:
    """An open container and the video stream in it; used by one thread, closed by `opened`."""

    def __init__(self, container: InputContainer, stream: VideoStream, shown: str) -> None:
        self._container = container
        self._stream = stream
        self._shown = shown

    @property
    def start_seconds(self) -> float:
        """The time stamp of the first picture; 0 where it isn't known."""
        if self._stream.start_time is None or self._stream.time_base is None:
            return 0.0
        return float(self._stream.start_time * self._stream.time_base)

    @property
    def frame_seconds(self) -> float:
        """The time a picture stands, by the container's word."""
        rate = self._stream.average_rate
        return 1 / float(rate) if rate else 1 / FALLBACK_RATE

    def pictures(self) -> Iterator[av.VideoFrame | Gap]:
        """Decode to the end of the stream, handing a Gap back wherever no picture came.

        Packets of all streams are looked at: where sound goes on and the picture doesn't, asking
        for the pictures alone would block without a time-out.
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
                failures = self._one_more(failures)
                yield Gap.CORRUPT
                continue
            except (av.error.FFmpegError, OSError) as error:
                raise _while_reading(error, self._shown) from None
            if packet is None:
                return
            if packet.stream.index != self._stream.index:
                yield Gap.NOTHING
                continue
            try:
                pictures = cast(list[av.VideoFrame], packet.decode())
            except av.error.FFmpegError:
                failures = self._one_more(failures)
                yield Gap.CORRUPT
                continue
            if pictures:
                failures = 0
                yield from pictures
            else:
                yield Gap.NOTHING

    def image(self, picture: av.VideoFrame) -> Image:
        try:
            return cast(Image, picture.to_ndarray(format="bgr24"))
        except av.error.FFmpegError as error:
            raise _while_reading(error, self._shown) from None

    def _one_more(self, failures: int) -> int:
        if failures >= MANY_FAILURES:
            raise SourceError(f"{self._shown}: nothing of it can be decoded any more")
        return failures + 1


@contextmanager
def opened(target: Input) -> Iterator[Video]:
    """Open `target` for the `with` block; SourceError where there is no video to be had."""
    started = time.monotonic()
    try:
        container = av.open(
            target.address,
            format=target.format,
            options=dict(target.options),
            timeout=(OPEN_SECONDS, READ_SECONDS),
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, OSError) as error:
        # Without its cause, whose text holds the password and would be in every traceback.
        raise _while_opening(error, target, time.monotonic() - started) from None
    with container:
        stream = container.streams.best("video")
        # A stream that was announced but sent nothing has no size.
        if not isinstance(stream, VideoStream) or not stream.codec_context.width:
            raise SourceError(f"{target.shown}: no video came from it")
        # Frame threads would hold back two more pictures.
        stream.thread_type = "SLICE"
        yield Video(container, stream, target.shown)


def _while_opening(error: Exception, target: Input, elapsed_seconds: float) -> SourceError:
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
        # How an unknown host name ends too, and everything that TLS may run into.
        case OSError(errno=errno.EIO) if is_encrypted(target.address) and (
            problem := tls_problem(target.address, OPEN_SECONDS)
        ):
            return SourceError(f"{shown}: the camera {problem}")
        case OSError(errno=errno.EIO) if "://" in shown:
            return SourceError(f"{shown}: the host is unknown or can't be reached")
        # A peer that says nothing ends as InvalidDataError as well as ExitError.
        case av.error.FFmpegError() if elapsed_seconds >= OPEN_SECONDS:
            return SourceError(f"{shown}: no answer within {OPEN_SECONDS:.0f} s")
        case av.error.InvalidDataError():
            return SourceError(f"{shown}: this is not a video, or a broken one")
    return SourceError(f"{shown}: can't be opened ({_reason(error)})")


def _while_reading(error: Exception, shown: str) -> SourceError:
    return SourceError(f"{shown}: reading failed ({_reason(error)})")


def _reason(error: Exception) -> str:
    return mask_secrets_in(getattr(error, "strerror", None) or type(error).__name__)
