"""Processes that this test process has started, and waiting for what they do."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


def running(module: str) -> list[psutil.Process]:
    """The children of this process alone that run a module; others test beside it."""
    return [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and module in child.cmdline()
    ]


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended; its own parent may not have asked for its exit code yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
