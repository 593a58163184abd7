"""The real programs the tests use, each on a free loopback port."""

from __future__ import annotations

import atexit
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


def missing(part: str, package: str) -> None:
    """Skip the test, naming the missing part; fail instead if every part is required."""
    message = f"{part} is not installed (Debian: {package})"
    if os.environ.get("STREAMWATCH_REQUIRE_PARTS") == "1":
        pytest.fail(message)
    pytest.skip(message)


IMAGE_SIZE = 416
"""For toybox, where a test is not about how well it finds things: it tells the visits of the street
clip as at its usual 640, at less than half the work."""

SIDE_BY_SIDE = "PYTEST_XDIST_WORKER" in os.environ
"""Whether this process is one of several that share the tests of a run."""


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder for all processes of a run, filled by the first of them that needs it."""
    base = factory.getbasetemp().parent if SIDE_BY_SIDE else factory.getbasetemp()
    folder = base / name
    with held(base / f"{name}.lock"):
        if not folder.exists():
            part = base / f"{name}.part"
            part.mkdir()
            make(part)
            part.rename(folder)
    return folder


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Only one process at a time holds the lock."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


BLOCKS = range(10_000, 32_000, 100)
"""The first ports of the blocks, all below the range from which the kernel chooses ports."""


class Ports:
    """Ports for this process alone, each handed out once.

    The kernel may give a free port of its range to any connection before the server binds it. So
    each test process uses a block of lower ports, and reserves it by keeping the block's first port
    bound as long as it runs.
    """

    def __init__(self) -> None:
        self._kept: list[socket.socket] = []
        self._left: Iterator[int] = iter(())

    def next(self) -> int:
        while True:
            for port in self._left:
                with suppress(OSError):
                    bound(port).close()
                    return port
            self._left = self._take_block()

    def close(self) -> None:
        for first in self._kept:
            first.close()

    def _take_block(self) -> Iterator[int]:
        for first in BLOCKS:
            with suppress(OSError):
                self._kept.append(bound(first))
                return iter(range(first + 1, first + BLOCKS.step))
        raise RuntimeError("no ports are left for the tests")


def bound(port: int) -> socket.socket:
    """A socket bound to this port of the loopback; OSError if the port is in use."""
    bound = socket.socket()
    try:
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        raise
    return bound


_ports = Ports()
atexit.register(_ports.close)


def free_port() -> int:
    """A TCP port of the loopback that nothing listens on and no other test gets."""
    return _ports.next()


TOYBOX = Path(__file__).parents[2] / "streamwatch" / "models" / "toybox"
STREET_CLIP = TOYBOX / "street.mp4"
STREET_TRUTH = Path(__file__).parents[1] / "truth" / "street.truth.json"
