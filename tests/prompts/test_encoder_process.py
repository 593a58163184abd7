"""The text encoder's process: kept, replaced, ended; what goes wrong there is one sentence here.

What encodes in it needs no library, so that it starts at once; the last test has a real one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from multiprocessing import Pipe
from pathlib import Path

import psutil
import pytest

import streamwatch
from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.errors import DetectorError
from streamwatch.processes.child import NICENESS
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.prompts.encoders import child, process
from tests.parts.children import is_gone, running
from tests.parts.waiting import wait_until

pytestmark = pytest.mark.slow(seconds=15)

LIGHT = """
import sys
if "streamwatch.prompts.encoders.child" in sys.orig_argv:
    import types

    class Light:
        width, longest = 512, 16

        def __init__(self, folder):
            (folder.parent / "begun").touch()
            weights = (folder / "model.safetensors").read_bytes()
            if weights == b"never read":
                import time
                time.sleep(600)
            if weights != b"light":
                from streamwatch.errors import DetectorError
                raise DetectorError(f"the text encoder in {folder} can't be loaded")

        def lengths(self, prompts):
            return [len(prompt.split()) + 2 for prompt in prompts]

        def encode(self, prompts):
            import numpy as np
            return np.full((len(prompts), 512), 512**-0.5, np.float32)

    encoders = types.ModuleType("streamwatch.prompts.encoders.transformers_text")
    encoders.TEXT_ENCODERS = {"clip": Light}
    sys.modules[encoders.__name__] = encoders
"""
"""A `sitecustomize.py`, which every Python process runs first."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    before, folder = tmp_path / "before", tmp_path / "light"
    before.mkdir()
    (before / "sitecustomize.py").write_text(LIGHT)
    monkeypatch.setenv("PYTHONPATH", str(before), prepend=os.pathsep)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "clip"}))
    (folder / "model.safetensors").write_bytes(b"light")
    return folder


def settings(folder: Path) -> DetectorSettings:
    return DetectorSettings(model="mine.pt", text_encoder=str(folder))


def encoders() -> list[psutil.Process]:
    return running("streamwatch.prompts.encoders.child")


def test_the_process_is_reused_replaced_and_ended_with_its_owner(
    folder: Path, tmp_path: Path
) -> None:
    """It is replaced where it has ended, and where its files are not those that it has read."""
    others = encoders()

    def mine() -> list[psutil.Process]:
        return [child for child in encoders() if child not in others]

    embeddings = Embeddings(settings(folder), tmp_path / "cache")
    embeddings.vectors(["dog"])
    (first,) = mine()
    assert first.nice() >= NICENESS
    embeddings.vectors(["car"])
    assert mine() == [first]
    first.kill()
    wait_until(lambda: not psutil.pid_exists(first.pid))
    embeddings.vectors(["red truck"])
    (second,) = mine()
    os.utime(folder / "config.json")
    embeddings.vectors(["dog"])
    wait_until(lambda: not psutil.pid_exists(second.pid))
    (third,) = mine()
    del embeddings
    wait_until(lambda: not psutil.pid_exists(third.pid))  # not even a zombie


def test_a_process_that_exits_at_a_request_is_replaced(folder: Path, tmp_path: Path) -> None:
    """Its socket is closed, and its process not gone yet."""
    others = encoders()
    embeddings = Embeddings(settings(folder), tmp_path)
    embeddings.vectors(["dog"])
    (mine,) = [child for child in encoders() if child not in others]
    kept = embeddings._process._running
    assert kept is not None
    mine.suspend()
    kept._connection.close()
    kept._connection, theirs = Pipe()
    theirs.close()
    threading.Timer(0.2, mine.resume).start()  # to find that nobody will ask any more
    assert embeddings.vectors(["car"])["car"].shape == (512,)


