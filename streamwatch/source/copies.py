"""Copies of a stream's packets as they came, so that a part of it can be written without encoding.

What a container holds of its streams is gone when it is closed; `Streams` keeps what a file takes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from io import BytesIO
from typing import Any, Protocol, TypeVar

import av
import av.error
from av.audio.stream import AudioStream
from av.codec.context import CodecContext
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

_AnyStream = TypeVar("_AnyStream", bound=Stream)

VIDEO_CODECS = ("h264", "hevc", "av1", "vp9")
"""FFmpeg's names of what browsers play in an MP4 file."""
AUDIO_CODECS = ("aac", "mp3", "opus")
"""The same of sound. Many cameras send G.711, which MP4 doesn't take: such clips are silent."""

_RAW_FORMATS = ("h264", "hevc")
"""Codecs whose packets may say themselves how they are decoded, and FFmpeg's formats of that."""
_PARAMETERS_WITHIN = 4096
"""Bytes of a key frame in which its parameter sets stand: before the picture."""
_START_CODE = re.compile(rb"\x00\x00\x01")
_H264_SPS, _HEVC_SPS = 7, 33
_TAG_OF_HEVC = "hvc1"
"""Apple's players take no other."""


@dataclass(frozen=True, slots=True, eq=False)
class CopiedPacket:
    """The times are in units of its stream's time base. `is_key` is whether decoding may begin with
    it, `is_audio` whether it is sound."""

    data: bytes
    pts: int
    dts: int
    duration: int
    is_key: bool
    is_audio: bool = False


class Copies(Protocol):
    """Takes what comes on one connection; for the thread that reads it."""

    @property
    def wanted(self) -> bool:
        """Whether anybody wants the packets now."""
        ...

    def take(self, packet: CopiedPacket) -> None: ...

    def time(self, pts_seconds: float, captured_at: datetime) -> None:
        """When the frame with this time stamp was taken."""
        ...

    def end(self) -> None:
        """The connection is closed."""
        ...


class Tap(Protocol):
    """Takes copies of a camera's video, connection after connection."""

    def begin(self, streams: Streams) -> Copies: ...

    def refuse(self, why: str) -> None:
        """What comes now can't be copied, for this reason: one sentence."""
        ...


class Streams:
    """What the packets of one connection are: its video, and its sound if a file takes that.

    Its packets may be written long after the connection is closed.
    """

    def __init__(
        self,
        video: VideoStream,
        audio: AudioStream | None,
        time_base: Fraction | None = None,
        rotate: int | None = None,
    ) -> None:
        """`time_base` is that of the packets, if not the stream's. `rotate` are the degrees by
        which players are to turn the pictures clockwise, if not as the stream says. Raises what
        PyAV raises."""
        self._rotate = rotate
        self._held = av.open(BytesIO(), "w", format="mp4")
        """Never written: a stream lives no longer than its container."""
        self._video = add_stream_like(video, self._held)
        self._audio = None if audio is None else add_stream_like(audio, self._held)
        self.codec = codec_of(video)
        """FFmpeg's name of the video's codec."""
        self.video_base: Fraction = time_base or _base_of(video)
        self.audio_base: Fraction | None = None if audio is None else _base_of(audio)
        self.audio_index: int | None = None if audio is None else audio.index
        """Which stream of the connection the sound is."""

    def base(self, packet: CopiedPacket) -> Fraction:
        """Seconds in a unit of the packet's times."""
        if packet.is_audio:
            assert self.audio_base is not None
            return self.audio_base
        return self.video_base

    def added_to(self, container: OutputContainer) -> tuple[VideoStream, AudioStream | None]:
        """The streams in a file that is to hold them."""
        video = add_stream_like(self._video, container)
        video.time_base = self.video_base
        if self._rotate is not None:
            video.set_display_rotation(-self._rotate)  # FFmpeg counts the other way round
        audio = None
        if self._audio is not None:
            audio = add_stream_like(self._audio, container)
            audio.time_base = self.audio_base
        return video, audio

    def renewed(self, key_frame: bytes) -> Streams | None:
        """The same with what a key frame says of itself; None where that can't be read."""
        return streams_of_key_frame(
            key_frame, self.codec, self.video_base, self._audio, self._rotate
        )


