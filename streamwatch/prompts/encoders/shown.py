"""What a request for the vector of a picture names. Imports nothing heavy."""

from __future__ import annotations

import json
from dataclasses import dataclass

from streamwatch.geometry import Box


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture's file, the SHA-256 of what must be in it, and where the thing is, in pixels of the
    upright picture; None for all of it."""

    file: str
    sha256: str
    box: Box | None

    def written(self) -> str:
        return json.dumps([self.file, self.sha256, self.box])

    @classmethod
    def read(cls, written: str) -> Shown:
        file, sha256, box = json.loads(written)
        return cls(file, sha256, None if box is None else tuple(box))
