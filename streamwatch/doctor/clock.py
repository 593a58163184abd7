"""Whether the time is right, as far as a machine can tell."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from streamwatch.config import Config
from streamwatch.doctor.check import Check, Installation
from streamwatch.doctor.unit import BOOTED
from streamwatch.paths import shipped

AREA = "clock"
TIME_ERROR = 5
"""What adjtimex(2) returns while the clock is not synchronised."""
_TIMEX_BYTES = 512
"""More than `struct timex` has, of which only `modes`, the first, is given: 0 changes nothing."""
CONTAINERS = tuple(map(Path, ("/run/systemd/container", "/.dockerenv", "/run/.containerenv")))
A_DAY = 86_400


def checks(case: Installation) -> Iterator[Check]:
    newest = _newest_file()
    now = time.time()
    shown = datetime.now().astimezone()
    said = f"{shown:%Y-%m-%d %H:%M} {shown.tzname()}"
    if now < newest - A_DAY:
        made = datetime.fromtimestamp(newest, UTC)
        said = f"it is {said}, and this program was installed on {made:%Y-%m-%d}"
        yield Check(AREA, "", False, said, "set the clock: `sudo timedatectl set-ntp true`")
        return
    state = synchronised()
    if state:
        yield Check(AREA, "", True, f"{said}, synchronised")
    elif state is None or not BOOTED.is_dir() or any(path.exists() for path in CONTAINERS):
        yield Check(AREA, "", None, f"{said}; whether it is synchronised can't be told here")
    else:
        do = "`sudo timedatectl set-ntp true`, or see what your chrony or ntpd says"
        yield Check(AREA, "", False, f"{said}, not synchronised", do)
    if case.config is not None:
        yield from _zone(case.config, shown)


def synchronised() -> bool | None:
    """What the kernel says; None where it may not be asked."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (AttributeError, OSError):
        return None
    state = adjtimex(ctypes.byref(ctypes.create_string_buffer(_TIMEX_BYTES)))
    return None if state < 0 else state != TIME_ERROR


def _zone(config: Config, shown: datetime) -> Iterator[Check]:
    if not any(watch.active for watch in config.watches.values()):
        return
    if config.timezone is not None:
        there = datetime.now(config.zone)
        yield Check(AREA, "active", True, f"{there:%H:%M} in {config.timezone}")
    elif shown.tzname() in ("UTC", "Etc/UTC"):
        said = "the hours of `active` are read in UTC, the time zone of this machine"
        do = "write `timezone: Europe/Berlin`, if that is not meant"
        yield Check(AREA, "", None, said, do)
    else:
        yield Check(AREA, "active", True, f"the time zone of this machine, {shown.tzname()}")


def _newest_file() -> float:
    """When the newest of these was written: the program, or what it is shipped with."""
    files = [Path(__file__), shipped("config.schema.json")]
    return max(file.stat().st_mtime for file in files)