def add_stream_like(stream: _AnyStream, container: OutputContainer) -> _AnyStream:
    """Add to an MP4 a stream that takes copies of another's packets. Raises what PyAV raises."""
    # Else PyAV asks for an encoder called as what decodes it, and there is none called libdav1d.
    added = container.add_stream_from_template(stream, opaque=True)
    if codec_of(stream) == "hevc":
        added.codec_context.codec_tag = _TAG_OF_HEVC
    return added


def codec_of(stream: Stream) -> str:
    """FFmpeg's name of how a stream is encoded: `av1`, where `libdav1d` decodes it. Empty where
    FFmpeg does not know."""
    known: CodecContext | None = stream.codec_context
    return "" if known is None else known.codec.canonical_name


def unfit_codec(codec: str) -> str | None:
    """Why video of this codec can't be copied, in one sentence; None if it can."""
    if codec in VIDEO_CODECS:
        return None
    return f"its video ({codec}) is of a kind that no clip takes as it is"


def no_clips(why: str) -> str:
    """What to tell people of a camera whose video can't be copied."""
    return f"clips can't be made: {why}; write clips.encode: true to encode it"


def streams_of(
    container: InputContainer, video: VideoStream, rotate: int | None = None
) -> Streams | str:
    """What can be copied of an open container; else one sentence that says why nothing can."""
    codec = codec_of(video)
    if (unfit := unfit_codec(codec)) is not None:
        return unfit
    audio = next((each for each in container.streams.audio if _goes_into_a_file(each)), None)
    try:
        return Streams(video, audio, rotate=rotate)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        return f"its video ({codec}) can't be copied ({type(error).__name__})"


def is_wrapped(audio: AudioStream) -> bool:
    """Whether it is AAC that says in each packet what it is (ADTS), as in MPEG-TS."""
    return codec_of(audio) == "aac" and not audio.codec_context.extradata


def _goes_into_a_file(audio: AudioStream) -> bool:
    """Sound whose sample rate is not known yet does not, and none with a low one as MP3."""
    if codec_of(audio) not in AUDIO_CODECS:
        return False
    try:
        with av.open(BytesIO(), "w", format="mp4") as trial:
            add_stream_like(audio, trial)
            trial.start_encoding()
    except (av.error.FFmpegError, OSError, ValueError):
        return False
    return True


def streams_of_key_frame(
    key_frame: bytes,
    codec: str,
    time_base: Fraction,
    audio: AudioStream | None = None,
    rotate: int | None = None,
) -> Streams | None:
    """What packets are that go on from a key frame which says so itself; None where that can't be
    read. `time_base` is theirs."""
    try:
        with av.open(BytesIO(key_frame), "r", format=codec) as raw:
            (video,) = raw.streams.video
            return Streams(video, audio, time_base, rotate)
    except (av.error.FFmpegError, OSError, ValueError):
        return None


def copied(packet: Packet[Any], *, is_audio: bool) -> CopiedPacket | None:
    """A copy; None of a packet that is empty or has no time, as the first of an RTSP stream."""
    pts, dts = packet.pts, packet.dts
    dts = pts if dts is None else dts
    pts = dts if pts is None else pts
    if pts is None or dts is None or not packet.size:
        return None
    return CopiedPacket(bytes(packet), pts, dts, packet.duration or 0, packet.is_keyframe, is_audio)


def parameter_sets(data: bytes, codec: str) -> bytes:
    """What a key frame says of size and form of the pictures; empty where it says nothing.

    Two that differ can't be in one file. Reads H.264 and HEVC as cameras send them, each unit after
    a start code (ITU-T H.264 and H.265, annex B).
    """
    if codec not in _RAW_FORMATS or not data.startswith((b"\x00\x00\x01", b"\x00\x00\x00\x01")):
        return b""
    head = data[:_PARAMETERS_WITHIN]
    starts = [found.end() for found in _START_CODE.finditer(head)]
    units = [
        head[start : (end - 3 if end else None)].rstrip(b"\x00")
        for start, end in zip(starts, [*starts[1:], 0], strict=True)
    ]
    return b"".join(unit for unit in units if unit and _is_sps(unit[0], codec))


def _is_sps(header: int, codec: str) -> bool:
    if codec == "h264":
        return header & 0x1F == _H264_SPS
    return header >> 1 & 0x3F == _HEVC_SPS


def _base_of(stream: VideoStream | AudioStream) -> Fraction:
    return stream.time_base or Fraction(1, 90_000)
