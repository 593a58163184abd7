"""Fetches the files of the model that a configuration names, before it is loaded."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from streamwatch.config import Advice, DetectorSettings, listing
from streamwatch.models.fetching import megabytes
from streamwatch.models.provision import choose, provide, to_fetch
from streamwatch.models.store import default_store
from streamwatch.status import systemd

log = logging.getLogger(__name__)

LOG_SECONDS, STATUS_SECONDS = 10.0, 1.0
"""How often progress is reported."""


def fetch_first(settings: DetectorSettings, on_progress: Callable[[], None] = lambda: None) -> None:
    """Fetch the missing files, with progress in the log and to systemd.

    `on_progress` is called as data arrives. Raises DetectorError, at once if fetching is not
    allowed or not possible; PyTorch is not imported for it.
    """
    provide(settings, default_store(), _Told(on_progress))


def what_is_fetched(settings: DetectorSettings) -> tuple[list[str], list[Advice]]:
    """For `check`, which fetches nothing: what `run` will fetch first, or that it may not."""
    store = default_store()
    missing = to_fetch(settings, store)
    if not missing:
        return [], []
    files = [f"{store.name(source)} ({megabytes(source.size)})" for source in missing]
    names = listing(files, "and")
    if settings.offline:
        command = f"`streamwatch models pull {choose(settings).encoder[0].pull}`"
        said = f"{names} would have to be fetched, so run will end at once; {command} fetches it"
        return [], [Advice("detector.offline", said)]
    return [f"will be fetched at start: {names}"], []


class _Told:
    """Reports progress to the log and to `systemctl status`."""

    def __init__(self, on_progress: Callable[[], None]) -> None:
        self._on_progress = on_progress
        self._next_log = time.monotonic() + LOG_SECONDS
        self._next_status = 0.0

    def __call__(self, name: str, done: int, total: int | None) -> None:
        self._on_progress()
        now = time.monotonic()
        if now >= self._next_status:
            self._next_status = now + STATUS_SECONDS
            systemd.status(f"fetching {_progress(name, done, total)}")
        if now >= self._next_log:
            self._next_log = now + LOG_SECONDS
            log.info("fetching %s", _progress(name, done, total))


def _progress(name: str, done: int, total: int | None) -> str:
    if not total:
        return f"{name}: {megabytes(done)}"
    return f"{name}: {megabytes(done)} of {megabytes(total)}, {done / total:.0%}"
