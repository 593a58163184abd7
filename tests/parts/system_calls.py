"""Runs a program under the system call filter of a unit, without systemd.

    python tests/parts/system_calls.py UNIT PROGRAM…

As in systemd.exec(5): the groups of `SystemCallFilter=` are allowed, without those after `~`; every
other call fails with EPERM, as the units configure.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

LIBRARY = "libseccomp.so.2"
"""The library that systemd itself uses."""

_FAIL_WITH_EPERM = 0x00050001
_ALLOW = 0x7FFF0000
_PR_SET_NO_NEW_PRIVS = 38
"""<seccomp.h>, <linux/prctl.h>"""


def main() -> None:
    unit, *program = sys.argv[1:]
    confine(allowed_by(Path(unit)))
    os.execvp(program[0], program)


def allowed_by(unit: Path) -> set[str]:
    calls = members("@default")  # which systemd always allows
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit.read_text(), re.MULTILINE):
        named = {call for group in line.removeprefix("~").split() for call in members(group)}
        calls = calls - named if line.startswith("~") else calls | named
    return calls


def members(group: str) -> set[str]:
    """The calls of a group and of the groups in it."""
    if not group.startswith("@"):
        return {group}
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True
    )
    lines = [line.strip() for line in listed.stdout.splitlines()[1:]]
    return {call for line in lines if line and line[0] != "#" for call in members(line)}


def confine(calls: set[str]) -> None:
    """Filter the calls of this process and of its children from now on."""
    library = ctypes.CDLL(LIBRARY)
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(_FAIL_WITH_EPERM))
    for call in calls:
        number = library.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:  # otherwise it is a call of another architecture
            library.seccomp_rule_add_array(rules, _ALLOW, number, 0, None)
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if library.seccomp_load(rules) != 0:
        raise OSError("the filter can't be loaded")


if __name__ == "__main__":
    main()