def test_a_process_that_was_killed_unnoticed_is_replaced(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = encoders()
    embeddings = Embeddings(settings(folder), tmp_path)
    embeddings.vectors(["dog"])
    (mine,) = [child for child in encoders() if child not in others]
    mine.kill()
    kept = embeddings._process._running
    assert kept is not None
    monkeypatch.setattr(kept, "serves", lambda _: True)
    assert embeddings.vectors(["car"])["car"].shape == (512,)
    (second,) = [child for child in encoders() if child not in others]
    assert second != mine


def test_the_process_ends_after_its_idle_timeout(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "KEEP_SECONDS", 0.01)
    mine, theirs = Pipe()
    with mine, theirs:
        child.serve(theirs, lambda: child.load("clip", [str(folder)]))


@pytest.fixture
def hanging(folder: Path) -> Path:
    """An encoder whose weights never come."""
    (folder / "model.safetensors").write_bytes(b"never read")
    return folder


def refused(embeddings: Embeddings, prompts: Sequence[str] = ("dog",)) -> str:
    with pytest.raises(DetectorError) as caught:
        embeddings.vectors(prompts)
    said = str(caught.value)
    assert "\n" not in said
    return said


def test_a_process_that_hangs_is_stopped(
    hanging: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = encoders()
    monkeypatch.setattr(process, "ANSWER_SECONDS", 0.5)
    said = refused(Embeddings(settings(hanging), tmp_path / "cache"))
    assert said == "the text encoder did not answer within 0 s and was stopped"
    assert encoders() == others


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (
            signal.SIGKILL,
            "the text encoder's process was killed; the machine may be short of memory",
        ),
        (signal.SIGSEGV, "the text encoder's process ended by SIGSEGV before it was done"),
    ],
)
def test_a_process_that_dies_is_one_error(
    hanging: Path, tmp_path: Path, number: signal.Signals, said: str
) -> None:
    others = encoders()

    def strike() -> None:
        wait_until(lambda: len(encoders()) > len(others))
        for encoder in encoders():
            if encoder not in others:
                encoder.send_signal(number)

    striker = threading.Thread(target=strike)
    striker.start()
    assert refused(Embeddings(settings(hanging), tmp_path / "cache")) == said
    striker.join()
    assert encoders() == others


def test_a_broken_encoder_is_one_error_and_can_be_repaired(folder: Path, tmp_path: Path) -> None:
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    embeddings = Embeddings(settings(folder), tmp_path / "cache")
    assert refused(embeddings) == f"the text encoder in {folder} can't be loaded"
    weights.write_bytes(whole)
    assert embeddings.vectors(["dog"])["dog"].shape == (512,)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_pipe_in_the_folder_is_an_error(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    said = refused(Embeddings(settings(folder), tmp_path / "cache"))
    assert said.startswith("detector.text_encoder: ")
    assert f"{folder}" in said


def test_a_process_that_can_not_start_is_one_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    said = refused(Embeddings(settings(folder), tmp_path / "cache"))
    assert said == "the text encoder can't be started: No such file or directory"


ASK = """
import sys
from pathlib import Path
from streamwatch.config.sections.whole import DetectorSettings
from streamwatch.prompts.embeddings import Embeddings
settings = DetectorSettings(model="mine.pt", text_encoder=sys.argv[1])
Embeddings(settings, Path(sys.argv[2])).vectors(["dog"])
"""


def test_the_process_is_killed_with_its_parent(hanging: Path, tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", ASK, str(hanging), str(tmp_path / "cache")])
    try:
        wait_until(lambda: bool(psutil.Process(parent.pid).children()))
        (child,) = psutil.Process(parent.pid).children()
        # Past its start, it hangs where it can't notice anything by itself.
        wait_until((tmp_path / "begun").exists)
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: is_gone(child))


UPGRADED = """
import sys
from pathlib import Path
import streamwatch
from streamwatch.config.sections.whole import DetectorSettings
from streamwatch.prompts.embeddings import Embeddings
settings = DetectorSettings(model="mine.pt", text_encoder=sys.argv[1])
embeddings = Embeddings(settings, Path(sys.argv[2]))
for module in Path(sys.argv[3]).rglob("*.py"):
    module.write_text("raise SystemExit('another version')")
print(streamwatch.__file__, *embeddings.vectors(["dog"])["dog"].shape)
"""


def test_the_process_runs_the_code_that_its_parent_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever has become of its files meanwhile, as after a `git pull`."""
    package = tmp_path / "checkout" / "streamwatch"
    unread = shutil.ignore_patterns("__pycache__", "toybox")
    shutil.copytree(Path(streamwatch.__file__).parent, package, ignore=unread)
    monkeypatch.setenv("PYTHONPATH", str(package.parent), prepend=os.pathsep)
    done = subprocess.run(
        # -P: the working folder may be the repository
        [sys.executable, "-P", "-c", UPGRADED, *map(str, (folder, tmp_path / "cache", package))],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.stderr == ""
    assert done.stdout.split() == [f"{package}/__init__.py", "512"]


MEASURE = """
import sys, psutil
from pathlib import Path
from streamwatch.config.sections.whole import DetectorSettings
from streamwatch.prompts.embeddings import Embeddings
embeddings = Embeddings(DetectorSettings(model="toybox"), Path(sys.argv[1]))
process = psutil.Process()
before = process.memory_info().rss
for number in range(5):
    embeddings.vectors([f"thing {number}"])
embeddings.vectors([f"another {number}" for number in range(45)])
grown = process.memory_info().rss - before
(child,) = process.children()
print(grown, child.memory_info().rss, *({"torch", "transformers"} & set(sys.modules)))
"""


def test_the_encoder_takes_no_memory_of_this_process(tmp_path: Path) -> None:
    """MiniLM takes 90 MB, and what runs it several hundred."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr
    grown, of_child, *imported = done.stdout.split()
    assert int(grown) < 30e6
    assert int(of_child) > 200e6
    assert imported == []
