"""How the log looks: text for people, priorities for journald, JSON for collectors."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

FIELDS = ("camera", "watch", "event", "id")
"""What a line may say it is of (`extra=`), for a collector to select by; `event` is the type of an
event, and `id` its visit's, as in the alert."""
JOURNAL_PRIORITY = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
"""syslog's numbers, which journald reads from a leading `<N>` (sd-daemon(3))."""
SELDOM_SECONDS = 1.0

_verbose = False


class _JournalFormatter(logging.Formatter):
    """No time stamp: journald has its own."""

    def format(self, record: logging.LogRecord) -> str:
        priority = JOURNAL_PRIORITY.get(record.levelname, 6)
        # journald makes an entry of each line.
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "thread": record.threadName,
            "message": record.getMessage(),
            **{name: getattr(record, name) for name in FIELDS if hasattr(record, name)},
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def be_verbose() -> None:
    """From now on `set_up` takes the level `debug`, whatever it is told, as with `--verbose`."""
    global _verbose
    _verbose = True


def set_up(
    level: Literal["debug", "info", "warning", "error"],
    style: Literal["auto", "text", "json"],
) -> None:
    """Send streamwatch's log to stderr, and warnings and errors of the libraries."""
    handler = logging.StreamHandler(sys.stderr)
    if style == "json":
        handler.setFormatter(_JsonFormatter())
    elif style == "auto" and os.environ.get("JOURNAL_STREAM"):
        handler.setFormatter(_JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S")
        )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("streamwatch").setLevel("DEBUG" if _verbose else level.upper())


class Seldom:
    """Logs at most one line a second, of what others can cause as often as they like.

    A line tells how many were left out since the one before. For one thread.
    """

    def __init__(
        self, logger: logging.Logger, level: int, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._level = level
        self._seconds = seconds
        self._next = float("-inf")
        self._left_out = 0

    def __call__(self, message: str, *values: object) -> None:
        now = self._seconds()
        if now < self._next:
            self._left_out += 1
            return
        if self._left_out:
            message, values = f"{message} (and %d more like it before)", (*values, self._left_out)
        self._logger.log(self._level, message, *values)
        self._next, self._left_out = now + SELDOM_SECONDS, 0
