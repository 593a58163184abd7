"""Prompts become vectors in a process of their own, or come from disk; whatever goes wrong there
is one sentence here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.errors import DetectorError
from streamwatch.prompts import embeddings as embeddings_module
from streamwatch.prompts.embeddings import Embeddings, text_of
from streamwatch.prompts.encoders import child, process
from streamwatch.prompts.encoders.process import Encoded, EncoderFiles, EncoderProcess
from streamwatch.records import Vectors
from tests.parts.checkpoints import clip_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP."""
    return clip_folder(tmp_path_factory.mktemp("clip"))


def settings(folder: Path, **keys: Any) -> DetectorSettings:
    return DetectorSettings(model="mine.pt", text_encoder=str(folder), **keys)


@pytest.fixture(scope="module")
def embeddings(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Embeddings:
    """Kept, so that most tests wait for no process to start."""
    return Embeddings(settings(folder), tmp_path_factory.mktemp("cache"))


@pytest.fixture
def nothing_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(*arguments: object) -> None:
        raise AssertionError(f"encoded: {arguments}")

    monkeypatch.setattr(EncoderProcess, "encode", encode)


def reference(folder: Path, *texts: str) -> Vectors:
    return child.load("clip", [folder]).encode(texts)


def encoders() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE
        and "streamwatch.prompts.encoders.child" in child.cmdline()
    ]


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- what comes out ------------------------------------------------------------------------------


def test_new_and_known_prompts_are_equal_to_the_encoder_alone(
    embeddings: Embeddings, folder: Path
) -> None:
    prompts = ["red car", "Dog", "truck"]
    (alone,) = reference(folder, "red car")
    new = embeddings.vectors(prompts)
    known = embeddings.vectors(prompts)
    assert tuple(new) == tuple(known) == tuple(prompts)
    np.testing.assert_allclose(new["red car"], alone, atol=1e-6)
    for prompt in prompts:
        assert new[prompt].shape == (512,)
        assert new[prompt].dtype == np.float32
        assert new[prompt].flags.writeable  # torch complains about others
        np.testing.assert_array_equal(new[prompt], known[prompt])


def test_more_prompts_than_one_request_takes(embeddings: Embeddings, folder: Path) -> None:
    prompts = [f"car {number}" for number in range(process.AT_ONCE * 2 + 3)]
    vectors = embeddings.vectors(prompts)
    np.testing.assert_allclose(
        np.stack(list(vectors.values())), reference(folder, *prompts), atol=1e-6
    )


def test_prompts_that_differ_in_spelling_have_one_vector(
    embeddings: Embeddings, request: pytest.FixtureRequest
) -> None:
    (vector,) = embeddings.vectors(["red truck"]).values()
    request.getfixturevalue("nothing_is_encoded")
    spellings = ["Red  Truck", " red truck", "ｒｅｄ truck", "red tru\u00adck"]  # noqa: RUF001
    again = embeddings.vectors(spellings)
    assert list(again) == spellings
    for spelling in spellings:
        np.testing.assert_array_equal(again[spelling], vector)


def test_a_template_changes_the_encoded_text_only(embeddings: Embeddings, folder: Path) -> None:
    (within,) = reference(folder, "a photo of red car, outdoors")
    found = embeddings.encoded(["Red Car", "{}"], template="a Photo of {}, outdoors")
    assert list(found) == ["Red Car", "{}"]
    np.testing.assert_allclose(found["Red Car"].vector, within, atol=1e-6)
    bare = embeddings.vectors(["Red Car"])["Red Car"]
    assert float(bare @ found["Red Car"].vector) < 0.99


def test_text_of() -> None:
    assert text_of(" Red  Car", "a photo of {}") == "a photo of red car"
    assert text_of("{} {0}", "({})") == "({} {0})"


def test_token_counts_are_returned_and_cached(
    embeddings: Embeddings, request: pytest.FixtureRequest
) -> None:
    long = " ".join(["truck"] * 20)
    embeddings.vectors([long])
    request.getfixturevalue("nothing_is_encoded")
    (one,) = embeddings.encoded([long]).values()
    assert (one.length, one.longest) == (22, 16)


# --- the cache -----------------------------------------------------------------------------------


