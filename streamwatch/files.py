"""Reads regular files only, and replaces a file as a whole: a reader, or a power cut, finds either
the old or the new content."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class Stat:
    """What a save changes: each changes `ctime_ns` at least, which no program can set back."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    names: int
    """How many names it has in folders."""


def stat_of(path: Path | str) -> Stat | None:
    """None for what can't be looked at, as for what does not exist."""
    try:
        found = os.stat(path)  # noqa: PTH116 - faster, for 50 calls a second
    except (OSError, ValueError):  # ValueError: a NUL character in the name
        return None
    return Stat(
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_nlink,
    )


class NotRegular(OSError):  # noqa: N818 - reads as what is wrong
    """A pipe, a socket or a device in a file's place: opening or reading it may never end."""

    def __init__(self, path: Path, mode: int) -> None:
        self.kind = _kind(mode)
        super().__init__(errno.EINVAL, f"A {self.kind}, not a regular file", str(path))


def demand_regular(path: Path) -> None:
    """Raises NotRegular or IsADirectoryError, or another OSError where it can't be looked at."""
    _demand_regular(path, path.stat().st_mode)


def read(path: Path, most: int, *, follow: bool = True) -> bytes:
    """The first `most` bytes of a regular file. Raises as `opened`."""
    with opened(path, follow=follow) as file:
        return file.read(most)


def opened(path: Path, *, follow: bool = True) -> BinaryIO:
    """A regular file, to be read without ever waiting for a writer.

    Without `follow` a symbolic link is no file. Raises NotRegular, IsADirectoryError and other
    OSErrors.
    """
    # Looked at before too, since opening a device may do something.
    demand_regular(path)
    links = 0 if follow else os.O_NOFOLLOW
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | links)
    file = os.fdopen(descriptor, "rb")
    try:
        _demand_regular(path, os.fstat(descriptor).st_mode)
    except BaseException:
        file.close()
        raise
    return file


def _demand_regular(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise NotRegular(path, mode)


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "pipe"
    return "socket" if stat.S_ISSOCK(mode) else "device"


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
        # Non-blocking for a pipe in its place, which is then an OSError.
        descriptor = os.open(part, flags | os.O_NONBLOCK, PRIVATE)
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


def prune(folder: Path, most: int) -> None:
    """Delete the least recently used files beyond `most`, partial ones of a crash included.

    Subfolders are left. Other processes may write and prune at the same time. Raises OSError.
    """
    kept = [path for path in folder.iterdir() if not path.is_dir()]
    if len(kept) > most:
        for path in sorted(kept, key=_last_used)[: len(kept) - most]:
            path.unlink(missing_ok=True)


def _last_used(path: Path) -> int:
    """In nanoseconds; 0 for a file that another process has renamed or deleted meanwhile."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
