"""The child's side of `parent.py`: what a module does first that runs in a process of its own.

    python -m MODULE DESCRIPTOR PARENT ARGUMENT…

Such a process frees all its memory when it ends, doesn't hold the detector's GIL, and uses one core
at most.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

NICENESS = 5
"""Loading a text encoder takes 4 s of one core. With three busy processes on two cores the first
vector took 7 s at niceness 0, 18 s at 5 and 55 s at 10."""

_PR_SET_PDEATHSIG = 1
"""<linux/prctl.h>"""


def serve_parent(serve: Callable[[Connection, Sequence[str]], None]) -> None:
    """Run `serve` with the other end of the parent's socket and the arguments, then exit."""
    descriptor, parent, *arguments = sys.argv[1:]
    _die_with(int(parent))
    with suppress(OSError):  # not allowed in a hardened service
        os.nice(NICENESS)
    serve(Connection(int(descriptor)), arguments)
    os._exit(0)  # skips the libraries' clean-up, which takes a second


def reason_of(error: Exception) -> str:
    """The first line of an error of torch, transformers or memory: stderr goes to /dev/null."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _die_with(parent: int) -> None:
    """Be killed with the parent, whose closed socket would be noticed only between requests."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before the call
        sys.exit(1)
