"""What `doctor` says of the systemd unit, by a systemctl that answers as told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streamwatch import __version__
from streamwatch.doctor import Check, service, unit
from streamwatch.doctor.check import Installation
from streamwatch.doctor.environment import as_the_unit_sets_it
from streamwatch.errors import StreamwatchError
from streamwatch.paths import cache_dir, state_dir

CONFIG = Path("/etc/streamwatch/config.yaml")
WELL = {
    "LoadState": "loaded",
    "FragmentPath": "/etc/systemd/system/streamwatch.service",
    "DropInPaths": "",
    "ActiveState": "active",
    "SubState": "running",
    "UnitFileState": "enabled",
    "NeedDaemonReload": "no",
    "Result": "success",
    "Type": "notify",
    "NotifyAccess": "main",
    "WatchdogUSec": "1min",
    "ExecStart": "{ path=/bin/sh ; argv[]=/bin/sh run --last-good -c /etc/streamwatch/config.yaml"
    " ; ignore_errors=no ; start_time=[n/a] ; pid=0 ; status=0/0 }",
    "User": "root",
    "StateDirectory": "streamwatch",
    "CacheDirectory": "streamwatch",
    "RuntimeDirectory": "streamwatch",
}
Answer = Callable[..., Path]


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Makes `systemctl show` print these properties, or run this line of shell."""
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()

    def answer(line: str | None = None, **properties: str) -> Path:
        told = "".join(f"{key}={value}\n" for key, value in (WELL | properties).items())
        (tmp_path / "told").write_text(told)
        program.write_text(f"#!/bin/sh\n{line or f'cat {tmp_path}/told'}\n")
        program.chmod(0o755)
        return program

    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(unit, "BOOTED", tmp_path)
    return answer


def found(path: Path | None = CONFIG) -> list[Check]:
    return list(service.checks(Installation(path, None, unit.unit_of(path), None)))


def test_a_unit_that_runs_as_shipped(systemctl: Answer) -> None:
    systemctl()
    said = "active (running), /etc/systemd/system/streamwatch.service"
    assert found() == [Check("systemd", "streamwatch.service", True, said)]


@pytest.mark.parametrize(
    ("properties", "said", "do"),
    [
        (
            {"NeedDaemonReload": "yes"},
            "its file is newer than what systemd has read",
            "`sudo systemctl daemon-reload`",
        ),
        (
            {"ActiveState": "failed", "SubState": "failed", "Result": "watchdog"},
            "failed (watchdog)",
            "`journalctl -u streamwatch -n 50` tells why, `sudo systemctl restart streamwatch`"
            " tries again",
        ),
        (
            {"ActiveState": "inactive", "SubState": "dead"},
            "does not run: inactive (dead)",
            "`sudo systemctl enable --now streamwatch`",
        ),
        (
            {"UnitFileState": "disabled"},
            "is disabled: it does not start with the machine",
            "`sudo systemctl enable streamwatch`",
        ),
        (
            {"WatchdogUSec": "0"},
            "has no watchdog: a daemon that is stuck is not restarted",
            f"WatchdogSec=60s, or {service.RESTORE}",
        ),
        (
            {"Type": "simple"},
            "has Type=simple in place of notify: systemd does not learn how it is",
            f"Type=notify, or {service.RESTORE}",
        ),
        (
            {"ExecStart": WELL["ExecStart"].replace("/bin/sh", "/nowhere/streamwatch")},
            "its program /nowhere/streamwatch does not exist or can't be run",
            service.RESTORE,
        ),
        ({"LoadState": "bad-setting"}, "systemd can't load it (bad-setting)", service.RESTORE),
    ],
)
def test_what_must_be_done(
    systemctl: Answer, properties: dict[str, str], said: str, do: str
) -> None:
    systemctl(**properties)
    (fault,) = [check for check in found() if check.ok is False]
    assert (fault.said, fault.do) == (said, do)


@pytest.mark.parametrize(
    ("line", "ok", "said"),
    [
        (f"echo streamwatch {__version__}", True, "active (running)"),
        ("echo streamwatch 0.0.9", None, "its program is streamwatch 0.0.9, and this is"),
        ("echo no module >&2; exit 1", False, "does not start (no module)"),
    ],
)
def test_the_version_of_its_program(
    systemctl: Answer, tmp_path: Path, line: str, ok: bool | None, said: str
) -> None:
    program = tmp_path / "streamwatch"
    program.write_text(f"#!/bin/sh\n{line}\n")
    program.chmod(0o755)
    systemctl(ExecStart=WELL["ExecStart"].replace("/bin/sh", str(program)))
    check = found()[0]
    assert (check.ok, said in check.said) == (ok, True), check


def test_drop_ins_are_named(systemctl: Answer) -> None:
    systemctl(DropInPaths="/etc/a.conf /etc/b.conf")
    assert (True, "changed by /etc/a.conf, /etc/b.conf") in [(c.ok, c.said) for c in found()]


def test_a_file_that_the_unit_does_not_run(systemctl: Answer, tmp_path: Path) -> None:
    systemctl()
    (check,) = found(tmp_path / "config.yaml")
    said = f"runs /etc/streamwatch/config.yaml, not {tmp_path}/config.yaml"
    assert (check.ok, check.said) == (None, said)


def test_no_unit_and_no_systemd(systemctl: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    systemctl(LoadState="not-found")
    (check,) = found()
    assert (check.ok, "is not installed" in check.said) == (None, True)
    monkeypatch.setattr(unit, "BOOTED", Path("/nowhere"))
    (check,) = found()
    assert (check.ok, check.said) == (None, "it does not run here")


@pytest.mark.parametrize(
    ("line", "told"),
    [("echo no bus >&2; exit 1", "systemctl fails: no bus"), ("sleep 60", "does not answer")],
)
def test_a_systemctl_that_fails(
    systemctl: Answer, monkeypatch: pytest.MonkeyPatch, line: str, told: str
) -> None:
    monkeypatch.setattr(unit, "PATIENCE_SECONDS", 0.2)
    systemctl(f"exec {line}" if line.startswith("sleep") else line)
    with pytest.raises(StreamwatchError, match=told):
        unit.unit_of(CONFIG)


def test_the_folders_are_those_of_the_unit(
    systemctl: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STATE_DIRECTORY", "CACHE_DIRECTORY", "RUNTIME_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    systemctl()
    own = state_dir()
    with as_the_unit_sets_it(unit.unit_of(CONFIG)):
        assert state_dir() == Path("/var/lib/streamwatch")
        assert cache_dir() == Path("/var/cache/streamwatch")
    assert state_dir() == own
