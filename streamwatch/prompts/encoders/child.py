"""The text encoder's process: texts in, vectors out, until no request comes for a while.

    python -m streamwatch.prompts.encoders.child DESCRIPTOR PARENT KIND PATH…

A separate process frees all its memory when it ends, doesn't hold the detector's GIL, and uses one
core at most. Started only by `process.py`, which has the other end of the socket DESCRIPTOR. A
request is a JSON list of texts; the response is the JSON `{"lengths": […], "longest": n}` followed
by a message with the vectors (float32, `(texts, 512)`), or the JSON `{"error": "…"}`.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

from streamwatch.config.catalogue import EncoderKind
from streamwatch.errors import DetectorError
from streamwatch.prompts.encoders.protocol import TextEncoder
from streamwatch.records import TEXT_WIDTH

KEEP_SECONDS = 20.0
"""Idle timeout: loading again costs seconds, and one edited prompt is often followed by another."""
NICENESS = 5
"""Loading takes 4 s of one core. With three busy processes on two cores the first vector took 7 s
at niceness 0, 18 s at 5 and 55 s at 10."""

_PR_SET_PDEATHSIG = 1
"""<linux/prctl.h>"""


def main() -> None:
    descriptor, parent, kind, *paths = sys.argv[1:]
    _die_with(int(parent))
    with suppress(OSError):  # not allowed in a hardened service
        os.nice(NICENESS)
    serve(Connection(int(descriptor)), cast(EncoderKind, kind), [Path(path) for path in paths])
    os._exit(0)  # skips the libraries' clean-up, which takes a second


def serve(connection: Connection, kind: EncoderKind, paths: Sequence[Path]) -> None:
    """Answer requests until the other end is closed or none came for `KEEP_SECONDS`."""
    encoder: TextEncoder | None = None
    while connection.poll(KEEP_SECONDS):
        try:
            texts: list[str] = json.loads(connection.recv_bytes())
        except EOFError:
            return
        try:
            encoder = encoder or load(kind, paths)
            lengths = encoder.lengths(texts)
            vectors = encoder.encode(texts)
        except DetectorError as error:
            _send(connection, {"error": str(error)})
        except Exception as error:  # from torch, transformers or memory; stderr goes to /dev/null
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            _send(connection, {"error": f"the text encoder failed ({reason})"})
        else:
            _send(connection, {"lengths": lengths, "longest": encoder.longest})
            connection.send_bytes(vectors.tobytes())


def load(kind: EncoderKind, paths: Sequence[Path]) -> TextEncoder:
    """Raises DetectorError if the encoder is broken or its vectors have another width."""
    from streamwatch.prompts.encoders.transformers_text import (
        TEXT_ENCODERS,  # imports PyTorch, which takes seconds
    )

    encoder = TEXT_ENCODERS[kind](*paths)
    if encoder.width != TEXT_WIDTH:
        raise DetectorError(
            f"the text encoder in {paths[0]} gives vectors {encoder.width} wide, and YOLO-World "
            f"takes {TEXT_WIDTH}"
        )
    return encoder


def _send(connection: Connection, answer: dict[str, object]) -> None:
    connection.send_bytes(json.dumps(answer).encode())


def _die_with(parent: int) -> None:
    """Be killed with the parent, whose closed socket would be noticed only between requests."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before the call
        sys.exit(1)


if __name__ == "__main__":
    main()
