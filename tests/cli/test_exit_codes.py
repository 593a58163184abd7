"""Every way to end, in a real process: 0 clean, 1 a wrong configuration, 2 a wrong command line,
3 anything that failed, and never a traceback."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.parts.daemon import PATIENCE_SECONDS, Daemon, private_environment
from tests.parts.mosquitto import StartMosquitto, Subscriber

pytestmark = pytest.mark.slow(seconds=40)

RUN = (sys.executable, "-m", "streamwatch", "run", "-c")
BROKEN_AT: dict[str, str] = {
    "its main thread": "import streamwatch.daemon.supervision as m; m.Supervision.run = broken",
    "a thread of it": "import streamwatch.scheduler.batches as m; m.Scheduler.next_batch = broken",
    "its start": "import streamwatch.pipeline.pipeline as m; m.Pipeline.__init__ = broken",
}
"""Where an error arises that nobody has foreseen, and what puts it there."""
BROKEN_CHECK = "import streamwatch.config as m; m.load = broken"


def settings(**others: Any) -> dict[str, Any]:
    return {
        "mqtt": {"embedded": True, "port": 0},
        "detector": {"model": "toybox"},
        "cameras": {"street": {"url": "bundled:street", "loop": True}},
        "watches": {"car": {"prompt": "red car"}},
        **others,
    }


@contextmanager
def started(folder: Path, command: Sequence[object]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [str(part) for part in command],
        env=private_environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def written(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def breaking(patch: str, *arguments: object, says: str = "strange") -> list[object]:
    """The command with these arguments, in a program in which `patch` has made something raise."""
    program = (
        f"def broken(*_, **__): raise ValueError({says!r})\n"
        f"{patch}\n"
        "from streamwatch.__main__ import main; main()"
    )
    return [sys.executable, "-c", program, *arguments]


def output_of(process: subprocess.Popen[str]) -> str:
    """What it printed, once it has ended."""
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return output


def handles(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for this signal."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def wait_for_a_handler(process: subprocess.Popen[str], pid: int, number: signal.Signals) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not handles(pid, number):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_is_being_imported_ends_it_cleanly(
    tmp_path: Path, number: signal.Signals
) -> None:
    with started(tmp_path, [*RUN, written(tmp_path, settings())]) as process:
        wait_for_a_handler(process, process.pid, signal.SIGTERM)
        process.send_signal(number)
        output = output_of(process)
    assert (process.returncode, output) == (0, "")


def test_ctrl_c_while_another_command_is_being_imported_leaves_no_traceback(
    tmp_path: Path,
) -> None:
    patch = (
        "import sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())"
    )
    with started(tmp_path, breaking(patch, "check")) as process:
        output = output_of(process)
    assert (process.returncode, output) == (130, "")


def test_as_the_first_process_of_a_container_too(tmp_path: Path) -> None:
    """The kernel ignores signals to process 1 that it has no handler for."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "--pid", "--fork", "true"]).returncode:
        pytest.skip("unshare --pid is missing or not allowed here")
    command = [unshare, "--pid", "--fork", *RUN, written(tmp_path, settings())]
    with started(tmp_path, command) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not (child := children.read_text().split()):
            time.sleep(0.001)
        wait_for_a_handler(process, int(child[0]), signal.SIGTERM)
        os.kill(int(child[0]), signal.SIGTERM)
        output = output_of(process)
    assert (process.returncode, output) == (0, "")


def test_a_reload_asked_for_while_it_is_being_imported_does_not_end_it(tmp_path: Path) -> None:
    with started(tmp_path, [*RUN, written(tmp_path, settings())]) as process:
        wait_for_a_handler(process, process.pid, signal.SIGTERM)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0


def test_a_stop_and_the_end_of_all_files_are_clean(tmp_path: Path) -> None:
    with Daemon(tmp_path / "stopped", settings()) as daemon:
        daemon.wait_for_log("first frame")
        assert daemon.terminate() == 0
    street = {"url": "bundled:street", "pace": False, "fps": 1}
    with Daemon(tmp_path / "ended", settings(cameras={"street": street})) as daemon:
        assert daemon.wait() == 0


def test_a_second_daemon_with_the_same_configuration_exits_3(tmp_path: Path) -> None:
    with Daemon(tmp_path, settings()) as daemon:
        daemon.wait_for_log("first frame")
        with started(tmp_path, [*RUN, daemon.config]) as second:
            output, _ = second.communicate(timeout=PATIENCE_SECONDS)
        said = f"running already with {daemon.config} (pid {daemon.process.pid})"
        assert (second.returncode, output) == (3, f"streamwatch: streamwatch is {said}\n")
        assert daemon.terminate() == 0


def test_the_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with Daemon(tmp_path, settings()) as daemon:
        daemon.wait_for_log("first frame")
        daemon.process.send_signal(signal.SIGTERM)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.wait() in (0, 128 + signal.SIGTERM)  # 0 where it was done before the second


def test_a_wrong_configuration_and_a_wrong_command_line(tmp_path: Path) -> None:
    for arguments, code in (
        (["-c", written(tmp_path, settings(camera={}))], 1),
        (["-c", tmp_path / "absent.yaml"], 1),
        (["--fast"], 2),
    ):
        with started(tmp_path, [*RUN[:-1], *arguments]) as process:
            output = output_of(process)
        assert process.returncode == code
        assert "Traceback" not in output


@pytest.mark.parametrize("where", BROKEN_AT)
def test_what_nobody_has_foreseen_exits_3_with_one_sentence(
    tmp_path: Path, start_mosquitto: StartMosquitto, where: str
) -> None:
    broker = start_mosquitto()
    mqtt = {"host": broker.host, "port": broker.port}
    config = written(tmp_path, settings(mqtt=mqtt))
    command = breaking(BROKEN_AT[where], "run", "-c", config, says="strange\nand long")
    with Subscriber(broker.port) as subscriber:
        with started(tmp_path, command) as process:
            output = output_of(process)
        assert process.returncode == 3, output
        assert "Traceback" not in output
        last = output.splitlines()[-1]
        assert last.startswith("streamwatch: ")
        assert last.endswith("ValueError: strange")
        subscriber.wait_for(lambda _: subscriber.of("streamwatch/errors"))
    (report,) = [message.json for message in subscriber.of("streamwatch/errors")]
    assert report["message"].endswith("ValueError: strange")


def test_at_level_debug_the_log_has_the_traceback(tmp_path: Path) -> None:
    config = written(tmp_path, settings(log={"level": "debug"}))
    with started(tmp_path, breaking(BROKEN_AT["its main thread"], "run", "-c", config)) as process:
        output = output_of(process)
    assert process.returncode == 3
    assert "Traceback (most recent call last):" in output


def test_a_failure_of_another_command_exits_3_too(tmp_path: Path) -> None:
    command = breaking(BROKEN_CHECK, "check", "-c", written(tmp_path, settings()))
    with started(tmp_path, command) as process:
        output = output_of(process)
    assert (process.returncode, output) == (
        3,
        "streamwatch: failed unexpectedly: ValueError: strange\n",
    )


def test_what_nobody_has_foreseen_shows_no_password(tmp_path: Path) -> None:
    says = "at rtsp://me:hunter2@cam/?pin=4711"
    command = breaking(BROKEN_CHECK, "check", "-c", written(tmp_path, settings()), says=says)
    with started(tmp_path, command) as process:
        output = output_of(process)
    assert output == (
        "streamwatch: failed unexpectedly: ValueError: at rtsp://me:***@cam/?pin=***\n"
    )
