"""The image tower's process, a real one: asked, killed, stopped, restarted, ended."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from streamwatch.config import DetectorSettings
from streamwatch.errors import DetectorError
from streamwatch.models.provision import image_tower
from streamwatch.processes import parent
from streamwatch.processes.child import NICENESS
from streamwatch.records import Image
from streamwatch.second_look import process as tower_process
from streamwatch.second_look.process import TowerProcess
from streamwatch.second_look.towers import Glance
from tests.parts.children import is_gone, running
from tests.parts.waiting import wait_until

pytestmark = pytest.mark.slow(seconds=60)

KILLED = "the image tower's process was killed; the machine may be short of memory"


class Clock:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def tower_file() -> Path:
    return image_tower(DetectorSettings(model="toybox"))[1]


@pytest.fixture
def tower(clock: Clock) -> Iterator[TowerProcess]:
    process = TowerProcess("glance", tower_file(), clock)
    yield process
    process.stop()


@pytest.fixture
def unstartable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No process starts until this is undone."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    return monkeypatch


def crop(side: int = 64) -> Image:
    return np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)


def refused(tower: TowerProcess) -> str:
    with pytest.raises(DetectorError) as caught:
        tower.encode(crop())
    said = str(caught.value)
    assert "\n" not in said
    return said


def process_of(tower: TowerProcess) -> psutil.Process:
    assert tower.pid is not None
    return psutil.Process(tower.pid)


def test_it_gives_the_vectors_of_the_tower_at_a_low_priority_on_one_core(
    tower: TowerProcess,
) -> None:
    assert tower.pid is None
    tower.start()
    process = process_of(tower)
    assert process.nice() == psutil.Process().nice() + NICENESS
    assert process.environ()["OMP_NUM_THREADS"] == "1"
    (expected,) = Glance(tower_file()).encode(crop()[None])
    vector, scale = tower.encode(crop())
    assert scale == 60.0
    assert vector.shape == (384,)
    assert np.abs(vector - expected).max() < 1e-5
    for shape in ((1, 1, 3), (7, 300, 3), (1080, 1920, 3)):
        other, _ = tower.encode(np.full(shape, 128, np.uint8))
        assert np.linalg.norm(other) == pytest.approx(1, abs=1e-5)
    assert process_of(tower) == process  # all this time
    tower.stop()
    wait_until(lambda: not psutil.pid_exists(process.pid))  # not even a zombie
    tower.stop()


def test_one_that_was_killed_while_nobody_asked_it_is_replaced(tower: TowerProcess) -> None:
    before, _ = tower.encode(crop())
    first = process_of(tower)
    first.kill()
    wait_until(lambda: is_gone(first))
    after, _ = tower.encode(crop())
    assert np.array_equal(before, after)
    assert process_of(tower) != first


def test_it_outlives_the_thread_that_started_it(tower: TowerProcess) -> None:
    thread = threading.Thread(target=tower.start)
    thread.start()
    thread.join()
    wait_until(lambda: not Path(f"/proc/self/task/{thread.native_id}").exists())
    started = process_of(tower)
    tower.encode(crop())
    assert process_of(tower) == started


def test_one_that_is_killed_while_asked_fails_once_and_then_is_replaced(
    tower: TowerProcess, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower.encode(crop())
    first, asked = process_of(tower), tower._running
    assert asked is not None
    first.suspend()
    send = asked.send

    def send_and_kill(message: bytes) -> None:
        send(message)
        first.send_signal(signal.SIGKILL)

    monkeypatch.setattr(asked, "send", send_and_kill)
    assert refused(tower) == KILLED
    assert tower.pid is None
    wait_until(lambda: not psutil.pid_exists(first.pid))
    assert refused(tower) == KILLED  # in the pause
    assert tower.pid is None
    clock.seconds += 1
    tower.encode(crop())
    assert process_of(tower) != first


def test_one_that_hangs_is_killed(
    tower: TowerProcess, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower.encode(crop())
    first = process_of(tower)
    first.suspend()
    monkeypatch.setattr(tower_process, "ANSWER_SECONDS", 0.5)
    assert refused(tower) == "the image tower did not answer within 0 s and was stopped"
    assert tower.pid is None
    wait_until(lambda: not psutil.pid_exists(first.pid))
    monkeypatch.undo()
    clock.seconds += 1
    tower.encode(crop())


def test_one_that_hangs_does_not_hold_up_a_request_larger_than_its_socket_takes(
    tower: TowerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a crop for a CLIP that takes 336 pixels."""
    monkeypatch.setattr(parent, "SEND_SECONDS", 0.5)
    tower.start()
    process_of(tower).suspend()
    assert tower._running is not None
    tower._running._size = 1000
    assert refused(tower) == "the image tower took no request within 0 s and was stopped"
    assert tower.pid is None


