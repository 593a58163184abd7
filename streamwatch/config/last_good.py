"""The last configuration that was right, kept for a start on one that is not."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from streamwatch import files
from streamwatch.config.loading import load, text_of
from streamwatch.config.sections.whole import Config
from streamwatch.paths import state_file


def keep_last_good(path: Path, text: str) -> None:
    """Keep what stood in the file at `path`, as written: `${…}` not expanded, for its owner only.

    Raises OSError.
    """
    kept = _kept(path)
    with suppress(OSError, UnicodeDecodeError):
        if kept.read_text(encoding="utf-8") == text:
            return
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.replace(kept, text.encode(), on_disk=True)


def load_last_good(path: Path) -> Config | None:
    """What `keep_last_good` kept for the file at `path`, None where nothing was.

    Raises ConfigError: what was right then may name a certificate that is gone now.
    """
    kept = _kept(path)
    return load(path, text_of(kept)) if kept.is_file() else None


def _kept(path: Path) -> Path:
    return state_file("last-good", path, ".yaml")
