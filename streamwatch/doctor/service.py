"""The systemd unit that is installed, against the one that this version ships."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from streamwatch import __version__
from streamwatch.doctor.check import Check, Installation
from streamwatch.doctor.unit import Unit

AREA = "systemd"
PATIENCE_SECONDS = 10.0
SHIPPED = {"Type": "notify", "NotifyAccess": "main"}
"""What the daemon depends on in systemd/streamwatch.service, beside the watchdog."""
RESTORE = "`sudo make install-service` in the checkout writes the unit anew"


def checks(case: Installation) -> Iterator[Check]:
    unit = case.unit
    if unit is None:
        yield Check(AREA, "", None, "it does not run here")
        return
    if not unit.is_installed:
        said = f"{unit.name} is not installed; streamwatch is started by hand or otherwise"
        yield Check(AREA, "", None, said)
        return
    if case.path is not None and not unit.runs(case.path):
        runs = unit.config or "no configuration that can be told"
        yield Check(AREA, unit.name, None, f"runs {runs}, not {case.path.absolute()}")
        return
    yield from _as_shipped(unit)
    yield from _state(unit)


def _as_shipped(unit: Unit) -> Iterator[Check]:
    if unit["LoadState"] != "loaded":
        said = f"systemd can't load it ({unit['LoadState']})"
        yield Check(AREA, unit.name, False, said, RESTORE)
        return
    program = Path(unit.command[0]) if unit.command else None
    if program is None or not os.access(program, os.X_OK):
        said = f"its program {program or '(none)'} does not exist or can't be run"
        yield Check(AREA, unit.name, False, said, RESTORE)
    elif program.name == "streamwatch":
        yield from _version(unit, program)
    for name, shipped in SHIPPED.items():
        if unit[name] != shipped:
            said = (
                f"has {name}={unit[name]} in place of {shipped}: systemd does not learn how it is"
            )
            yield Check(AREA, unit.name, False, said, f"{name}={shipped}, or {RESTORE}")
    if unit["WatchdogUSec"] in ("0", "infinity"):
        said = "has no watchdog: a daemon that is stuck is not restarted"
        yield Check(AREA, unit.name, False, said, f"WatchdogSec=60s, or {RESTORE}")
    if unit["NeedDaemonReload"] == "yes":
        said = "its file is newer than what systemd has read"
        yield Check(AREA, unit.name, False, said, "`sudo systemctl daemon-reload`")
    if unit["DropInPaths"]:
        yield Check(AREA, unit.name, True, f"changed by {', '.join(unit['DropInPaths'].split())}")


def _version(unit: Unit, program: Path) -> Iterator[Check]:
    """Whether what the unit starts is of the version that examines it."""
    try:
        done = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        said = f"its program {program} does not tell its version ({type(error).__name__})"
        yield Check(AREA, unit.name, None, said)
        return
    told = done.stdout.strip()
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2] or done.returncode
        said = f"its program {program} does not start ({reason})"
        yield Check(AREA, unit.name, False, said, RESTORE)
    elif told != f"streamwatch {__version__}":
        said = f"its program is {told}, and this is {__version__}"
        do = f"examine it with {program} doctor, or install this version for it"
        yield Check(AREA, unit.name, None, said, do)


def _state(unit: Unit) -> Iterator[Check]:
    name = unit.name.removesuffix(".service")
    state = f"{unit['ActiveState']} ({unit['SubState']})"
    if unit["ActiveState"] == "failed":
        do = f"`journalctl -u {name} -n 50` tells why, `sudo systemctl restart {name}` tries again"
        yield Check(AREA, unit.name, False, f"failed ({unit['Result']})", do)
    elif not unit.is_active:
        do = f"`sudo systemctl enable --now {name}`"
        yield Check(AREA, unit.name, False, f"does not run: {state}", do)
    else:
        yield Check(AREA, unit.name, True, f"{state}, {unit['FragmentPath']}")
    if unit["UnitFileState"] not in ("enabled", "enabled-runtime", "static", "generated", "alias"):
        said = f"is {unit['UnitFileState'] or 'not enabled'}: it does not start with the machine"
        yield Check(AREA, unit.name, False, said, f"`sudo systemctl enable {name}`")
