"""The id by which two daemons tell each other apart, in `P/info` and `P/stats`."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from ulid import ULID

from streamwatch import files
from streamwatch.paths import state_file

log = logging.getLogger(__name__)


def instance_id(config: Path | None) -> str:
    """Made once for a configuration's path in the state folder, and kept there.

    A new one each time for None, and where it can't be kept.
    """
    if config is None:
        return str(ULID())
    kept = state_file("instance", config, "")
    with suppress(OSError, ValueError):
        return str(ULID.from_str(files.read(kept, 100).decode().strip()))
    made = str(ULID())
    try:
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.replace(kept, f"{made}\n".encode(), on_disk=True)
    except OSError as error:
        log.warning("the instance id can't be kept in %s (%s)", kept, error.strerror)
    return made
