"""Processes that this test process has started, and waiting for what they do."""

from __future__ import annotations

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
