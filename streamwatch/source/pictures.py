"""Pictures in files, one after another: a folder of them, or some that were named."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np

from streamwatch import files
from streamwatch.errors import SourceError
from streamwatch.pixels import Pixels
from streamwatch.records import Image
from streamwatch.source.bounds import unfit_size
from streamwatch.source.clock import Clock
from streamwatch.source.mask import Mask
from streamwatch.source.protocol import Decoded
from streamwatch.source.timing import SILENCE_SECONDS

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".ppm", ".pgm")
"""Of files that are taken for pictures, in lower case."""
MOST_BYTES = 200_000_000
"""Of one file."""
APART_SECONDS = 3600.0
"""Between one picture and the next, so that nothing of the one is followed into the other."""


def read_picture(path: Path) -> Image:
    """The picture upright, as its EXIF data say. Raises SourceError."""
    try:
        content = files.read(path, MOST_BYTES + 1)
    except IsADirectoryError:
        raise SourceError(f"{path}: this is a folder") from None
    except files.NotRegular as error:
        raise SourceError(f"{path}: this is a {error.kind}, not a regular file") from None
    except FileNotFoundError:
        raise SourceError(f"{path}: there is no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = getattr(error, "strerror", None) or "no such name is possible"
        raise SourceError(f"{path}: it can't be read ({reason.lower()})") from None
    if len(content) > MOST_BYTES:
        raise SourceError(f"{path}: it is larger than {MOST_BYTES // 1_000_000} MB")
    try:
        image: Image | None = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # an empty file, or more pixels than OpenCV reads
        image = None
    if image is None:
        raise SourceError(f"{path}: this is no picture that can be decoded")
    size = image.shape[1], image.shape[0]
    if unfit := unfit_size(*size):
        raise SourceError(f"{path}: {unfit}")
    return image


def pictures_in(folder: Path) -> tuple[Path, ...]:
    """The files in a folder and below it that are taken for pictures, in the order of their names.

    Raises OSError if it can't be listed.
    """
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return tuple(sorted(path for path in found if path.is_file()))


class PictureFiles:
    """A `Source` of picture files, each an hour after the one before.

    One that can't be read is left out, and `on_unreadable` called with its path and a sentence.
    """

    def __init__(
        self, paths: Sequence[Path], on_unreadable: Callable[[Path, str], None], clock: Clock
    ) -> None:
        self.corrupt = 0
        self.away_since = None
        self.unchanged_at = None
        self.patience_seconds = SILENCE_SECONDS
        self._paths = paths
        self._on_unreadable = on_unreadable
        self._clock = clock

    def frames(self, stop: threading.Event) -> Generator[Decoded, None, None]:
        began = self._clock.wall()
        for place, path in enumerate(self._paths):
            if stop.is_set():
                return
            try:
                image = read_picture(path)
            except SourceError as error:
                self.corrupt += 1
                self._on_unreadable(path, str(error))
                continue
            seconds = place * APART_SECONDS
            yield Decoded(
                captured_at=began + timedelta(seconds=seconds),
                seconds=seconds,
                position=seconds,
                size=(image.shape[1], image.shape[0]),
                codec=path.suffix.lower().lstrip("."),
                unmasked=_Unmasked(image),
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Unmasked:
    image: Image

    def checksum(self) -> int:
        return crc32(self.image.tobytes())

    def masked(self, mask: Mask) -> Pixels:
        return Pixels(mask.applied(self.image))