def test_a_failure_within_the_process_is_one_sentence(tower: TowerProcess) -> None:
    tower.start()
    assert tower._running is not None
    tower._running._size = 3  # not what it takes
    said = refused(tower)
    assert said.startswith("the image tower failed (cannot reshape array of size 27 into shape (")
    assert tower.pid is None


@pytest.mark.parametrize("broken", ["missing", "cut off"])
def test_a_broken_file_is_one_sentence_and_can_be_repaired(
    tmp_path: Path, clock: Clock, broken: str
) -> None:
    file = tmp_path / "glance.safetensors"
    whole = tower_file().read_bytes()
    if broken == "cut off":
        file.write_bytes(whole[:-1])
    tower = TowerProcess("glance", file, clock)
    try:
        assert refused(tower).startswith(f"the image tower {file} can't be loaded (")
        assert tower.pid is None
        file.write_bytes(whole)
        clock.seconds += 1
        tower.encode(crop())
    finally:
        tower.stop()


def test_pauses_between_restarts_double_until_it_answers(
    tower: TowerProcess, clock: Clock, unstartable: pytest.MonkeyPatch
) -> None:
    said = "the image tower can't be started: No such file or directory"
    assert refused(tower) == said
    for pause_seconds in (1, 2, 4, 8, 16, 32, 60, 60):
        clock.seconds += pause_seconds - 0.01
        with unstartable.context() as startable:  # it isn't even tried
            startable.setattr(sys, "executable", "/bin/false")
            assert refused(tower) == said
        clock.seconds += 0.01
        assert refused(tower) == said
    clock.seconds += 60
    unstartable.undo()
    tower.encode(crop())
    process_of(tower).kill()
    wait_until(lambda: tower._running is not None and not tower._running.runs)
    unstartable.setattr(sys, "executable", "/nonexistent/python")
    assert refused(tower) == said
    clock.seconds += 1
    unstartable.undo()
    tower.encode(crop())


def test_a_process_that_starts_and_fails_each_time_is_paused_longer_each_time(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start alone is no success."""
    tower = TowerProcess("glance", tmp_path, clock)

    class Failing:
        runs, scale, pid = True, 60.0, 0

        def __init__(self, *_: object) -> None:
            started.append(clock.seconds)

        def encode(self, crop: Image) -> None:
            raise DetectorError(f"no vector of {crop.shape[0]} px")

        def kill(self) -> None:
            pass

    started: list[float] = []
    monkeypatch.setattr(tower_process, "_Running", Failing)
    for _ in range(10 * 16):
        assert refused(tower) == "no vector of 64 px"
        clock.seconds += 0.1
    assert [round(at - 1000) for at in started] == [0, 1, 3, 7, 15]


ASK = """
import sys
from pathlib import Path
from streamwatch.second_look.process import TowerProcess
tower = TowerProcess("glance", Path(sys.argv[1]))
tower.start()
print(tower.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("busy", [False, True])
def test_it_ends_with_its_parent(busy: bool) -> None:
    """Even where it can't notice that its socket is closed."""
    asking = subprocess.Popen(
        [sys.executable, "-c", ASK, str(tower_file())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with asking:
        try:
            assert asking.stdout is not None
            child = psutil.Process(int(asking.stdout.readline()))
            if busy:
                child.suspend()
        finally:
            asking.kill()
    wait_until(lambda: is_gone(child))


def test_no_test_has_left_a_process() -> None:
    assert running("streamwatch.second_look.child") == []
