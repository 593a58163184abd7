"""The door of this stage: a source yields decoded pictures or raises, and never retries."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from streamwatch.records import Image


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A picture as its decoder left it; only what is analysed is converted to an image.

    The times are those of `records.Frame`; `size` is (width, height) in pixels. `convert` may
    raise SourceError and returns an image that may share memory with the decoder: copy it before
    writing into it.
    """

    captured_at: datetime
    seconds: float
    position: float | None
    size: tuple[int, int]
    convert: Callable[[], Image] = field(repr=False)

    def to_image(self) -> Image:
        """`(height, width, 3)` uint8 BGR; costs as much as decoding did."""
        return self.convert()


class Source(Protocol):
    """Where the pictures of one camera come from; used by one thread."""

    @property
    def corrupt(self) -> int:
        """Packets that could not be decoded since the start, over all openings."""

    @property
    def away_since(self) -> float | None:
        """When foreign code was entered last that can't be interrupted and should be back within
        seconds, in monotonic seconds; None where nothing is known of that."""

    def frames(self, stop: threading.Event) -> Generator[Decoded, None, None]:
        """Open, yield pictures in order with strictly rising `seconds`, close.

        Ends where a file ends, or within about a second after `stop` is set (an opening under way
        first runs into its time-out). Everything else, a closed connection too, is a SourceError;
        CredentialsRefused where the password is wrong. Calling it again opens again, and
        `seconds` goes on rising.
        """
