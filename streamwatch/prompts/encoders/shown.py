"""What a request for the vector of a picture names. Imports nothing heavy."""

from __future__ import annotations

import json
from dataclasses import dataclass

from streamwatch.geometry import Box


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture's file, and where in it the thing is, in pixels of the upright picture; None for
    all of it."""

    file: str
    box: Box | None

    def written(self) -> str:
        return json.dumps([self.file, self.box])

    @classmethod
    def read(cls, written: str) -> Shown:
        file, box = json.loads(written)
        return cls(file, None if box is None else tuple(box))
