"""One daemon for each configuration: the second says so and leaves, whatever ended the first."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamwatch.daemon.lock import locked
from streamwatch.errors import StreamwatchError
from streamwatch.paths import state_file
from tests.parts.daemon import PATIENCE_SECONDS, Daemon, private_environment
from tests.parts.mosquitto import StartMosquitto, Subscriber

pytestmark = pytest.mark.slow(seconds=40)

CAMERA = {"url": "bundled:street", "loop": True}


def settings(port: int, **others: Any) -> dict[str, Any]:
    return {
        "mqtt": {"host": "127.0.0.1", "port": port},
        "detector": {"model": "toybox"},
        "cameras": {"street": CAMERA},
        "watches": {"car": {"prompt": "red car"}},
        **others,
    }


def streamwatch(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Another process with the same state as the daemon in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "streamwatch", *map(str, arguments)],
        env=private_environment(folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


def test_the_second_daemon_leaves_and_the_first_goes_on(
    tmp_path: Path, start_mosquitto: StartMosquitto
) -> None:
    broker = start_mosquitto()
    with (
        Subscriber(broker.port) as subscriber,
        Daemon(tmp_path, settings(broker.port)) as first,
    ):
        first.wait_for_log("first frame")
        state = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("lock/*")}
        second = streamwatch(tmp_path, "run", "-c", first.config)
        assert (second.returncode, second.stdout, second.stderr) == (
            3,
            "",
            f"streamwatch: streamwatch is running already with {first.config}"
            f" (pid {first.process.pid})\n",
        )
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("lock/*")} == state
        events = "streamwatch/events/street/car"
        subscriber.wait_for(
            lambda _: any(event.json["type"] == "end" for event in subscriber.of(events)),
            PATIENCE_SECONDS,
        )
        assert streamwatch(tmp_path, "status", "-c", first.config).returncode == 0
        assert first.terminate() == 0
    news = [event.json for event in subscriber.of(events) if event.json["type"] == "new"]
    starts = [event["started_at"] for event in news]
    assert len(starts) == len(set(starts))
    assert "database is locked" not in first.log


def test_a_killed_daemon_leaves_no_lock(tmp_path: Path, start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto()
    daemon = Daemon(tmp_path, settings(broker.port))
    with daemon:
        daemon.wait_for_log("first frame")
    (tmp_path / "log").unlink()
    with Daemon(tmp_path, settings(broker.port)) as again:
        again.wait_for_log("first frame")
        assert again.terminate() == 0


def test_two_configurations_run_beside_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    with locked(tmp_path / "yard.yaml"), locked(tmp_path / "porch.yaml"):
        pass


def test_a_configuration_is_held_until_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    config = tmp_path / "config.yaml"
    with locked(config):
        lock = state_file("lock", config, ".lock")
        assert lock.read_text() == f"{os.getpid()}\n{config}\n"
        assert lock.stat().st_mode & 0o777 == 0o600
        with pytest.raises(StreamwatchError) as caught, locked(config):
            pass
        assert str(caught.value) == (
            f"streamwatch is running already with {config} (pid {os.getpid()})"
        )
        # The process of the text encoder may outlive the daemon by a moment.
        command = [sys.executable, "-c", f"import os; os.fstat({_descriptor(lock)})"]
        child = subprocess.run(command, close_fds=False, capture_output=True, text=True)
        assert "Bad file descriptor" in child.stderr
    with locked(config):
        pass
    assert lock.exists()


def _descriptor(file: Path) -> int:
    for each in Path("/proc/self/fd").iterdir():
        if each.readlink() == file:
            return int(each.name)
    raise AssertionError(f"{file} is not open")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_a_warning(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    def refuse(_descriptor: int, _how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path / "config.yaml"):
        pass
    assert f"would not be noticed: {state_file('lock', tmp_path / 'config.yaml', '.lock')}: " in (
        caplog.text
    )


@pytest.mark.parametrize("what", ["a file", "a link", "nothing to write to"])
def test_a_state_folder_that_takes_no_lock_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    state, config = tmp_path / "state", tmp_path / "config.yaml"
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    lock, mine = state_file("lock", config, ".lock"), tmp_path / "mine"
    mine.write_text("precious")
    if what == "a file":
        state.write_text("")
    elif what == "a link":
        lock.parent.mkdir(parents=True)
        lock.symlink_to(mine)
    else:
        monkeypatch.setenv("STATE_DIRECTORY", "/proc/streamwatch")
    with locked(config):
        pass
    assert "would not be noticed" in caplog.text
    assert mine.read_text() == "precious"
