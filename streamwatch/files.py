"""Replaces a file as a whole: a reader, or a power cut, finds either the old or the new content."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PRIVATE = 0o600


def replace(
    target: Path,
    content: bytes,
    *,
    mode: int = PRIVATE,
    on_disk: bool = False,
    part: Path | None = None,
) -> None:
    """Replace or create `target` with this content.

    With `on_disk` it returns when the content is on the disk. `part` is the name of the unfinished
    file, for callers that remove those left by a crash; by default a random name beside the target.
    Raises OSError; then nothing has changed and nothing is left behind.
    """
    with beside(target, content, mode=mode, on_disk=on_disk, part=part) as new:
        new.replace(target)


@contextmanager
def beside(
    target: Path,
    content: bytes,
    *,
    mode: int = PRIVATE,
    on_disk: bool = False,
    part: Path | None = None,
) -> Iterator[Path]:
    """A new file in the target's folder, as for `replace`; removed at the end unless renamed."""
    if part is None:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        part = Path(name)
    else:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(part, flags, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if mode != PRIVATE:
                os.fchmod(file.fileno(), mode)
            if on_disk:
                file.flush()
                os.fsync(file.fileno())
        yield part
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
