"""Whether there is room for what may be kept."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from streamwatch.doctor.check import Check, Installation
from streamwatch.doctor.folders import Kept, folders
from streamwatch.doctor.rights import nearest

AREA = "disk"
LEAST_BYTES = 200_000_000
"""What is left must hold the log, the learnt and what other programs write."""
LEAST_INODES = 5_000


def checks(case: Installation) -> Iterator[Check]:
    by_device: dict[int, list[Kept]] = defaultdict(list)
    for kept in folders(case.config):
        try:
            by_device[nearest(kept.folder).stat().st_dev].append(kept)
        except OSError as error:
            yield Check(AREA, kept.subject, None, f"can't be looked at ({error.strerror})")
    for together in by_device.values():
        yield _file_system(together)


def _file_system(together: list[Kept]) -> Check:
    where = nearest(together[0].folder)
    subject = ", ".join(kept.subject for kept in together)
    found = os.statvfs(where)
    if found.f_flag & os.ST_RDONLY:
        said = f"the file system of {where} is mounted read-only"
        do = "mount it for writing; the kernel's log tells if it is damaged (`dmesg`)"
        return Check(AREA, subject, False, said, do)
    if found.f_files and found.f_favail < LEAST_INODES:
        said = f"the file system of {where} has room for {found.f_favail} files only"
        return Check(AREA, subject, False, said, "delete files there (`df -i` tells of inodes)")
    free = found.f_bavail * found.f_frsize
    limited = [kept for kept in together if kept.most_bytes is not None]
    growing = {kept.key: max(0, (kept.most_bytes or 0) - taken(kept.folder)) for kept in limited}
    coming = sum(growing.values())
    said, told = f"{size(free)} free", "" if limited else subject
    if limited:
        names = ", ".join(kept.subject for kept in limited)
        said += f"; {names} may take {size(coming)} more"
    if free < coming + LEAST_BYTES:
        do = f"make room in the file system of {where}"
        if growing:
            do += f", or lower {max(growing, key=lambda key: growing[key])}"
        return Check(AREA, told, False, said, do)
    return Check(AREA, told, True, said)


def taken(folder: Path) -> int:
    """Bytes of the files in it."""
    total = 0
    for above, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(above) / name).lstat().st_size
    return total


def size(number: int) -> str:
    for unit, least in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if number >= least:
            return f"{number / least:.3g} {unit}"
    return f"{number / 1000:.0f} KB"
