"""The interface of a text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from streamwatch.records import Vectors


class TextEncoder(Protocol):
    """Turns prompts into text vectors of unit length.

    Built from the paths of its files; raises DetectorError if they are broken. Its memory is freed
    only when its process ends: see `child.py`.
    """

    @property
    def width(self) -> int:
        """Width of the vectors."""
        ...

    @property
    def longest(self) -> int:
        """Most tokens of a prompt that it reads, start and end included; the rest is ignored."""
        ...

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        """The number of tokens of each prompt, start and end included, without truncation."""
        ...

    def encode(self, prompts: Sequence[str]) -> Vectors:
        """`(prompts, width)` float32. Raises DetectorError."""
        ...
