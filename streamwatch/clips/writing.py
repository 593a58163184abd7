"""A clip's file: written piece by piece, so that a crash loses little, and put in order at the end.

While it is written it is a fragmented MP4 called `….part`, locked for as long. Its metadata say
which visit it is of.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import av.error
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer

from streamwatch.clips.ring import Run
from streamwatch.pictures.drawing import jpeg
from streamwatch.records import Image
from streamwatch.source.copies import CopiedPacket, add_stream_like, codec_of, is_wrapped
from streamwatch.source.upright import orientation

PART = ".part"
POSTER_WIDTH = 640
POSTER_QUALITY = 80
FAILURES = (OSError, av.error.FFmpegError, ValueError)
"""What writing raises where the disk or the video are not as they should be."""

_FRAGMENTED = {
    # The table of contents after the first packets: some sound says only there what it is.
    "movflags": "frag_keyframe+empty_moov+delay_moov+default_base_moof",
    "flush_packets": "1",
}
_IN_ORDER = {"movflags": "faststart"}
"""The table of contents first, so that a browser can play it while it loads."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a clip's file holds: `seconds` long, and `codec` as `h264`."""

    seconds: float
    bytes: int
    codec: str


class ClipFile:
    """A clip that is being written. Every method may raise `FAILURES`.

    `began_at` is the Unix time of position 0, once something was written.
    """

    def __init__(self, path: Path, run: Run, about: Mapping[str, Any]) -> None:
        """Create `path` with `.part` after it. `about` is what `found` gives after a crash."""
        self._run = run
        self._about = dict(about)
        self._part = path.with_name(path.name + PART)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _locked(self._part)
        self._container: OutputContainer | None = None
        self._unwrap: BitStreamFilterContext | None = None
        self._zero = Fraction(0)
        """The time stamp of position 0, in seconds."""
        self._last: dict[bool, int] = {}
        """The time stamp that came last, by whether it was of sound."""
        self.began_at: float | None = None

    def write(self, packet: CopiedPacket) -> None:
        """The first that is written must be a key frame; what comes before it is left out."""
        if self._container is None:
            if packet.is_audio or not packet.is_key:
                return
            self._open(packet)
        assert self._container is not None
        base = self._run.streams.base(packet)
        zero = round(self._zero / base)
        last = self._last.get(packet.is_audio, -1)
        dts = max(packet.dts - zero, last + 1)
        if packet.is_audio and packet.pts < zero:
            return
        self._last[packet.is_audio] = dts
        written = av.Packet(packet.data)
        written.dts, written.pts = dts, max(packet.pts - zero, dts)
        written.duration, written.time_base = packet.duration, base
        written.is_keyframe = packet.is_key
        stream = self._audio if packet.is_audio else self._video
        assert stream is not None
        for each in self._unwrapped(written) if packet.is_audio else [written]:
            each.stream = stream
            self._container.mux(each)

    def _unwrapped(self, sound: av.Packet[Any]) -> list[av.Packet[Any]]:
        """As MP4 takes it; what is broken is left out."""
        if self._unwrap is None:
            return [sound]
        try:
            return self._unwrap.filter(sound)
        except av.error.InvalidDataError:
            return []

    def close(self) -> bool:
        """Whether anything was written; if not, the file is gone."""
        try:
            if self._container is not None:
                self._container.close()
        finally:
            os.close(self._lock)
        if self._container is None:
            self._part.unlink(missing_ok=True)
        return self._container is not None

    def discard(self) -> None:
        """Close and delete it."""
        with suppress(*FAILURES):
            self.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)

    def _open(self, first: CopiedPacket) -> None:
        streams = self._run.streams
        # Time stamps of decoding, which are the lower ones: below 0 a fragmented file has none.
        self._zero = first.dts * streams.video_base
        if self._run.wall_offset is not None:
            self.began_at = float(self._zero) + self._run.wall_offset
        container = av.open(str(self._part), "w", format="mp4", options=_FRAGMENTED)
        container.metadata["comment"] = json.dumps({**self._about, "began_at": self.began_at})
        self._container = container
        self._video, self._audio = streams.added_to(container)
        if self._audio is not None and is_wrapped(self._audio):
            self._unwrap = BitStreamFilterContext("aac_adtstoasc", self._audio)


def found(part: Path) -> dict[str, Any] | None:
    """What a file that a crash has left is about; None where that can't be read.

    Raises OSError where somebody is still writing it, or it is gone.
    """
    os.close(_locked(part, create=False))
    with suppress(*FAILURES), av.open(str(part)) as container:
        about = json.loads(container.metadata["comment"])
        return about if isinstance(about, dict) else None
    return None


def finished(path: Path) -> Written:
    """Make of `….part` the clip, which begins to play at once; the part is gone then.

    Raises `FAILURES`: the part is still there then.
    """
    part = path.with_name(path.name + PART)
    ordered = path.with_name(f".{path.name}.ordered")
    try:
        ordered.touch(0o600)  # before it holds anything
        seconds, codec = _put_in_order(part, ordered)
        ordered.replace(path)
    except BaseException:
        ordered.unlink(missing_ok=True)
        raise
    part.unlink(missing_ok=True)
    return Written(seconds, path.stat().st_size, codec)


def _put_in_order(part: Path, ordered: Path) -> tuple[float, str]:
    with (
        av.open(str(part)) as source,
        av.open(str(ordered), "w", format="mp4", options=_IN_ORDER) as target,
    ):
        streams = {
            stream.index: add_stream_like(stream, target)
            for stream in (*source.streams.video, *source.streams.audio)
        }
        ends = Fraction(0)
        for packet in source.demux():
            if not packet.size or packet.is_corrupt or packet.dts is None or packet.pts is None:
                continue
            if packet.stream.type == "video":
                ends = max(ends, (packet.pts + (packet.duration or 0)) * packet.time_base)
            packet.stream = streams[packet.stream.index]
            target.mux(packet)
        return float(ends), codec_of(source.streams.video[0])


def poster(clip: Path, at_seconds: float) -> bytes | None:
    """A JPEG of the frame at this position, or the last before it; None where none is decoded."""
    with suppress(*FAILURES), av.open(str(clip)) as container:
        stream = container.streams.video[0]
        container.seek(int(at_seconds * av.time_base), backward=True)
        shown = None
        for frame in container.decode(stream):
            if shown is not None and frame.time is not None and frame.time > at_seconds:
                break
            shown = frame
        if shown is None:
            return None
        width = min(POSTER_WIDTH, shown.width)
        height = max(1, round(shown.height * width / shown.width))
        image = shown.reformat(width, height, "bgr24").to_ndarray()
        return jpeg(orientation(shown).applied(cast(Image, image)), POSTER_QUALITY)
    return None


def parts(folder: Path) -> Iterable[Path]:
    """The files of clips that are not whole. Raises OSError."""
    return sorted(folder.glob(f"*.mp4{PART}"))


def _locked(path: Path, *, create: bool = True) -> int:
    """A descriptor of the file with a lock that goes with it. Raises OSError if another has it."""
    descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
