"""What a text encoder is to those who use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from streamwatch.records import Vectors


class TextEncoder(Protocol):
    """Turns prompts into vectors `width` wide, of unit length.

    Made of the folder of its files; raises DetectorError where they are broken. Its memory comes
    back only with the end of its process: see `child.py`.
    """

    @property
    def width(self) -> int: ...

    @property
    def longest(self) -> int:
        """How many tokens of a prompt it reads, start and end included; the rest is cut off."""
        ...

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        """How many tokens each prompt has, start and end included, nothing cut."""
        ...

    def encode(self, prompts: Sequence[str]) -> Vectors: ...
