"""What a trial has found, drawn into its pictures and clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.error
import cv2
from av.container import OutputContainer
from av.video.stream import VideoStream

from streamwatch.errors import StreamwatchError
from streamwatch.geometry import Box
from streamwatch.pictures.drawing import NOT_DRAWN, drawn, jpeg
from streamwatch.records import Detection, Frame, Image
from streamwatch.tuning.footage import Footage, unused

QUALITY = 90
CODECS = ("libx264", "h264", "mpeg4")
"""The first that FFmpeg was built with."""
TICKS = 90_000
"""Of a clip's clock, a second."""


class Painter:
    """Writes annotated pictures, and a clip of the frames that were looked at, into a folder.

    Raises StreamwatchError where that can't be written. For one thread at a time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: set[str] = set()
        self._clip: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._began = 0.0
        self._last_pts = -1
        self.written: list[Path] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(folder, error) from None

    def frame(self, footage: Footage, frame: Frame, found: Sequence[Detection]) -> None:
        """Draw what was found in a frame."""
        try:
            image = annotated(frame.picture.bgr(), found)
        except NOT_DRAWN:
            return
        if footage.pictures:
            place = Path(footage.place(frame.position or 0.0))
            self.picture(place.stem, jpeg(image, QUALITY))
        else:
            self._add(footage, frame, image)

    def annotate(self, stem: str, image: Image, found: Sequence[Detection]) -> Path:
        """Draw what was found in a picture that is no frame."""
        return self.picture(stem, jpeg(annotated(image, found), QUALITY))

    def picture(self, stem: str, content: bytes) -> Path:
        """Write a JPEG, under another name where that is taken."""
        path = self._new(stem, ".jpg")
        try:
            path.write_bytes(content)
        except OSError as error:
            raise _unwritable(path, error) from None
        self.written.append(path)
        return path

    def end(self) -> None:
        """A piece of footage is over: finish its clip."""
        clip, self._clip = self._clip, None
        if clip is None or self._stream is None:
            return
        try:
            clip.mux(self._stream.encode(None))
            clip.close()
        except (av.error.FFmpegError, OSError) as error:
            raise _unwritable(self.written[-1], error) from None

    def _add(self, footage: Footage, frame: Frame, image: Image) -> None:
        try:
            if self._clip is None:
                self._begin(footage, image)
                self._began = frame.seconds
            assert self._clip is not None
            assert self._stream is not None
            size = self._stream.width, self._stream.height
            picture = av.VideoFrame.from_ndarray(cv2.resize(image, size), format="bgr24")
            picture.pts = max(round((frame.seconds - self._began) * TICKS), self._last_pts + 1)
            picture.time_base = Fraction(1, TICKS)
            self._last_pts = picture.pts
            self._clip.mux(self._stream.encode(picture))
        except (av.error.FFmpegError, OSError) as error:
            self._clip = None
            raise _unwritable(self._folder, error) from None

    def _begin(self, footage: Footage, image: Image) -> None:
        path = self._new(footage.name, ".mp4")
        clip = av.open(str(path), "w")
        codec = next(name for name in CODECS if name in av.codecs_available)
        rate = Fraction(footage.settings.fps).limit_denominator(1000)
        stream = cast(VideoStream, clip.add_stream(codec, rate=rate))
        height, width = image.shape[:2]
        stream.width, stream.height = width - width % 2, height - height % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, TICKS)
        self._clip, self._stream, self._last_pts = clip, stream, -1
        self.written.append(path)

    def _new(self, stem: str, suffix: str) -> Path:
        name = unused(stem, self._names)
        self._names.add(name)
        return self._folder / f"{name}{suffix}"


def annotated(image: Image, found: Iterable[Detection]) -> Image:
    """A copy of `image` with a box and a label for each detection."""
    marks: list[tuple[Box, str]] = [
        (each.box, f"{each.prompt} {each.confidence:.0%}") for each in found
    ]
    return drawn(image, marks)


def _unwritable(path: Path, error: Exception) -> StreamwatchError:
    reason = getattr(error, "strerror", None) or type(error).__name__
    return StreamwatchError(f"{path} can't be written: {reason}")
