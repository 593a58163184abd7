"""Whether a user may read or write a file, told without being that user."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from streamwatch.doctor.unit import Unit

READ, WRITE, ENTER = 4, 2, 1


@dataclass(frozen=True, slots=True)
class User:
    """Whoever runs the daemon."""

    name: str
    uid: int
    gids: frozenset[int]

    def may(self, path: Path, wanted: int) -> bool:
        """By owner, group and mode, in this order, as the kernel does; of itself root may all.

        For the user that runs this the kernel is asked, which knows access lists too. Raises
        OSError.
        """
        if self.uid == os.geteuid():
            return os.access(path, wanted, effective_ids=True)
        status = path.stat()
        if self.uid == 0:
            return True
        if status.st_uid == self.uid:
            return (status.st_mode >> 6) & wanted == wanted
        if status.st_gid in self.gids:
            return (status.st_mode >> 3) & wanted == wanted
        return status.st_mode & wanted == wanted

    def reaches(self, path: Path) -> bool:
        """Whether all folders above may be entered."""
        return all(self.may(folder, ENTER) for folder in path.absolute().parents)


def daemon_user(unit: Unit | None) -> User | None:
    """The user of the unit, or whoever runs this where there is no unit.

    None if the unit's user does not exist.
    """
    if unit is None:
        uid = os.geteuid()
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = str(uid)
        return User(name, uid, frozenset((*os.getgroups(), os.getegid())))
    try:
        entry = pwd.getpwnam(unit["User"] or "root")
    except KeyError:
        return None
    gids = {entry.pw_gid, *os.getgrouplist(entry.pw_name, entry.pw_gid)}
    for group in unit["SupplementaryGroups"].split():
        try:
            gids.add(grp.getgrnam(group).gr_gid)
        except KeyError:
            continue
    return User(entry.pw_name, entry.pw_uid, frozenset(gids))


def nearest(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there."""
    for candidate in (path, *path.parents):
        try:
            if candidate.exists():
                return candidate
        except OSError:
            continue
    return path
