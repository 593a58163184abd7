"""Checkpoints are converted once, in a process of their own; what goes wrong there is one sentence.

Where what is tested needs no library, the process has none, so that it starts at once.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import ClassVar

import numpy as np
import psutil
import pytest
import torch

from streamwatch.detector.compiled import conversion
from streamwatch.detector.compiled.conversion import Job, convert
from streamwatch.detector.compiled.graph_file import ConvertedGraph, GraphFolder
from streamwatch.errors import DetectorError
from streamwatch.processes.parent import ChildProcess
from tests.parts import TOYBOX
from tests.parts.checkpoints import world_checkpoint
from tests.parts.children import is_gone, running
from tests.parts.waiting import wait_until

pytestmark = pytest.mark.slow(seconds=20)

MODULE = "streamwatch.detector.compiled.child"
CHECKPOINT = TOYBOX / "toybox-n-world.pt"
STEPS = ["reading", "converting", "measuring"]


class Counted(ChildProcess):
    """Each process that is started is counted."""

    started: ClassVar[list[int]] = []

    def __init__(self, noun: str, module: str, arguments: Sequence[str]) -> None:
        super().__init__(noun, module, arguments)
        self.started.append(self.pid)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the processes that the test starts."""
    ids: list[int] = []
    monkeypatch.setattr(Counted, "started", ids)
    monkeypatch.setattr(conversion, "ChildProcess", Counted)
    return ids


# --- converting once ------------------------------------------------------------------------------


@dataclass
class Twice:
    """Two conversions of one job that were begun at once."""

    job: Job
    folder: GraphFolder
    temporary: Path
    graphs: list[ConvertedGraph] = field(default_factory=list)
    steps: list[list[str]] = field(default_factory=list)
    processes: list[int] = field(default_factory=list)


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Twice:
    folder = tmp_path_factory.mktemp("twice")
    job = Job(str(shutil.copy(CHECKPOINT, folder)), "world", 64, 96)
    made = Twice(job, GraphFolder(folder / "compiled"), folder / "temporary", steps=[[], []])
    made.temporary.mkdir()
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setenv("TMPDIR", str(made.temporary))
        patch.setattr(Counted, "started", made.processes)
        patch.setattr(conversion, "ChildProcess", Counted)
        made.graphs += pool.map(lambda steps: convert(job, made.folder, steps.append), made.steps)
    return made


def test_two_conversions_at_once_make_one_graph(twice: Twice) -> None:
    one, other = twice.graphs
    assert one.xml == other.xml
    assert np.array_equal(one.weights, other.weights)
    assert len(twice.processes) == 1
    assert len(list(twice.folder.folder.iterdir())) == 1


def test_the_steps_are_told_in_their_order_to_who_converts(twice: Twice) -> None:
    assert sorted(twice.steps) == [[], STEPS]


def test_no_process_and_no_temporary_file_stays(twice: Twice) -> None:
    assert not any(map(psutil.pid_exists, twice.processes))
    assert not list(twice.temporary.iterdir())


def test_a_graph_that_was_made_is_found_and_no_process_started(
    twice: Twice, started: list[int]
) -> None:
    graph = convert(twice.job, twice.folder)
    assert graph.xml == twice.graphs[0].xml
    assert np.array_equal(graph.weights, twice.graphs[0].weights)
    assert started == []


def test_a_graph_that_can_not_be_kept_is_given_all_the_same(
    twice: Twice,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(conversion, "_converted", lambda *_: twice.graphs[0])
    (tmp_path / "file").touch()
    assert convert(twice.job, GraphFolder(tmp_path / "file" / "compiled")) is twice.graphs[0]
    (record,) = caplog.records
    assert "the compiled detector can't be kept in" in record.getMessage()


# --- the key --------------------------------------------------------------------------------------


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "mine.pt").write_bytes(b"weights")
    return Job(str(tmp_path / "mine.pt"), "world", 64, 96)


