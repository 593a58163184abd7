"""The last valid configuration, kept for starting when the current file is invalid."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from streamwatch import files
from streamwatch.config.loading import LARGEST, load, text_of
from streamwatch.config.sections.whole import Config
from streamwatch.paths import state_file


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

    Raises ConfigError: it may, for instance, name a certificate file that is missing now.
    """
    kept = _kept(path)
    return load(path, text_of(kept)) if kept.is_file() else None


def _kept(path: Path) -> Path:
    return state_file("last-good", path, ".yaml")
