"""What systemd knows of the unit that runs a configuration; asked with `systemctl show`."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from streamwatch.errors import StreamwatchError

PATIENCE_SECONDS = 5.0
BOOTED = Path("/run/systemd/system")
"""It is there where systemd is the init system: sd_booted(3)."""
PROPERTIES = (
    *("LoadState", "FragmentPath", "DropInPaths", "ActiveState", "SubState", "UnitFileState"),
    *("NeedDaemonReload", "Result", "Type", "WatchdogUSec", "NotifyAccess", "ExecStart"),
    *("User", "SupplementaryGroups", "StateDirectory", "CacheDirectory", "RuntimeDirectory"),
    *("ProtectSystem", "ProtectHome", "ReadWritePaths"),
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit by its name, and its properties as `systemctl show` names them."""

    name: str
    properties: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.properties.get(name, "")

    @property
    def is_installed(self) -> bool:
        return self["LoadState"] not in ("", "not-found")

    @property
    def is_active(self) -> bool:
        return self["ActiveState"] in ("active", "reloading", "activating")

    @property
    def command(self) -> list[str]:
        """The program that it starts, with its arguments."""
        found = re.search(r"argv\[\]=(.*?) ; ", self["ExecStart"])
        return found[1].split() if found else []

    @property
    def config(self) -> Path | None:
        """The configuration file that it runs."""
        command = self.command
        for before, after in pairwise(command):
            if before in ("-c", "--config"):
                return Path(after)
        return None

    def runs(self, path: Path | None) -> bool:
        return self.is_installed and path is not None and self.config == path.absolute()


def unit_of(path: Path | None) -> Unit | None:
    """The unit that runs this configuration, or the usual one where none does.

    None where systemd is not the init system. Raises StreamwatchError if it does not answer.
    """
    if not BOOTED.is_dir() or shutil.which("systemctl") is None:
        return None
    usual = shown("streamwatch.service")
    if path is None or usual.runs(path) or path.absolute().parent != Path("/etc/streamwatch"):
        return usual
    own = shown(f"streamwatch@{path.stem}.service")
    return own if own.runs(path) else usual


def shown(name: str) -> Unit:
    """Raises StreamwatchError if systemd does not answer."""
    try:
        done = subprocess.run(
            ["systemctl", "show", "--no-pager", f"--property={','.join(PROPERTIES)}", "--", name],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StreamwatchError("systemctl does not answer") from None
    except OSError as error:
        raise StreamwatchError(f"systemctl can't be run: {error.strerror}") from None
    if done.returncode:
        said = done.stderr.strip().partition("\n")[0]
        raise StreamwatchError(f"systemctl fails: {said or done.returncode}")
    lines = (line.partition("=") for line in done.stdout.splitlines())
    return Unit(name, {key: value for key, _, value in lines})
