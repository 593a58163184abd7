"""The last valid configuration, kept for starting when the current file is invalid."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from streamwatch import files
from streamwatch.config.loading import LARGEST, load, text_of
from streamwatch.config.sections.whole import Config
from streamwatch.errors import ConfigError
from streamwatch.paths import state_file

log = logging.getLogger(__name__)


def keep_last_good(path: Path, text: str) -> None:
    """Save `text`, the content of the file at `path`, with `${…}` not expanded.

    Readable by the owner only. Raises OSError.
    """
    kept = _kept(path)
    with suppress(OSError, UnicodeDecodeError):
        if files.read(kept, LARGEST).decode() == text:
            return
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.replace(kept, text.encode(), on_disk=True)


def load_last_good(path: Path) -> Config | None:
    """What `keep_last_good` saved for the file at `path`; None if nothing was.

    None too where it is not right any more, which is logged: another version of streamwatch may
    have saved it, it may name a certificate that is missing now, or it is broken.
    """
    kept = _kept(path)
    if not kept.is_file():
        return None
    try:
        return load(path, text_of(kept))
    except ConfigError as error:
        problem = error.problems[0]
        said = f"{problem.path}: {problem.message}" if problem.path else problem.message
        log.warning("the last good configuration, %s, is not right any more: %s", kept, said)
        return None


def _kept(path: Path) -> Path:
    return state_file("last-good", path, ".yaml")
