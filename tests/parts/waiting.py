"""Waiting for what comes about by itself."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 60.0


def wait_until(true: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Look again and again; fails if it has not become true after so long."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