def test_the_key_is_of_the_content_and_not_of_the_file(job: Job, tmp_path: Path) -> None:
    before = job.key
    os.utime(job.checkpoint, (0, 0))
    assert job.key == before
    moved = shutil.move(job.checkpoint, tmp_path / "moved.pt")
    assert replace(job, checkpoint=str(moved)).key == before
    Path(job.checkpoint).write_bytes(b"Weights")
    assert job.key != before


def test_the_key_changes_with_all_that_the_graph_depends_on(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {job.key}
    for other in (
        replace(job, network="yoloe-11"),
        replace(job, network="yoloe-26"),
        replace(job, height=96),
        replace(job, width=64),
        replace(job, height=96, width=64),
    ):
        keys.add(other.key)
    with monkeypatch.context() as patch:
        patch.setattr(conversion, "FORMAT", conversion.FORMAT + 1)
        keys.add(job.key)
    with monkeypatch.context() as patch:
        patch.setattr(conversion, "cpu_name", lambda: "another")
        keys.add(job.key)
    for library in conversion.LIBRARIES:
        with monkeypatch.context() as patch:

            def newer(name: str, changed: str = library) -> str:
                return "9.9" if name == changed else version(name)

            patch.setattr(conversion, "version", newer)
            keys.add(job.key)
    assert {"openvino", "torch", "ultralytics"} <= set(conversion.LIBRARIES)
    assert len(keys) == 1 + 5 + 2 + len(conversion.LIBRARIES)


# --- what can't be converted ----------------------------------------------------------------------


def refused(job: Job, folder: Path) -> str:
    with pytest.raises(DetectorError) as caught:
        convert(job, GraphFolder(folder))
    said = str(caught.value)
    assert "\n" not in said
    assert "Traceback" not in said
    assert not list(folder.iterdir())
    return said


class InThisProcess:
    """Converts in a thread, since PyTorch takes seconds to import."""

    def __init__(self, noun: str, module: str, arguments: Sequence[str]) -> None:
        from streamwatch.detector.compiled import child

        self._mine, theirs = Pipe()

        def serve(connection: Connection = theirs) -> None:
            with connection:
                child.main(connection, arguments)

        self._thread = threading.Thread(target=serve)
        self._thread.start()

    def receive(self, timeout_seconds: float) -> bytes:
        assert self._mine.poll(timeout_seconds)
        return self._mine.recv_bytes()

    def kill(self) -> None:
        self._thread.join()
        self._mine.close()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(conversion, "ChildProcess", InThisProcess)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers  # OpenVINO's converter sets up the logging of its process
    root.setLevel(level)


@pytest.mark.usefixtures("here")
def test_a_broken_checkpoint(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pt"
    broken.write_bytes(CHECKPOINT.read_bytes()[:1000])
    said = refused(Job(str(broken), "world", 64, 96), tmp_path / "compiled")
    assert said.startswith(f"the checkpoint {broken} can't be loaded (")


@pytest.mark.usefixtures("here")
def test_a_checkpoint_of_another_kind(tmp_path: Path) -> None:
    said = refused(Job(str(CHECKPOINT), "yoloe-11", 64, 96), tmp_path / "compiled")
    assert said == (
        f"the checkpoint {CHECKPOINT} is no YOLOE model, and the text encoder mobileclip is for "
        "those"
    )


@pytest.mark.usefixtures("here")
def test_a_checkpoint_with_another_vector_width(tmp_path: Path) -> None:
    from ultralytics.nn.modules import C2fAttn

    wide = world_checkpoint("yolov8s-worldv2", tmp_path / "wide.pt")
    content = torch.load(wide, weights_only=False)
    for module in content["model"].modules():
        if isinstance(module, C2fAttn):
            module.attn.gl = torch.nn.Linear(768, module.attn.gl.out_features)
    torch.save(content, wide)
    said = refused(Job(str(wide), "world", 64, 96), tmp_path / "compiled")
    assert said.startswith("it can't be converted (")
    assert said.endswith(")")


def test_a_checkpoint_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone.pt"
    said = refused(Job(str(gone), "world", 64, 96), tmp_path / "compiled")
    assert said == f"the checkpoint {gone} can't be read: No such file or directory"


# --- what becomes of the process ------------------------------------------------------------------

LIGHT = """
import sys
if "streamwatch.detector.compiled.child" in sys.orig_argv:
    import types
    from unittest.mock import MagicMock

    def hang(checkpoint):
        (checkpoint.parent / "begun").touch()
        import time
        time.sleep(600)

    kinds = types.ModuleType("streamwatch.detector.networks.kinds")
    kinds.GRAPHS = {"world": hang}
    sys.modules.update({kinds.__name__: kinds, "openvino": MagicMock(), "torch": MagicMock()})
"""
"""A `sitecustomize.py`, which every Python process runs first: reading never ends."""

WITHOUT_OPENVINO = """
import sys
if "streamwatch.detector.compiled.child" in sys.orig_argv:
    sys.modules["openvino"] = None
"""


def customize(site: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = folder / "before"
    before.mkdir()
    (before / "sitecustomize.py").write_text(site)
    monkeypatch.setenv("PYTHONPATH", str(before), prepend=os.pathsep)


@pytest.fixture
def hanging(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    customize(LIGHT, tmp_path, monkeypatch)
    return job


def test_a_process_that_hangs_is_stopped(
    hanging: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[int]
) -> None:
    monkeypatch.setattr(conversion, "STEP_SECONDS", 3.0)
    said = refused(hanging, tmp_path / "compiled")
    assert said == "the converter did not answer within 3 s and was stopped"
    (pid,) = started
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (
            signal.SIGKILL,
            "the converter's process was killed; the machine may be short of memory",
        ),
        (signal.SIGSEGV, "the converter's process ended by SIGSEGV before it was done"),
    ],
)
def test_a_process_that_dies_is_one_error(
    hanging: Job, tmp_path: Path, started: list[int], number: signal.Signals, said: str
) -> None:
    def strike() -> None:
        wait_until((tmp_path / "begun").exists)
        os.kill(started[0], number)

    striker = threading.Thread(target=strike)
    striker.start()
    assert refused(hanging, tmp_path / "compiled") == said
    striker.join()
    assert not psutil.pid_exists(started[0])


def test_a_process_without_openvino_is_one_error(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[int]
) -> None:
    customize(WITHOUT_OPENVINO, tmp_path, monkeypatch)
    said = refused(job, tmp_path / "compiled")
    assert said == "it can't be converted (import of openvino halted; None in sys.modules)"
    assert not psutil.pid_exists(started[0])


def test_a_process_that_can_not_start_is_one_error(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    said = refused(job, tmp_path / "compiled")
    assert said == "the converter can't be started: No such file or directory"


def test_after_a_failure_the_next_conversion_is_not_kept_waiting(
    hanging: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder's lock is free again."""
    monkeypatch.setattr(conversion, "STEP_SECONDS", 0.1)
    for _ in range(2):
        refused(hanging, tmp_path / "compiled")
    assert running(MODULE) == []


ASK = """
import json, sys
from pathlib import Path
from streamwatch.detector.compiled.conversion import Job, convert
from streamwatch.detector.compiled.graph_file import GraphFolder
convert(Job(**json.loads(sys.argv[1])), GraphFolder(Path(sys.argv[2])))
"""


def test_the_process_is_killed_with_its_parent(hanging: Job, tmp_path: Path) -> None:
    arguments = {"checkpoint": hanging.checkpoint, "network": "world", "height": 64, "width": 96}
    parent = subprocess.Popen(
        [sys.executable, "-c", ASK, json.dumps(arguments), str(tmp_path / "compiled")]
    )
    try:
        # Past its start, it hangs where it can't notice anything by itself.
        wait_until((tmp_path / "begun").exists)
        (child,) = psutil.Process(parent.pid).children()
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: is_gone(child))