def test_another_template_encoder_or_content_is_encoded_anew(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def encode(_: EncoderProcess, files: EncoderFiles, texts: Sequence[str]) -> list[Encoded]:
        asked.extend(f"{files.paths[0].name}: {text}" for text in texts)
        return [Encoded(np.zeros(512, np.float32), 3, 77) for _ in texts]

    monkeypatch.setattr(EncoderProcess, "encode", encode)

    def new(encoder: Path, **keys: Any) -> list[str]:
        """What the second of two equal questions does not ask again."""
        asked.clear()
        for _ in range(2):
            Embeddings(settings(encoder, **keys), tmp_path / "cache").vectors(["dog", "Dog"])
        return list(asked)

    other = tmp_path / "other"
    shutil.copytree(folder, other)
    assert new(folder) == [f"{folder.name}: dog"]
    assert new(folder) == []
    assert new(folder, template="a photo of {}") == [f"{folder.name}: a photo of dog"]
    assert new(other) == ["other: dog"]
    assert new(folder) == new(other) == []
    # Weights of the same size, with the time of the old ones.
    weights = other / "model.safetensors"
    content, times = bytearray(weights.read_bytes()), weights.stat()
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert new(other) == ["other: dog"]
    monkeypatch.setattr(embeddings_module, "MADE_BY", 0)
    assert new(other) == ["other: dog"]


def test_changed_files_end_the_running_process(tmp_path: Path) -> None:
    others = encoders()
    folder = clip_folder(tmp_path / "clip")
    embeddings = Embeddings(settings(folder), tmp_path / "cache")
    embeddings.vectors(["dog"])
    (first,) = [child for child in encoders() if child not in others]
    os.utime(folder / "config.json")
    embeddings.vectors(["dog"])
    wait_until(lambda: not psutil.pid_exists(first.pid))


def test_corrupt_cache_files_are_encoded_again(
    embeddings: Embeddings, folder: Path, tmp_path: Path
) -> None:
    (right,) = embeddings.vectors(["corrupt"]).values()
    corrupt = tmp_path / "cache"
    shutil.copytree(embeddings._cache.folder, corrupt)
    for file in corrupt.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    (again,) = Embeddings(settings(folder), corrupt).vectors(["corrupt"]).values()
    np.testing.assert_allclose(again, right, atol=1e-6)


def test_without_a_writable_cache_there_is_one_warning(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    embeddings = Embeddings(settings(folder), tmp_path / "file")
    for prompt in ("dog", "car", "dog"):
        assert embeddings.vectors([prompt])[prompt].shape == (512,)
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "prompts can't be kept in" in record.getMessage()


# --- the process ---------------------------------------------------------------------------------


def test_known_prompts_start_no_process(
    embeddings: Embeddings, folder: Path, request: pytest.FixtureRequest
) -> None:
    embeddings.vectors(["red car"])
    request.getfixturevalue("nothing_is_encoded")
    Embeddings(settings(folder), embeddings._cache.folder).vectors(["red car"])


def test_the_process_is_reused_replaced_and_ended_with_its_owner(
    folder: Path, tmp_path: Path
) -> None:
    others = encoders()

    def mine() -> list[psutil.Process]:
        return [child for child in encoders() if child not in others]

    embeddings = Embeddings(settings(folder), tmp_path)
    embeddings.vectors(["dog"])
    (first,) = mine()
    assert first.nice() >= child.NICENESS
    embeddings.vectors(["car"])
    assert mine() == [first]
    first.kill()
    wait_until(lambda: not psutil.pid_exists(first.pid))
    embeddings.vectors(["red truck"])
    (second,) = mine()
    del embeddings
    wait_until(lambda: not psutil.pid_exists(second.pid))  # not even a zombie


def test_a_process_that_exits_at_a_request_is_replaced(folder: Path, tmp_path: Path) -> None:
    """Its socket is closed, and its process not gone yet."""
    others = encoders()
    embeddings = Embeddings(settings(folder), tmp_path)
    embeddings.vectors(["dog"])
    (mine,) = [child for child in encoders() if child not in others]
    running = embeddings._process._running
    assert running is not None
    mine.suspend()
    running._connection.close()
    running._connection, theirs = Pipe()
    theirs.close()
    threading.Timer(0.2, mine.resume).start()  # to find that nobody will ask any more
    assert embeddings.vectors(["car"])["car"].shape == (512,)


def test_the_process_ends_after_its_idle_timeout(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "KEEP_SECONDS", 0.01)
    mine, theirs = Pipe()
    with mine, theirs:
        child.serve(theirs, "clip", [folder])


@pytest.fixture
def hanging(tmp_path: Path, folder: Path) -> Path:
    """An encoder whose weights never come: a pipe that nobody writes into."""
    copy = tmp_path / "hanging"
    shutil.copytree(folder, copy)
    (copy / "model.safetensors").unlink()
    os.mkfifo(copy / "model.safetensors")
    return copy


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


def test_a_broken_encoder_is_one_error_and_can_be_repaired(tmp_path: Path) -> None:
    folder = clip_folder(tmp_path / "clip")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1000])
    embeddings = Embeddings(settings(folder), tmp_path / "cache")
    assert refused(embeddings).startswith(f"the text encoder in {folder} can't be loaded (")
    weights.write_bytes(whole)
    assert embeddings.vectors(["dog"])["dog"].shape == (512,)


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
        wait_until(lambda: "torch" in Path(f"/proc/{child.pid}/maps").read_text())
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


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
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    grown, of_child, *imported = done.stdout.split()
    assert int(grown) < 30e6
    assert int(of_child) > 200e6
    assert imported == []
