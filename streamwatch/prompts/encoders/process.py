"""The parent's side of `child.py`: starts the text encoder's process, sends requests, ends it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from streamwatch.config.catalogue import EncoderKind
from streamwatch.errors import DetectorError
from streamwatch.processes.code import copied_code
from streamwatch.processes.parent import ChildProcess, Ended
from streamwatch.records import TEXT_WIDTH, Vectors

ANSWER_SECONDS = 180.0
"""Timeout of a response. Loading takes 4 s on two idle cores, 20 s on busy ones, and more on a
small machine."""
AT_ONCE = 64
"""Texts a request: bounds the process's memory and the time of a response."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """The encoding of one text.

    `vector` is `(512,)` float32, of unit length. `length` is the text's number of tokens, start and
    end included, of which the encoder reads `longest` at most.
    """

    vector: Vectors
    length: int
    longest: int


@dataclass(frozen=True, slots=True)
class EncoderFiles:
    """An encoder: its kind, its paths, and a fingerprint that changes with its content; of one for
    pictures, the longer side of those that its network takes, in pixels."""

    kind: EncoderKind | Literal["visual"]
    fingerprint: str
    paths: tuple[Path, ...]
    image_size: int | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of the process."""
        size = () if self.image_size is None else (str(self.image_size),)
        return self.kind, *map(str, self.paths), *size


class EncoderProcess:
    """A text encoder in its own process, started with the first request, from the code that was
    there when this object was made.

    The process ends after an idle timeout, when this object is deleted, and with this process
    however that ends. For one thread at a time.
    """

    def __init__(self) -> None:
        self._running: _Running | None = None
        with suppress(OSError):  # told when a process is needed
            copied_code()

    def encode(self, files: EncoderFiles, texts: Sequence[str]) -> list[Encoded]:
        """Encode `texts`, in their order. Takes seconds if a process must start first.

        Raises DetectorError; the next call then starts another process.
        """
        try:
            return self._encode(files, texts)
        except Ended:  # perhaps before it was asked
            return self._encode(files, texts)

    def _encode(self, files: EncoderFiles, texts: Sequence[str]) -> list[Encoded]:
        if self._running is None or not self._running.serves(files):
            self._running = _Running(files)
        try:
            return [
                encoded
                for first in range(0, len(texts), AT_ONCE)
                for encoded in self._running.ask(texts[first : first + AT_ONCE])
            ]
        except BaseException:  # a pending response would be taken for the next request's
            self._running.kill()
            self._running = None
            raise


class _Running(ChildProcess):
    """One running process of a text encoder."""

    def __init__(self, files: EncoderFiles) -> None:
        self._files = files
        super().__init__(
            "the text encoder" if files.image_size is None else "the picture encoder",
            "streamwatch.prompts.encoders.child",
            files.arguments,
        )

    def serves(self, files: EncoderFiles) -> bool:
        return files == self._files and self.runs

    def ask(self, texts: Sequence[str]) -> list[Encoded]:
        self.send(json.dumps(texts).encode())
        answer: dict[str, Any] = json.loads(self.receive(ANSWER_SECONDS))
        if "error" in answer:
            raise DetectorError(answer["error"])
        vectors = np.frombuffer(self.receive(ANSWER_SECONDS), np.float32).reshape(-1, TEXT_WIDTH)
        return [
            Encoded(vector.copy(), length, answer["longest"])
            for vector, length in zip(vectors, answer["lengths"], strict=True)
        ]
