"""Vectors kept on disk, a small file each, so that a known prompt needs no text encoder.

    embeddings/
      4f1c…e0        the SHA-256 of its key: a checksum, two numbers, the vector

Everything in it can be made again, so no trouble with it is worth more than a warning.
"""

from __future__ import annotations

import hashlib
import logging
import os
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np

from streamwatch import files
from streamwatch.prompts.encoders.process import Encoded
from streamwatch.records import TEXT_WIDTH

log = logging.getLogger(__name__)

MOST = 4096
"""Vectors kept; the longest unused go first. 17 MB on a disk with blocks of 4 kB."""

_NUMBERS = struct.Struct("<II")
_CHECKSUM_BYTES = 32


class VectorCache:
    """Any number of processes may share a folder: files come into being whole, and never change.

    Raises nothing. What can't be read is as if it were not there; that nothing can be written is
    told once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._told = False

    def find(self, key: str) -> Encoded | None:
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        encoded = _read(key, content)
        if encoded is not None:
            with suppress(OSError):  # a read-only folder forgets what was used last, no more
                os.utime(path)
        return encoded

    def keep(self, encoded: dict[str, Encoded]) -> None:
        """Key → what belongs to it."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for key, one in encoded.items():
                # Private, as prompts may tell what somebody is looking for.
                with suppress(FileNotFoundError):  # another process made room with it
                    files.replace(self._path(key), _written(key, one))
            self._prune()
        except OSError as error:
            if not self._told:
                self._told = True
                log.warning(
                    "prompts can't be kept in %s: %s; they will be encoded anew at each start",
                    *(self.folder, error.strerror),
                )

    def _path(self, key: str) -> Path:
        return self.folder / hashlib.sha256(key.encode()).hexdigest()

    def _prune(self) -> None:
        """Also takes what a crash left half written, in its time."""
        files = list(self.folder.iterdir())
        if len(files) > MOST:
            for path in sorted(files, key=_last_used)[: len(files) - MOST]:
                path.unlink(missing_ok=True)


def _last_used(path: Path) -> int:
    """In nanoseconds; 0 for what another process has put in its place or taken meanwhile."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _written(key: str, encoded: Encoded) -> bytes:
    body = _NUMBERS.pack(encoded.length, encoded.longest) + encoded.vector.astype("<f4").tobytes()
    return _checksum(key, body) + body


def _read(key: str, content: bytes) -> Encoded | None:
    """None for anything but what was written for this key, all of it."""
    checksum, body = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
    if checksum != _checksum(key, body) or len(body) != _NUMBERS.size + 4 * TEXT_WIDTH:
        return None
    length, longest = _NUMBERS.unpack_from(body)
    vector = np.frombuffer(body, "<f4", offset=_NUMBERS.size).astype(np.float32)
    return Encoded(vector, length, longest)


def _checksum(key: str, body: bytes) -> bytes:
    return hashlib.sha256(key.encode() + body).digest()
