"""Which versions there are, and whether the running daemon is of the installed one."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from streamwatch import __version__
from streamwatch.doctor.check import Check, Installation
from streamwatch.paths import DISTRIBUTION

AREA = "versions"
TOLD = ("torch", "ultralytics", "openvino", "paho-mqtt")


def checks(case: Installation) -> Iterator[Check]:
    python = platform.python_version()
    yield Check(AREA, "", True, f"streamwatch {__version__}, Python {python}")
    yield from _unmet()
    told = ", ".join(f"{name} {_version(name) or 'missing'}" for name in TOLD)
    yield Check(AREA, "", True, told)
    if case.running is not None and case.running["version"] != __version__:
        does_systemd = case.unit is not None and case.unit.runs(case.path)
        restart = "restart it"
        if does_systemd and case.unit is not None:
            restart = f"`sudo systemctl restart {case.unit.name.removesuffix('.service')}`"
        said = f"the running daemon is still {case.running['version']}"
        yield Check(AREA, "daemon", False, said, restart)


def _unmet() -> Iterator[Check]:
    try:
        wanted = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        said = f"{DISTRIBUTION} is not installed: this runs from its source"
        yield Check(AREA, "", None, f"{said}, and what it needs can't be told")
        return
    for text in wanted:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = _version(requirement.name)
        if found is None:
            said = f"is missing, and {requirement.specifier or 'any version'} is needed"
        elif not requirement.specifier.contains(found, prereleases=True):
            said = f"is {found}, and {requirement.specifier} is needed"
        else:
            continue
        do = f"install {DISTRIBUTION} again, or `make install-service` in its checkout"
        yield Check(AREA, requirement.name, False, said, do)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
