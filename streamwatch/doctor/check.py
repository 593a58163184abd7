"""What was looked at, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamwatch.config import Config
from streamwatch.doctor.unit import Unit


@dataclass(frozen=True, slots=True)
class Check:
    """One line for people: of the `subject` (may be empty) in this `area` it is `said` how it is.

    `ok` is False where something must be done, which `do` tells, and None for what is no fault but
    worth knowing, or can't be told. No secret is in the texts.
    """

    area: str
    subject: str
    ok: bool | None
    said: str
    do: str | None = None


@dataclass(frozen=True, slots=True)
class Installation:
    """What is examined.

    `path` is the configuration's, None where there is none; `config` is None where it is wrong too.
    `unit` is the systemd unit that should run it, None where there is no systemd; `running` the
    status document of the daemon that runs with that file, None where none does.
    """

    path: Path | None
    config: Config | None
    unit: Unit | None
    running: Mapping[str, Any] | None
