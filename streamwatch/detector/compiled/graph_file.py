"""A converted graph as one file, and the folder of them. All of it can be made again.

    compiled/
      4f1c…e0        named by its key's SHA-256: checksum, sizes, description (JSON), graph, weights

The graph is OpenVINO's intermediate representation: XML, and the weights as numbers.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from streamwatch import files
from streamwatch.detector.protocol import Precision
from streamwatch.errors import DetectorError

log = logging.getLogger(__name__)

NumberType = Literal["f32", "bf16", "f16"]
"""OpenVINO's names for what a graph calculates with; of an int8 one, where it is not quantized."""

MOST = 4
"""Most graphs kept; the least recently used are deleted. The largest model's has 190 MB."""

_CHECKSUM_BYTES = 32
_SIZES = struct.Struct("<QQ")
_ALIGNMENT = 64
"""OpenVINO reads the weights where they lie, which is fastest at such an address."""


@dataclass(frozen=True, slots=True, eq=False)
class ConvertedGraph:
    """A graph, its weights (bytes), and which types of number this CPU is fastest with.

    `half` is the faster of the 16-bit types, None where the CPU has none; `fastest` is that or
    `f32`.
    """

    xml: bytes
    weights: NDArray[np.uint8]
    fastest: NumberType
    half: NumberType | None

    def numbers(
        self, precision: Literal["auto", "full", "half", "int8"]
    ) -> tuple[NumberType, Precision]:
        """What to calculate with at this setting, and what to call it. `int8` is for a quantized
        graph. Raises DetectorError."""
        if precision == "half" and self.half is None:
            raise DetectorError(
                "detector.precision: this CPU doesn't calculate with 16-bit numbers; write auto or "
                "full"
            )
        if precision == "int8":
            return self.fastest, "int8"
        number = {"auto": self.fastest, "half": self.half or "f32"}.get(precision, "f32")
        return number, "full" if number == "f32" else "half"

    def parts(self) -> Iterator[bytes]:
        """Its content as bytes; `parse` reads it."""
        description = json.dumps({"fastest": self.fastest, "half": self.half}).encode()
        head = _SIZES.pack(len(description), len(self.xml)) + description + self.xml
        yield head + bytes(-(_CHECKSUM_BYTES + len(head)) % _ALIGNMENT)
        yield self.weights.tobytes()


def parse(content: NDArray[np.uint8]) -> ConvertedGraph:
    """The graph of `parts`; the weights stay where they are. Raises ValueError."""
    try:
        described, drawn = _SIZES.unpack(content[: _SIZES.size].tobytes())
        at = _SIZES.size + described
        description: dict[str, Any] = json.loads(content[_SIZES.size : at].tobytes())
        weights = at + drawn + -(_CHECKSUM_BYTES + at + drawn) % _ALIGNMENT
        return ConvertedGraph(
            content[at : at + drawn].tobytes(),
            content[weights:],
            description["fastest"],
            description["half"],
        )
    except (struct.error, KeyError, TypeError, RecursionError) as error:
        raise ValueError("no converted graph") from error


class GraphFolder:
    """Keeps graphs by key. Processes may share a folder: files appear whole and never change.

    Raises nothing. What can't be read counts as not there; a failed write is logged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, key: str) -> ConvertedGraph | None:
        """The graph, its weights mapped from the file; None unless it is whole and for this key."""
        path = self._path(key)
        try:
            files.demand_regular(path)
            # OpenVINO takes only what it could write to: "c" never changes the file.
            content = np.memmap(path, np.uint8, mode="c")
            os.utime(path)
        except (OSError, ValueError):  # ValueError for an empty file
            return None
        checksum, body = content[:_CHECKSUM_BYTES].tobytes(), content[_CHECKSUM_BYTES:]
        if checksum != _checksum(key, [body.data]):
            log.warning("%s is damaged or not ours; it is made anew", path)
            return None
        with suppress(ValueError):
            return parse(body)
        return None

    def keep(self, key: str, graph: ConvertedGraph) -> None:
        """Store a graph, and delete the least recently used beyond the limit."""
        parts = list(graph.parts())
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # another process pruned it
                files.replace(self._path(key), b"".join((_checksum(key, parts), *parts)))
            files.prune(self.folder, MOST)
        except OSError as error:
            log.warning(
                "the compiled detector can't be kept in %s: %s; it will be made anew at each start",
                *(self.folder, error.strerror),
            )

    def _path(self, key: str) -> Path:
        return self.folder / hashlib.sha256(key.encode()).hexdigest()


def _checksum(key: str, parts: Iterable[bytes | memoryview]) -> bytes:
    sum_ = hashlib.sha256(key.encode())
    for part in parts:
        sum_.update(part)
    return sum_.digest()
