"""The systemd units."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.parts import STREET_CLIP, missing
from tests.parts.daemon import PATIENCE_SECONDS, Daemon
from tests.parts.mosquitto import StartMosquitto, Subscriber

pytestmark = pytest.mark.slow(seconds=15)

ROOT = Path(__file__).parents[1]
SYSTEMD = ROOT / "systemd"
CONFINE = ROOT / "tests" / "parts" / "system_calls.py"
UNITS = ("streamwatch.service", "streamwatch@.service")
MOST_EXPOSED = 1.3
"""On systemd's scale up to 10; cameras, GPUs and all hosts have to be allowed."""


@pytest.fixture(scope="module", autouse=True)
def systemd_analyze() -> None:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze", "systemd")


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_accepts_the_units_without_warnings(unit: str, tmp_path: Path) -> None:
    """With another program, since ours isn't installed there."""
    text = (SYSTEMD / unit).read_text()
    assert "/opt/streamwatch/.venv/bin/streamwatch run" in text
    copy = tmp_path / unit
    copy.write_text(text.replace("/opt/streamwatch/.venv/bin/streamwatch", "/bin/true"))
    done = analyze("verify", copy)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", UNITS)
def test_the_units_exposure_stays_low(unit: str) -> None:
    done = analyze("security", "--offline=true", SYSTEMD / unit)
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert float(exposure) <= MOST_EXPOSED
    assert "DeviceAllow=char-video4linux rw" in (SYSTEMD / unit).read_text()


def test_the_daemon_runs_under_the_system_call_filter(
    tmp_path: Path, start_mosquitto: StartMosquitto
) -> None:
    """It detects, encodes a new prompt, and replaces its file for a command with `persist`."""
    broker = start_mosquitto()
    within = (sys.executable, CONFINE, SYSTEMD / "streamwatch.service")
    refused = subprocess.run(
        [*within, sys.executable, "-c", "import os; os.nice(1)"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "PermissionError" in refused.stderr
    tree = {
        "mqtt": {"host": broker.host, "port": broker.port, "commands": True},
        "detector": {"model": "toybox"},
        "cameras": {"street": {"url": str(STREET_CLIP), "loop": True}},
        "watches": {"car": {"prompt": "red car"}},
    }
    with (
        Subscriber(broker.port, "streamwatch/#") as subscriber,
        Daemon(tmp_path, tree, within=within) as daemon,
    ):
        subscriber.wait_for_payload("streamwatch/state/street/car", b"ON", PATIENCE_SECONDS)
        inode = daemon.config.stat().st_ino
        watch = {"prompt": f"sign {uuid.uuid4().hex}"}
        subscriber.publish(
            "streamwatch/command/watch/set",
            json.dumps({"name": "new", "watch": watch, "persist": True}),
        )
        subscriber.wait_for(
            lambda _: subscriber.of("streamwatch/result/watch/set"), PATIENCE_SECONDS
        )
        (answer,) = subscriber.of("streamwatch/result/watch/set")
        assert answer.json["ok"], answer.json
        assert watch["prompt"] in daemon.config.read_text()
        assert daemon.config.stat().st_ino != inode
        assert daemon.terminate() == 0
    assert "ERROR" not in daemon.log


def test_the_instance_unit_differs_only_in_its_names() -> None:
    def settings(unit: str) -> list[str]:
        lines = (SYSTEMD / unit).read_text().splitlines()
        return [line for line in lines if line and not line.startswith("#")]

    single, several = (settings(unit) for unit in UNITS)
    assert single != several
    plain = "\n".join(several)
    for instance, name in (
        ("/%i.yaml", "/config.yaml"),
        ("=streamwatch-%i", "=streamwatch"),
        ("streamwatch (%i)", "streamwatch"),
    ):
        assert instance in plain
        plain = plain.replace(instance, name)
    assert plain.splitlines() == single


def test_the_service_is_installed_with_the_paths_of_this_checkout(tmp_path: Path) -> None:
    """Without setting up the virtual environment."""
    done = subprocess.run(
        ["make", "-C", ROOT, "--assume-old=.venv/.run-ready", "install-service",
         f"DESTDIR={tmp_path}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    etc = tmp_path / "etc"
    assert sorted(
        path.relative_to(etc).as_posix() for path in etc.rglob("*.*") if path.is_file()
    ) == [
        "systemd/system/streamwatch.service",
        "systemd/system/streamwatch@.service",
        "sysusers.d/streamwatch.conf",
        "tmpfiles.d/streamwatch.conf",
    ]
    page = tmp_path / "usr/local/share/man/man1/streamwatch.1"
    assert page.read_text() == (ROOT / "docs" / "streamwatch.1").read_text()
    unit = (etc / "systemd/system/streamwatch.service").read_text()
    assert f"ExecStart={ROOT}/.venv/bin/streamwatch run --last-good" in unit
