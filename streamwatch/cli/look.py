"""`streamwatch look`: a camera's picture with its zones, and a grid to find their numbers."""

from __future__ import annotations

import queue
import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from streamwatch.config import CameraSettings, mask_url
from streamwatch.errors import SourceError, StreamwatchError, foreseen
from streamwatch.paths import status_sockets
from streamwatch.publisher import areas_of, render_all
from streamwatch.records import Image
from streamwatch.source import Clock, source_for
from streamwatch.source.mask import Mask
from streamwatch.status import socket

OPENING_SECONDS = 20.0
"""How long a camera may take to give a picture, from opening it on: FFmpeg may take 10 s to open
it, and as long again where it redirects."""
CLOSING_SECONDS = 2.0
QUALITY = 92

HINT = """\
A zone is a list of corners, each [x, y] in shares of width and height, from
the top left: the grid shows them. They stand in {file}:

  cameras:
    {camera}:
      zones:
        steps: [[0.2, 0.5], [0.8, 0.5], [0.8, 1.0], [0.2, 1.0]]

Then have `zones: [steps]` in a watch."""


@dataclass(frozen=True, slots=True)
class Look:
    """A picture as JPEG, its (width, height), and whether the running daemon gave it."""

    jpeg: bytes
    size: tuple[int, int]
    from_daemon: bool


def look(file: Path, camera: str, settings: CameraSettings) -> Look:
    """From the running daemon of the configuration, or where that doesn't read it from the camera.

    Raises StreamwatchError where no picture comes, and what `status.socket.ask` raises.
    """
    seen = socket.look(status_sockets(file), camera) if settings.enabled else None
    image = _first_picture(camera, settings) if seen is None else _decoded(seen)
    # What the daemon gives is masked, perhaps by an earlier state of the file.
    masked = Mask(settings.mask).applied(image)
    jpeg = render_all(masked, (), QUALITY, areas=areas_of(settings), grid=True)
    return Look(jpeg, (image.shape[1], image.shape[0]), from_daemon=seen is not None)


def _decoded(jpeg: bytes) -> Image:
    image: Image | None = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise StreamwatchError("the daemon's answer is not a picture; is it of another version?")
    return image


def _first_picture(camera: str, settings: CameraSettings) -> Image:
    """Raises StreamwatchError, at the latest after OPENING_SECONDS."""
    stop = threading.Event()
    came: queue.SimpleQueue[Image | StreamwatchError] = queue.SimpleQueue()

    def read() -> None:
        try:
            came.put(_read(settings, stop))
        except Exception as error:
            came.put(foreseen(error))

    # Opening can't be interrupted, so it must not hold up the end of the program either.
    reading = threading.Thread(target=read, name=f"look-{camera}", daemon=True)
    reading.start()
    try:
        found = came.get(timeout=OPENING_SECONDS)
    except queue.Empty:
        raise StreamwatchError(
            f"{camera} gives no picture: {mask_url(settings.url)}: none came within"
            f" {OPENING_SECONDS:.0f} s"
        ) from None
    finally:
        stop.set()
    reading.join(CLOSING_SECONDS)
    if isinstance(found, StreamwatchError):
        raise StreamwatchError(f"{camera} gives no picture: {found}")
    return found


def _read(settings: CameraSettings, stop: threading.Event) -> Image:
    with closing(source_for(settings, Clock()).frames(stop)) as frames:
        for frame in frames:
            return frame.to_image().copy()  # it may share memory with the decoder
    raise SourceError(f"{mask_url(settings.url)}: it has ended")
