"""A disk cache of text vectors, one small file each, so that a known prompt needs no text encoder.

    embeddings/
      4f1c…e0        named by its key's SHA-256: checksum, token counts (2 uint32), float32 vector

Everything in it can be computed again, so errors are only warnings.
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
"""Most vectors kept; the least recently used are deleted. 17 MB with disk blocks of 4 kB."""

_NUMBERS = struct.Struct("<II")
_CHECKSUM_BYTES = 32
_BYTES = _CHECKSUM_BYTES + _NUMBERS.size + 4 * TEXT_WIDTH


class VectorCache:
    """Processes and threads may share a folder: files are created atomically and never change.

    Raises nothing. What can't be read counts as not cached; failed writes are logged once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._warned = False

    def find(self, key: str) -> Encoded | None:
        path = self._path(key)
        try:
            content = files.read(path, _BYTES + 1)
        except OSError:
            return None
        encoded = _read(key, content)
        if encoded is not None:
            with suppress(OSError):  # in a read-only folder only the order of use is lost
                os.utime(path)
        return encoded

    def keep(self, encoded: dict[str, Encoded]) -> None:
        """Store `encoded`, by key, and delete the least recently used beyond the limit."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for key, one in encoded.items():
                # Readable by the owner only: prompts say what somebody looks for.
                with suppress(FileNotFoundError):  # another process pruned it
                    files.replace(self._path(key), _written(key, one))
            files.prune(self.folder, MOST)
        except OSError as error:
            if not self._warned:
                self._warned = True
                log.warning(
                    "prompts can't be kept in %s: %s; they will be encoded anew at each start",
                    *(self.folder, error.strerror),
                )

    def _path(self, key: str) -> Path:
        return self.folder / hashlib.sha256(key.encode()).hexdigest()


def _written(key: str, encoded: Encoded) -> bytes:
    body = _NUMBERS.pack(encoded.length, encoded.longest) + encoded.vector.astype("<f4").tobytes()
    return _checksum(key, body) + body


def _read(key: str, content: bytes) -> Encoded | None:
    """None unless the file is complete and was written for this key."""
    checksum, body = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
    if len(content) != _BYTES or checksum != _checksum(key, body):
        return None
    length, longest = _NUMBERS.unpack_from(body)
    vector = np.frombuffer(body, "<f4", offset=_NUMBERS.size).astype(np.float32)
    return Encoded(vector, length, longest)


def _checksum(key: str, body: bytes) -> bytes:
    return hashlib.sha256(key.encode() + body).digest()
