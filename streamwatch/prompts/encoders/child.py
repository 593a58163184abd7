"""The text encoder's own process: texts in, vectors out, until nobody asks any more.

    python -m streamwatch.prompts.encoders.child DESCRIPTOR PARENT KIND PATH…

A process of its own gives its memory back whole when it ends, and takes neither the interpreter's
lock nor more than one core from the detector. Started by `process.py` alone, which holds
the other end of the socket DESCRIPTOR. A message is the JSON of a list of texts; its answer the
JSON of `{"lengths": […], "longest": n}` and then the vectors, float32, one text after another; or
the JSON of `{"error": "…"}`.
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
"""How long it waits for more: loading again costs seconds, and who edits a prompt edits another."""
NICENESS = 5
"""Loading takes 4 s of one core. Beside three busy processes on two cores a first prompt was ready
after 7 s at 0, 18 s at 5 and 55 s at 10: a quarter of a core spares the detector, a tenth takes
for ever."""

_PR_SET_PDEATHSIG = 1
"""<linux/prctl.h>"""


def main() -> None:
    descriptor, parent, kind, *paths = sys.argv[1:]
    _die_with(int(parent))
    with suppress(OSError):  # a hardened service may not, and goes on without
        os.nice(NICENESS)
    serve(Connection(int(descriptor)), cast(EncoderKind, kind), [Path(path) for path in paths])
    os._exit(0)  # at once: tidying up takes the libraries a second, and nothing is left to lose


def serve(connection: Connection, kind: EncoderKind, paths: Sequence[Path]) -> None:
    """Answer until the other end is closed, or nothing has come for a while."""
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
        except Exception as error:  # of torch, transformers, memory: told, since nobody else can
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            _send(connection, {"error": f"the text encoder failed ({reason})"})
        else:
            _send(connection, {"lengths": lengths, "longest": encoder.longest})
            connection.send_bytes(vectors.tobytes())


def load(kind: EncoderKind, paths: Sequence[Path]) -> TextEncoder:
    """Raises DetectorError where it is broken, or of no use to a detector."""
    from streamwatch.prompts.encoders.transformers_text import (
        TEXT_ENCODERS,  # with PyTorch, when all else is in place
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
    """A parent that is killed closes its end, which is noticed only between two messages."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was faster
        sys.exit(1)


if __name__ == "__main__":
    main()
