"""The variables that systemd sets for a service, for a command that is run by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamwatch.doctor.unit import Unit

PARENTS = {
    "StateDirectory": Path("/var/lib"),
    "CacheDirectory": Path("/var/cache"),
    "RuntimeDirectory": Path("/run"),
}
"""Where systemd makes the folders that a unit names so: systemd.exec(5)."""
_VARIABLES = {
    "STATE_DIRECTORY": "StateDirectory",
    "CACHE_DIRECTORY": "CacheDirectory",
    "RUNTIME_DIRECTORY": "RuntimeDirectory",
}
CREDENTIALS = "CREDENTIALS_DIRECTORY"


@contextmanager
def as_the_unit_sets_it(unit: Unit | None) -> Iterator[None]:
    """While it lasts, the folders are those of the unit, and its credentials can be read where that
    is allowed. Nothing changes without a unit, nor what is set already."""
    added: dict[str, str] = {}
    if unit is not None:
        for variable, name in _VARIABLES.items():
            if unit[name]:
                folders = (str(PARENTS[name] / part) for part in unit[name].split())
                added[variable] = ":".join(folders)
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
