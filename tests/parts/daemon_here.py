"""A daemon in a thread of this process, whose parts a test may replace."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from streamwatch.daemon.daemon import Daemon


@contextmanager
def running(daemon: Daemon) -> Iterator[Daemon]:
    """Run it, and stop it at the end where it has not ended by itself; it must not fail."""
    failures: list[Exception] = []

    def run() -> None:
        try:
            daemon.run()
        except Exception as error:
            failures.append(error)

    with daemon:
        thread = threading.Thread(target=run)
        thread.start()
        yield daemon
        daemon.request_stop()
        thread.join(20)
    assert not failures
    assert not thread.is_alive()
