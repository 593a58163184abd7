"""All checks in their order. Whatever is broken is a line of its own, and the others go on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from streamwatch.config import Config, find, load
from streamwatch.doctor import (
    broker,
    cameras,
    clock,
    device,
    disk,
    permissions,
    service,
    versions,
    weights,
)
from streamwatch.doctor.check import Check, Installation
from streamwatch.doctor.environment import as_the_unit_sets_it
from streamwatch.doctor.unit import unit_of
from streamwatch.errors import ConfigError, StreamwatchError, first_line
from streamwatch.masking import mask_secrets_in
from streamwatch.paths import status_sockets
from streamwatch.status.socket import ask

log = logging.getLogger(__name__)

CONFIGURATION, DAEMON = "config", "daemon"
_T = TypeVar("_T")
Begin = Callable[[str], None]


def examine(explicit: Path | None, begin: Begin = lambda _: None) -> Iterator[Check]:
    """Everything, with the configuration `explicit` or the one that is found without it.

    `begin` is told what is looked at next. Takes as long as the slowest camera, half a minute at
    most, and what the broker takes, and the time to read the weights. Raises nothing but what ends
    a program.
    """
    # What is logged meanwhile is in the lines; without a handler it would be on stderr too.
    logging.getLogger("streamwatch").addHandler(logging.NullHandler())
    found: list[Check] = []

    def tried(area: str, call: Callable[[], _T]) -> _T | None:
        try:
            return call()
        except Exception as error:
            found.append(unforeseen(area, error))
            return None

    begin("systemd")
    path = _path(explicit, found)
    unit = tried("systemd", lambda: unit_of(path))
    with as_the_unit_sets_it(unit if unit is not None and unit.runs(path) else None):
        begin(CONFIGURATION)
        config = None if path is None else tried(CONFIGURATION, lambda: _config(path, found))
        begin(DAEMON)
        running = None
        is_asked = False
        if path is not None:
            running = tried(DAEMON, lambda: ask(status_sockets(path)))
            is_asked = not any(check.area == DAEMON for check in found)
        case = Installation(path, config, unit, running)
        trials = None
        if config is not None and running is None and is_asked:
            trials = tried("cameras", lambda: cameras.begun(config))
        yield from found
        is_told = any(check.area == "systemd" for check in found)
        areas: list[tuple[str, Callable[[Installation], Iterator[Check]]]] = [
            ("versions", versions.checks),
            *([] if is_told else [("systemd", service.checks)]),
            ("permissions", permissions.checks),
            ("disk", disk.checks),
            ("clock", clock.checks),
            ("device", device.checks),
            ("weights", weights.checks),
            ("cameras", lambda case: cameras.checks(case, trials)),
            ("broker", broker.checks),
        ]
        for area, checks in areas:
            begin(area)
            yield from guarded(area, partial(checks, case))


def guarded(area: str, checks: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """The checks, masked; what ends them unexpectedly as one that says so."""
    try:
        for check in checks():
            do = None if check.do is None else mask_secrets_in(check.do)
            said = mask_secrets_in(check.said)
            yield Check(check.area, check.subject, check.ok, said, do)
    except Exception as error:
        yield unforeseen(area, error)


def unforeseen(area: str, error: Exception) -> Check:
    """A check that could not be done: worth knowing, and a fault where it says what to do."""
    if isinstance(error, PermissionError) and area == DAEMON:
        return Check(area, "", False, "it runs as another user, and can't be asked", "try sudo")
    if isinstance(error, TimeoutError) and area == DAEMON:
        return Check(
            area, "", False, "it runs, and does not answer", "look at its log, and restart it"
        )
    if not isinstance(error, StreamwatchError):
        log.debug("this was not foreseen", exc_info=error)
    return Check(area, "", None, f"could not be checked ({first_line(error)})")


def _path(explicit: Path | None, found: list[Check]) -> Path | None:
    try:
        return find(explicit)
    except ConfigError as error:
        said = error.problems[0].message.partition(";")[0]
        do = "`streamwatch init` writes one to start from; -c FILE names another"
        found.append(Check(CONFIGURATION, "", False, said, do))
    except Exception as error:
        found.append(unforeseen(CONFIGURATION, error))
    return None


def _config(path: Path, found: list[Check]) -> Config | None:
    try:
        config = load(path)
    except ConfigError as error:
        for problem in error.problems:
            said = mask_secrets_in(str(problem))
            do = "correct it in the file"
            if problem.line is None:
                do = "see that it is there and can be read, or name another with -c FILE"
            found.append(Check(CONFIGURATION, "", False, said, do))
        return None
    found.append(Check(CONFIGURATION, "", True, f"{path} is right"))
    return config
