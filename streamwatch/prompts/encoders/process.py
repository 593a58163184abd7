"""The parent's side of `child.py`: starts the text encoder's process, sends requests, ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from streamwatch.config.catalogue import EncoderKind
from streamwatch.errors import DetectorError
from streamwatch.prompts.encoders.code import copied_code
from streamwatch.records import TEXT_WIDTH, Vectors

ANSWER_SECONDS = 180.0
"""Timeout of a response. Loading takes 4 s on two idle cores, 20 s on busy ones, and more on a
small machine."""
END_SECONDS = 5.0
"""Timeout for the process to exit after it closed its socket."""
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
    """A text encoder: its kind, its paths, and a fingerprint that changes with its content."""

    kind: EncoderKind
    fingerprint: str
    paths: tuple[Path, ...]


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
        except _Ended:  # perhaps before it was asked
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


class _Ended(DetectorError):  # noqa: N818 - reads as what happened
    """A process that had answered before has ended: its idle time was over, or it was killed. That
    may have been before this request, so it is worth another process."""


class _Running:
    """One running process of a text encoder."""

    def __init__(self, files: EncoderFiles) -> None:
        self._files = files
        self._has_answered = False
        self._connection, theirs = Pipe()
        with theirs:
            self._process = _start(files, theirs)
        # Reaps the process whenever it ends, so that it doesn't stay a zombie.
        threading.Thread(target=self._process.wait, name="text-encoder", daemon=True).start()

    def serves(self, files: EncoderFiles) -> bool:
        return files == self._files and self._process.poll() is None

    def ask(self, texts: Sequence[str]) -> list[Encoded]:
        try:
            self._connection.send_bytes(json.dumps(texts).encode())
            answer: dict[str, Any] = json.loads(self._receive())
            if "error" in answer:
                raise DetectorError(answer["error"])
            vectors = np.frombuffer(self._receive(), np.float32).reshape(-1, TEXT_WIDTH)
        except (EOFError, OSError) as error:
            raise self._exit_error() from error
        self._has_answered = True
        return [
            Encoded(vector.copy(), length, answer["longest"])
            for vector, length in zip(vectors, answer["lengths"], strict=True)
        ]

    def kill(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _receive(self) -> bytes:
        if not self._connection.poll(ANSWER_SECONDS):
            raise DetectorError(
                f"the text encoder did not answer within {ANSWER_SECONDS:.0f} s and was stopped"
            )
        return self._connection.recv_bytes()

    def _exit_error(self) -> DetectorError:
        """The error for a process that closed its socket, by its exit code."""
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return DetectorError("the text encoder's process stopped answering")
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        said = f"the text encoder's process ended {how} before it was done"
        if code == -signal.SIGKILL:
            said = "the text encoder's process was killed; the machine may be short of memory"
        return _Ended(said) if code == 0 or self._has_answered else DetectorError(said)


def _start(files: EncoderFiles, theirs: Connection) -> subprocess.Popen[bytes]:
    try:
        code = copied_code()
        return subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "streamwatch.prompts.encoders.child"),
                *(str(theirs.fileno()), str(os.getpid()), files.kind, *map(str, files.paths)),
            ],
            env={
                **os.environ,
                # The code this process runs; -P keeps the working folder off sys.path.
                "PYTHONPATH": os.pathsep.join(
                    filter(None, (f"/proc/self/fd/{code}", os.environ.get("PYTHONPATH")))
                ),
                "OMP_NUM_THREADS": "1",
                "TOKENIZERS_PARALLELISM": "false",
            },
            pass_fds=[theirs.fileno(), code],
            process_group=0,  # Ctrl-C must reach this process only
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise DetectorError(f"the text encoder can't be started: {error.strerror}") from error
