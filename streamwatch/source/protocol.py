"""The interface of a source: it yields decoded frames or raises, and never retries."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from streamwatch.errors import SourceError, first_line
from streamwatch.records import Picture
from streamwatch.source.mask import Mask

log = logging.getLogger(__name__)


class Unmasked(Protocol):
    """What a decoder gave, which shows nothing before it is masked."""

    def checksum(self) -> int:
        """Changes with anything in it, a sensor's noise too. Raises SourceError."""
        ...

    def masked(self, mask: Mask) -> Picture: ...


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A decoded frame.

    The times are those of `records.Frame`; `size` is (width, height) in pixels, `codec` as `h264`.
    """

    captured_at: datetime
    seconds: float
    position: float | None
    size: tuple[int, int]
    codec: str
    unmasked: Unmasked


class Gate(Protocol):
    """What finds the frames in which nothing moves."""

    def begin(self) -> None:
        """The camera is opened."""
        ...

    def is_still(self, picture: Picture, seconds: float) -> bool:
        """Whether nothing moves in this due frame nor did just before. Raises SourceError."""
        ...


class Source(Protocol):
    """The frames of one camera. For one thread; any may read the properties."""

    @property
    def patience_seconds(self) -> float:
        """The longest silence of this camera that is none of its failures."""

    @property
    def unchanged_at(self) -> float | None:
        """Monotonic seconds at which the camera last answered that its picture is the one before,
        which gives no frame. None for cameras that don't answer so."""

    @property
    def corrupt(self) -> int:
        """Packets that could not be decoded, over all connections."""

    @property
    def away_since(self) -> float | None:
        """Monotonic seconds since which an uninterruptible open or read may hang: reset by each
        that returns, normally within seconds. None outside `frames` and for files."""

    def frames(self, stop: threading.Event) -> Generator[Decoded, None, None]:
        """Open, yield frames in order with strictly rising `seconds`, close.

        Ends at the end of a file, or within about a second after `stop` is set (an open call first
        runs into its timeout). Any other end, a closed connection included, raises SourceError;
        a wrong password CredentialsRefused. Another call opens again, and `seconds` goes on rising.
        """


def as_source_error(error: Exception) -> SourceError:
    """What reading raised, as a problem of the camera: whatever it is, others go on."""
    if isinstance(error, SourceError):
        return error
    log.debug("reading failed in a way that was not foreseen", exc_info=error)
    return SourceError(f"its frames can't be read ({first_line(error)})")
