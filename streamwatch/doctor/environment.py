"""The variables that systemd sets for a service, for a command that is run by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamwatch.doctor.unit import Unit

_BELOW = {
    "STATE_DIRECTORY": ("StateDirectory", Path("/var/lib")),
    "CACHE_DIRECTORY": ("CacheDirectory", Path("/var/cache")),
    "RUNTIME_DIRECTORY": ("RuntimeDirectory", Path("/run")),
}
CREDENTIALS = "CREDENTIALS_DIRECTORY"


@contextmanager
def as_the_unit_sets_it(unit: Unit | None) -> Iterator[None]:
    """While it lasts, the folders are those of the unit, and its credentials can be read where that
    is allowed. Nothing changes without a unit, nor what is set already."""
    added: dict[str, str] = {}
    if unit is not None:
        for variable, (name, parent) in _BELOW.items():
            if unit[name]:
                added[variable] = ":".join(str(parent / part) for part in unit[name].split())
        credentials = Path("/run/credentials") / unit.name
        if os.access(credentials, os.R_OK | os.X_OK):
            added[CREDENTIALS] = str(credentials)
    added = {name: value for name, value in added.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
