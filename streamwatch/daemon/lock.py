"""One daemon for each configuration: a second one would publish every visit twice."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamwatch.errors import StreamwatchError
from streamwatch.files import PRIVATE
from streamwatch.paths import state_file

log = logging.getLogger(__name__)

LONGEST_PID = 20


@contextmanager
def locked(config: Path) -> Iterator[None]:
    """Hold the lock of a configuration, which the kernel frees however the process ends.

    Raises StreamwatchError if another process holds it. Where there can be no lock, this only
    warns: alerts don't depend on it.
    """
    held = _held(config)
    try:
        yield
    finally:
        if held is not None:
            os.close(held)  # the file stays: one that is removed could be locked twice


def _held(config: Path) -> int | None:
    """The descriptor that holds the lock; None where there can be none."""
    path = state_file("lock", config, ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Not inherited: the text encoder's process may live a moment longer than the daemon.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(path, flags, PRIVATE)
    except OSError as error:
        _warn(config, path, error)
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = _pid(descriptor)
        os.close(descriptor)
        raise StreamwatchError(
            f"streamwatch is running already with {config.absolute()} (pid {pid})"
        ) from None
    except OSError as error:
        os.close(descriptor)
        _warn(config, path, error)
        return None
    with suppress(OSError):  # a full disk: the lock counts, not its content
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b"%d\n%s\n" % (os.getpid(), os.fsencode(config.absolute())))
    return descriptor


def _pid(descriptor: int) -> str:
    """What the holder wrote, which may not have come to it yet."""
    with suppress(OSError):
        first = os.pread(descriptor, LONGEST_PID, 0).partition(b"\n")[0]
        if first.isdigit():
            return first.decode()
    return "unknown"


def _warn(config: Path, path: Path, error: OSError) -> None:
    log.warning(
        "a second streamwatch with %s would not be noticed: %s: %s",
        config.absolute(),
        path,
        error.strerror or error,
    )
