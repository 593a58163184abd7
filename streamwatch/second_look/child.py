"""The image tower's process: crops in, vectors out, until the parent ends it.

    python -m streamwatch.second_look.child DESCRIPTOR PARENT KIND PATH

Started only by `process.py`. First it loads the tower and sends `{"size": px, "scale": n}` as JSON,
or `{"error": "…"}` and ends. Then each request is the bytes of crops, `(crops, size, size, 3)`
uint8 BGR; the response is a JSON `{}` followed by their vectors (float32, `(crops, width)`), or the
JSON `{"error": "…"}`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from streamwatch.config.catalogue import ImageKind
from streamwatch.errors import DetectorError
from streamwatch.processes.child import reason_of, serve_parent

if TYPE_CHECKING:
    from streamwatch.second_look.towers import ImageTower


def main(connection: Connection, arguments: Sequence[str]) -> None:
    kind, path = arguments
    serve(connection, cast(ImageKind, kind), Path(path))


def serve(connection: Connection, kind: ImageKind, path: Path) -> None:
    """Load the tower and answer requests until the other end is closed."""
    try:
        tower = load(kind, path)
    except DetectorError as error:
        _send(connection, {"error": str(error)})
        return
    except Exception as error:
        _send(connection, {"error": f"the image tower can't be loaded ({reason_of(error)})"})
        return
    _send(connection, {"size": tower.size, "scale": tower.scale})
    while True:
        try:
            content = np.frombuffer(connection.recv_bytes(), np.uint8)
        except EOFError:
            return
        try:
            vectors = tower.encode(content.reshape(-1, tower.size, tower.size, 3))
        except Exception as error:
            _send(connection, {"error": f"the image tower failed ({reason_of(error)})"})
        else:
            _send(connection, {})
            connection.send_bytes(vectors.tobytes())


def load(kind: ImageKind, path: Path) -> ImageTower:
    """Raises DetectorError if the tower is broken."""
    from streamwatch.second_look.towers import TOWERS  # imports PyTorch, which takes seconds

    tower: ImageTower = TOWERS[kind](path)
    return tower


def _send(connection: Connection, answer: dict[str, object]) -> None:
    connection.send_bytes(json.dumps(answer).encode())


if __name__ == "__main__":
    serve_parent(main)
