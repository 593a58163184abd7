"""Shows on the broker that a daemon lives whose model is still being loaded."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from streamwatch.config import Config
from streamwatch.publisher import STATS_SECONDS, Publisher
from streamwatch.status import report


@contextmanager
def shown_alive(
    publisher: Publisher, config: Config, instance: str, started_at: datetime
) -> Iterator[None]:
    """Publish `P/info`, with the device as the configuration has it, and `P/stats` with zeros."""
    stop = threading.Event()
    began = time.monotonic()

    def run() -> None:
        while not stop.wait(STATS_SECONDS):
            publisher.stats(report.starting_stats(publisher, instance, began))

    publisher.info(report.info(config, instance, None, started_at, ()))
    thread = threading.Thread(target=run, name="starting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
