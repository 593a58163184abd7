"""`streamwatch look`: a camera's picture with its zones, and a grid to find their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from streamwatch.config import CameraSettings, mask_url
from streamwatch.errors import StreamwatchError
from streamwatch.paths import status_sockets
from streamwatch.publisher import areas_of, render_all
from streamwatch.records import Image, Picture
from streamwatch.source import Trial
from streamwatch.source.mask import Mask
from streamwatch.status import socket

OPENING_SECONDS = 20.0
"""How long a camera may take to give a picture, from opening it on: FFmpeg may take 10 s to open
it, and an HTTP camera is looked at for 5 s before."""
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
    if seen is None:
        masked = _first_picture(camera, settings).bgr()
    else:  # masked by the daemon, perhaps after an earlier state of the file
        masked = Mask(settings.mask).applied(_decoded(seen))
    jpeg = render_all(masked, (), QUALITY, areas=areas_of(settings), grid=True)
    return Look(jpeg, (masked.shape[1], masked.shape[0]), from_daemon=seen is not None)


def _decoded(jpeg: bytes) -> Image:
    image: Image | None = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise StreamwatchError("the daemon's answer is not a picture; is it of another version?")
    return image


def _first_picture(camera: str, settings: CameraSettings) -> Picture:
    """Raises StreamwatchError, at the latest after OPENING_SECONDS."""
    found = Trial(camera, settings, OPENING_SECONDS).first_picture()
    if found is None:
        found = f"{mask_url(settings.url)}: none came within {OPENING_SECONDS:.0f} s"
    if isinstance(found, str):
        raise StreamwatchError(f"{camera} gives no picture: {found}")
    return found
