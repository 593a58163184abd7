"""The encoder's process: texts or pictures in, vectors out, until no request comes for a while.

    python -m streamwatch.prompts.encoders.child DESCRIPTOR PARENT KIND PATH…
    python -m streamwatch.prompts.encoders.child DESCRIPTOR PARENT visual CHECKPOINT SIZE

Started only by `process.py`, which has the other end of the socket DESCRIPTOR. A request is a JSON
list of texts, or of pictures as `Shown` has them; the response is the JSON
`{"lengths": […], "longest": n}` followed by a message with the vectors (float32, `(texts, 512)`),
or the JSON `{"error": "…"}`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

from streamwatch.config.catalogue import EncoderKind
from streamwatch.errors import DetectorError
from streamwatch.processes.child import reason_of, serve_parent
from streamwatch.prompts.encoders.protocol import TextEncoder
from streamwatch.records import TEXT_WIDTH

KEEP_SECONDS = 20.0
"""Idle timeout: loading again costs seconds, and one edited prompt is often followed by another."""


def main(connection: Connection, arguments: Sequence[str]) -> None:
    kind, *rest = arguments
    serve(connection, lambda: load(kind, rest))


def serve(connection: Connection, load: Callable[[], TextEncoder]) -> None:
    """Answer requests until the other end is closed or none came for `KEEP_SECONDS`."""
    encoder: TextEncoder | None = None
    while connection.poll(KEEP_SECONDS):
        try:
            texts: list[str] = json.loads(connection.recv_bytes())
        except EOFError:
            return
        try:
            encoder = encoder or load()
            lengths = encoder.lengths(texts)
            vectors = encoder.encode(texts)
        except DetectorError as error:
            _send(connection, {"error": str(error)})
        except Exception as error:
            _send(connection, {"error": f"the encoder failed ({reason_of(error)})"})
        else:
            _send(connection, {"lengths": lengths, "longest": encoder.longest})
            connection.send_bytes(vectors.tobytes())


def load(kind: str, arguments: Sequence[str]) -> TextEncoder:
    """Raises DetectorError if the encoder is broken or its vectors have another width."""
    if kind == "visual":
        from streamwatch.prompts.encoders.visual import VisualEncoder  # imports PyTorch

        checkpoint, image_size = arguments
        return VisualEncoder(Path(checkpoint), int(image_size))
    return load_text(cast(EncoderKind, kind), [Path(path) for path in arguments])


def load_text(kind: EncoderKind, paths: Sequence[Path]) -> TextEncoder:
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


if __name__ == "__main__":
    serve_parent(main)
