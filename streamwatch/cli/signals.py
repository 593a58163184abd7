"""SIGTERM and SIGINT: the first asks to stop, the second stops at once. SIGHUP asks to reload.

Until the daemon can be asked they end the process, since there is nothing to put in order yet.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED = 128 + signal.SIGINT
"""The exit code of a command that Ctrl-C has stopped."""


def end_on_signals() -> None:
    """End the process with 0 at SIGTERM or SIGINT, and ignore SIGHUP.

    Without a handler SIGTERM would be ignored in a container, where the process has the number 1,
    and Ctrl-C would leave a traceback.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: os._exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


@contextmanager
def stop_on_signals(request_stop: Callable[[], None]) -> Iterator[None]:
    """Call `request_stop` at the first signal; at the second end the process with 128 + its number.

    For the main thread only, as Python's signal handlers are.
    """
    asked = False

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os._exit(128 + number)
        asked = True
        request_stop()

    with _handled(handle, signal.SIGTERM, signal.SIGINT):
        yield


@contextmanager
def reload_on_sighup(request_reload: Callable[[], None]) -> Iterator[None]:
    """Call `request_reload` at each SIGHUP, which would end the process otherwise."""
    with _handled(lambda _number, _frame: request_reload(), signal.SIGHUP):
        yield


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Let SIGTERM and Ctrl-C raise KeyboardInterrupt, for work that may stop anywhere."""
    with _handled(signal.default_int_handler, signal.SIGTERM, signal.SIGINT):
        yield


@contextmanager
def _handled(
    handler: Callable[[int, FrameType | None], Any], *numbers: signal.Signals
) -> Iterator[None]:
    """Handle these signals so; afterwards as before."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
