"""Video of cameras whose packets can't be copied, or must not be: encoded once, at low priority.

Its pictures are those that everything else sees: upright, and black where the camera has a mask.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction

import av
import av.error
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from streamwatch.clips.ring import Ring
from streamwatch.errors import SourceError
from streamwatch.geometry import Polygon
from streamwatch.logs import Seldom
from streamwatch.source.copies import CopiedPacket, Copies, streams_of_key_frame
from streamwatch.source.mask import Mask
from streamwatch.source.protocol import Decoded, Source

log = logging.getLogger(__name__)

CODEC = "h264"
FPS = 10
"""At most: half of the usual rate of a camera is enough to see what happened, at half the work."""
MOST_WIDTH = 1280
"""Larger pictures are scaled down: 1920x1080 takes more than twice as long (21 and 9.3 ms of a core
were measured)."""
KEY_SECONDS = 2
QUEUE = 3
"""Pictures of a camera that wait to be encoded; of more the oldest goes."""
NICENESS = 10
WAKE_SECONDS = 1.0

_BASE = Fraction(1, 90_000)
_OPTIONS = {"preset": "veryfast", "tune": "zerolatency", "crf": "24"}
"""Without latency each picture is encoded when it comes, and shown in the order in which it is
decoded."""


class Film:
    """Encodes the pictures of one camera into a ring, while that is wanted.

    `mask` gives what is to be blacked out now. `take` is for the thread that reads the camera, and
    `encode` for that of `Encoding`.
    """

    def __init__(self, ring: Ring, mask: Callable[[], Sequence[Polygon]]) -> None:
        self.ring = ring
        self._mask = mask
        self._waiting: deque[Decoded] = deque(maxlen=QUEUE)
        self._taken_at = 0.0
        self._encoder: _Encoder | None = None
        self._copies: Copies | None = None
        self._say_defect = Seldom(log, logging.ERROR)

    def take(self, decoded: Decoded) -> bool:
        """Whether it is to be encoded."""
        at = decoded.captured_at.timestamp()
        if not self.ring.wanted or 0 <= at - self._taken_at < 0.9 / FPS:
            return False
        self._taken_at = at
        self._waiting.append(decoded)
        return True

    def encode(self) -> None:
        """What waits."""
        while self._waiting:
            decoded = self._waiting.popleft()
            try:
                self._encode(decoded)
            except Exception as error:
                if not isinstance(error, (SourceError, av.error.FFmpegError, ValueError)):
                    self._say_defect("a picture can't be encoded: %r", error)
                self.close()
        if not self.ring.wanted:
            self.close()

    def close(self) -> None:
        """What comes next can't go on in the same file."""
        if self._copies is not None:
            self._copies.end()
        self._encoder = self._copies = None

    def _encode(self, decoded: Decoded) -> None:
        picture = decoded.unmasked.masked(Mask(tuple(self._mask())))
        size = _encoded_size(*picture.size)
        at = decoded.captured_at.timestamp()
        if self._encoder is not None and not self._encoder.goes_on(size, at):
            self.close()
        if self._encoder is None:
            self._encoder = _Encoder(size, at)
        image = picture.bgr(size)
        for packet in self._encoder.encoded(av.VideoFrame.from_ndarray(image, "bgr24"), at):
            if self._copies is None:
                streams = streams_of_key_frame(packet.data, CODEC, _BASE)
                if streams is None:
                    raise ValueError("what was encoded can't be read")
                self._copies = self.ring.begin(streams)
            self._copies.take(packet)
            self._copies.time(float(packet.pts * _BASE), decoded.captured_at)


def _encoded_size(width: int, height: int) -> tuple[int, int]:
    """(width, height), both even."""
    scale = min(1.0, MOST_WIDTH / width)
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


class _Encoder:
    """Of one size, from one moment on; times are Unix times."""

    def __init__(self, size: tuple[int, int], began_at: float) -> None:
        self._size = size
        self._began_at = began_at
        self._last: int | None = None
        self._key_at = began_at
        context = av.CodecContext.create("libx264", "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height = size
        context.pix_fmt = "yuv420p"
        context.time_base, context.framerate = _BASE, Fraction(FPS)
        context.thread_count = 1
        context.options = dict(_OPTIONS)
        self._context = context

    def goes_on(self, size: tuple[int, int], at: float) -> bool:
        return size == self._size and (self._last is None or self._pts(at) > self._last)

    def encoded(self, frame: av.VideoFrame, at: float) -> list[CopiedPacket]:
        frame.pts, frame.time_base = self._pts(at), _BASE
        # By time, since a camera may send a picture in ten seconds.
        if self._last is None or at - self._key_at >= KEY_SECONDS:
            frame.pict_type = PictureType.I
            self._key_at = at
        step = round(1 / FPS / _BASE) if self._last is None else frame.pts - self._last
        self._last = frame.pts
        return [
            CopiedPacket(bytes(packet), packet.pts, packet.dts, step, packet.is_keyframe)
            for packet in self._context.encode(frame)
            if packet.pts is not None and packet.dts is not None
        ]

    def _pts(self, at: float) -> int:
        return round((at - self._began_at) / _BASE)


class Encoding:
    """Encodes the films of all cameras in one thread, `encode`, which is started when the first
    picture comes."""

    def __init__(self) -> None:
        self._films: set[Film] = set()
        """Of which pictures wait, or that are being encoded."""
        self._lock = threading.Lock()
        self._awake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def stop(self, timeout: float) -> None:
        self._stopping = True
        self._awake.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def due(self, film: Film) -> None:
        """A picture of it waits; from any thread."""
        with self._lock:
            self._films.add(film)
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="encode", daemon=True)
                self._thread.start()
        self._awake.set()

    def _run(self) -> None:
        # Of this thread alone, on Linux: it may lag behind, and nothing else because of it.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while not self._stopping:
            self._awake.wait(WAKE_SECONDS)
            self._awake.clear()
            with self._lock:
                films = tuple(self._films)
            for film in films:
                film.encode()
            with self._lock:
                self._films = {film for film in self._films if film.ring.wanted}


@dataclass(frozen=True, slots=True)
class Filmed:
    """A source whose pictures are encoded too, while that is wanted. See `Source`."""

    source: Source
    film: Film
    encoding: Encoding

    @property
    def patience_seconds(self) -> float:
        return self.source.patience_seconds

    @property
    def unchanged_at(self) -> float | None:
        return self.source.unchanged_at

    @property
    def corrupt(self) -> int:
        return self.source.corrupt

    @property
    def away_since(self) -> float | None:
        return self.source.away_since

    def frames(self, stop: threading.Event) -> Generator[Decoded, None, None]:
        with closing(self.source.frames(stop)) as frames:
            for decoded in frames:
                if self.film.take(decoded):
                    self.encoding.due(self.film)
                yield decoded
