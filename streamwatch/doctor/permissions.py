"""Whether the daemon's user may read its configuration and write where it must."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from streamwatch.config import Config, readable_passwords
from streamwatch.doctor.check import Check, Installation
from streamwatch.doctor.environment import PARENTS
from streamwatch.doctor.folders import folders
from streamwatch.doctor.rights import ENTER, READ, WRITE, User, daemon_user, nearest
from streamwatch.doctor.unit import Unit
from streamwatch.errors import ConfigError

AREA = "permissions"
HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
"""What ProtectHome= hides."""


def checks(case: Installation) -> Iterator[Check]:
    unit = case.unit if case.unit is not None and case.unit.runs(case.path) else None
    user = daemon_user(unit)
    if user is None and unit is not None:
        said = f"the user {unit['User']} of {unit.name} does not exist"
        yield Check(AREA, "", False, said, "`sudo systemd-sysusers`, or make install-service again")
        return
    assert user is not None
    if case.path is not None:
        yield from _file(case.path, user)
    yield from _folders(case.config, user)
    if unit is not None:
        yield from _sandbox(case.config, unit)
    if case.config is not None:
        yield from _devices(case.config, user)


def _file(path: Path, user: User) -> Iterator[Check]:
    subject = path.name
    try:
        if not (user.reaches(path) and user.may(path, READ)):
            said = f"{user.name} may not read {path.absolute()}"
            do = f"`sudo chown {user.name} {path.absolute()}`, and the folders above open to it"
            yield Check(AREA, subject, False, said, do)
            return
        open_ones = readable_passwords(path)
    except ConfigError:
        open_ones = []  # what is wrong in it is told already
    except OSError as error:
        yield Check(AREA, subject, None, f"can't be looked at ({error.strerror})")
        return
    for advice in open_ones:
        said = f"{advice.path}: every user of this machine can read the password"
        do = f"`chmod 600 {path}`, or ${{file:PATH}} in the file"
        yield Check(AREA, subject, False, said, do)
    if not open_ones:
        yield Check(AREA, subject, True, f"{user.name} can read it")


def _folders(config: Config | None, user: User) -> Iterator[Check]:
    writable = []
    for kept in folders(config):
        there = nearest(kept.folder)
        try:
            can = there.is_dir() and user.may(there, WRITE | ENTER) and user.reaches(there)
        except OSError as error:
            yield Check(AREA, kept.subject, None, f"{there} can't be looked at ({error.strerror})")
            continue
        if can:
            writable.append(kept.subject)
        elif not there.is_dir():
            yield Check(AREA, kept.subject, False, f"{there} is no folder", "remove or rename it")
        else:
            said = f"{user.name} may not write into {there}"
            do = f"`sudo chown -R {user.name} {there}`"
            if there != kept.folder:
                do = f"`sudo install -d -o {user.name} {kept.folder}`"
            yield Check(AREA, kept.subject, False, said, do)
    if writable:
        yield Check(AREA, "", True, f"{user.name} can write: {', '.join(writable)}")


def _sandbox(config: Config | None, unit: Unit) -> Iterator[Check]:
    """Folders that the unit hides, or keeps from being written, whoever they belong to."""
    opened = [Path(part.lstrip("-+")) for part in unit["ReadWritePaths"].split()]
    for name, parent in PARENTS.items():
        opened += (parent / part for part in unit[name].split())
    for kept in folders(config):
        is_open = any(kept.folder.is_relative_to(folder) for folder in opened)
        is_home = any(kept.folder.is_relative_to(home) for home in HOMES)
        if is_home and unit["ProtectHome"] not in ("no", "") and not is_open:
            said = f"{unit.name} hides home folders, {kept.folder} too"
            do = f"keep it elsewhere, or allow it: {_allowed(kept.folder, unit)}"
        elif unit["ProtectSystem"] == "strict" and not is_open:
            said = f"{unit.name} keeps {kept.folder} from being written"
            do = f"allow it: {_allowed(kept.folder, unit)}"
        else:
            continue
        yield Check(AREA, kept.subject, False, said, do)


def _allowed(folder: Path, unit: Unit) -> str:
    edit = f"`sudo systemctl edit {unit.name.removesuffix('.service')}`"
    return f"{edit}, [Service], ReadWritePaths={folder}"


def _devices(config: Config, user: User) -> Iterator[Check]:
    for name, camera in config.cameras.items():
        if camera.kind != "device" or not camera.enabled:
            continue
        device = Path(camera.url)
        try:
            device.stat()
            can = user.may(device, READ | WRITE)
        except OSError:
            continue  # it is not plugged in, which is told with the cameras
        if can:
            yield Check(AREA, name, True, f"{user.name} can open {device}")
        else:
            do = f"`sudo usermod -aG {_group(device)} {user.name}`, and log in or restart again"
            yield Check(AREA, name, False, f"{user.name} may not open {device}", do)


def _group(device: Path) -> str:
    try:
        return device.group()
    except (KeyError, OSError):
        return "video"
