"""Torch serves until the compiled network is ready, and goes on where that can't be made."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from streamwatch.config import DetectorSettings
from streamwatch.detector import loading
from streamwatch.detector.compiled import conversion
from streamwatch.detector.compiled.conversion import convert, default_folder
from streamwatch.detector.compiled.graph_file import ConvertedGraph, GraphFolder
from streamwatch.detector.compiled.network import SEEN, SHAPES, OpenVinoNetwork
from streamwatch.detector.compiled.samples import Sample
from streamwatch.detector.compiled.upgrading import Upgrade, UpgradingNetwork
from streamwatch.detector.loading import job_for, load_detector
from streamwatch.detector.networks.graph import Graph
from streamwatch.detector.networks.kinds import GRAPHS
from streamwatch.detector.networks.torch_network import TorchNetwork
from streamwatch.detector.protocol import Running, View
from streamwatch.errors import DetectorError, UnavailableSetting
from streamwatch.models.provision import choose, found
from streamwatch.pixels import Pixels
from streamwatch.records import Vectors, Vocabulary
from tests.parts.compiled import compile_toybox
from tests.parts.waiting import wait_until

pytestmark = pytest.mark.slow(seconds=15)

TOYBOX = DetectorSettings(model="toybox", device="cpu")


class Fake:
    """A network that tells in its result which it is. Fails if two threads call it at once."""

    def __init__(self, number: int, running: Running) -> None:
        self.number = number
        self.running = running
        self.prepared: list[tuple[int, int]] = []
        self._alone = threading.Lock()

    def prepare(self, shapes: Iterable[tuple[int, int]]) -> None:
        self.prepared.extend(shapes)

    def forward(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32]:
        assert self._alone.acquire(blocking=False)
        try:
            return np.full((len(images), 5, 1), self.number, np.float32)
        finally:
            self._alone.release()


class Exchange:
    """An `UpgradingNetwork` of two fakes; the compiled one is made when `may` is set."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.may, self.changed = threading.Event(), threading.Semaphore(0)
        self.changes = 0
        self.first = Fake(1, Running("cpu", "torch", "full"))
        self.compiled = Fake(2, Running("cpu", "openvino", "half"))
        self._problem = problem
        self.network = UpgradingNetwork(
            self.first,
            [
                Upgrade(
                    self._convert,
                    cast("Callable[[ConvertedGraph], OpenVinoNetwork]", lambda _: self.compiled),
                    "the detector is not compiled, torch goes on",
                )
            ],
            self._on_change,
        )

    def _convert(self, _: Sequence[Sample]) -> ConvertedGraph:
        assert self.may.wait(60)
        if self._problem is not None:
            raise self._problem
        return ConvertedGraph(b"", np.zeros(0, np.uint8), "f32", None)

    def _on_change(self) -> None:
        self.changes += 1
        self.changed.release()

    def finish(self) -> None:
        self.may.set()
        assert self.changed.acquire(timeout=60)

    def forward(self, height: int = 64, width: int = 96) -> float:
        images = np.zeros((1, height, width, 3), np.uint8)
        return float(self.network.forward(images, np.zeros((1, 3, 512), np.float32))[0, 0, 0])


def test_the_first_serves_until_the_other_is_ready(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    upgrade = Exchange()
    assert [upgrade.forward() for _ in range(3)] == [1, 1, 1]
    assert upgrade.network.running == Running("cpu", "torch", "full")
    upgrade.finish()
    assert [upgrade.forward() for _ in range(3)] == [2, 2, 2]
    assert upgrade.network.running == Running("cpu", "openvino", "half")
    assert upgrade.changes == 1
    assert [record.getMessage() for record in caplog.records] == [
        "the detector is compiled and runs in precision half"
    ]


def test_what_came_often_is_prepared_before_the_exchange() -> None:
    upgrade = Exchange()
    for _ in range(SEEN):
        upgrade.forward(64, 96)
        upgrade.forward(96, 64)
    upgrade.forward(32, 32)  # a single look at something
    upgrade.finish()
    assert sorted(upgrade.compiled.prepared) == [(64, 96), (96, 64)]


def test_no_more_is_prepared_than_would_be_kept() -> None:
    """The shapes that came most, of those of many crops."""
    upgrade = Exchange()
    for number in range(1, SHAPES + 4):
        for _ in range(SEEN + number):
            upgrade.forward(32 * number, 32)
    upgrade.finish()
    assert sorted(upgrade.compiled.prepared) == [(32 * n, 32) for n in range(4, SHAPES + 4)]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DetectorError("the converter's process was killed"), "the converter's process was killed"),
        (RuntimeError("no memory\nat 0x7f"), "RuntimeError: no memory"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_a_failure_is_told_once_and_the_first_goes_on(
    error: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade = Exchange(error)
    upgrade.finish()
    problem = f"the detector is not compiled, torch goes on: {said}"
    assert [upgrade.forward() for _ in range(3)] == [1, 1, 1]
    assert upgrade.network.running == Running("cpu", "torch", "full", problem)
    assert upgrade.changes == 1
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.WARNING, problem)


def test_a_failure_to_prepare_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade = Exchange()

    def fail(shapes: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(upgrade.compiled, "prepare", fail)
    upgrade.finish()
    assert upgrade.forward() == 1
    assert upgrade.network.running.problem is not None


# --- with the bundled checkpoint ------------------------------------------------------------------


@pytest.fixture(scope="module")
def graph() -> ConvertedGraph:
    choice = choose(TOYBOX)
    job = job_for(choice, found(choice.checkpoint))
    compile_toybox(default_folder().folder)  # found where another test has made it
    return convert(job, default_folder())


@pytest.fixture
def empty(graph: ConvertedGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GraphFolder:
    """The folder of graphs, an empty one."""
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path))
    return default_folder()


@pytest.fixture
def conversions(graph: ConvertedGraph, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The checkpoints that are converted; that takes no time."""
    seen: list[str] = []

    def converted(job: conversion.Job, *_: object) -> ConvertedGraph:
        seen.append(job.checkpoint)
        return graph

    monkeypatch.setattr(conversion, "_converted", converted)
    return seen


@pytest.fixture
def torch_graphs(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Graph]]:
    """Each graph that is built for torch."""
    seen: list[weakref.ref[Graph]] = []
    world = GRAPHS["world"]

    def build(checkpoint: Path) -> Graph:
        made = world(checkpoint)
        seen.append(weakref.ref(made))
        return made

    monkeypatch.setitem(GRAPHS, "world", build)
    return seen


VIEW = View(
    Pixels(np.random.default_rng(1).integers(0, 255, (90, 160, 3), np.uint8)),
    Vocabulary(("thing",), np.eye(1, 512, dtype=np.float32)),
    0.01,
)


def wait_until_freed(graphs: list[weakref.ref[Graph]]) -> None:
    """`gc.collect` does nothing while another thread collects."""

    def freed() -> bool:
        gc.collect()
        return [each() for each in graphs] == [None]

    wait_until(freed)


def test_no_batch_fails_or_is_left_out_while_it_is_exchanged(
    graph: ConvertedGraph, torch_graphs: list[weakref.ref[Graph]]
) -> None:
    may, changed, ended = threading.Event(), threading.Event(), threading.Event()
    choice = choose(TOYBOX)
    first = TorchNetwork(GRAPHS["world"](found(choice.checkpoint)), "cpu")

    def converted(_: Sequence[Sample]) -> ConvertedGraph:
        assert may.wait(60)
        return graph

    def compiled(graph: ConvertedGraph) -> OpenVinoNetwork:
        return OpenVinoNetwork(graph, "f32", "full")

    network = UpgradingNetwork(first, [Upgrade(converted, compiled, "")], changed.set)
    image = VIEW.picture.bgr()[None, :64, :96].copy()
    texts = np.eye(3, 512, dtype=np.float32)[None]
    expected = first.forward(image, texts)
    del first
    backends: list[str] = []
    wrong: list[object] = []

    def use() -> None:
        try:
            while not ended.is_set():
                before = network.running.backend
                result = network.forward(image, texts)
                if not np.allclose(result, expected, atol=0.05):
                    wrong.append(result)
                backends.append(before)
        except Exception as error:
            wrong.append(error)

    user = threading.Thread(target=use)
    user.start()
    wait_until(lambda: len(backends) > SEEN)
    may.set()
    assert changed.wait(60)
    exchanged = len(backends)
    wait_until(lambda: len(backends) > exchanged + 3)
    ended.set()
    user.join()
    assert not wrong
    assert backends == sorted(backends, reverse=True)  # torch, and then openvino only
    assert set(backends) == {"torch", "openvino"}
    wait_until_freed(torch_graphs)


@pytest.mark.usefixtures("empty")
def test_a_detector_begins_with_torch_and_is_exchanged(
    conversions: list[str], torch_graphs: list[weakref.ref[Graph]]
) -> None:
    changed = threading.Semaphore(0)
    detector = load_detector(TOYBOX, changed.release)
    assert len(detector.detect([VIEW])) == 1
    assert changed.acquire(timeout=60)
    assert detector.running.backend == "openvino"
    assert detector.running.problem is None
    assert len(detector.detect([VIEW])) == 1
    assert not changed.acquire(blocking=False)
    assert len(conversions) == 1
    wait_until_freed(torch_graphs)


def test_what_was_converted_earlier_needs_no_torch(
    empty: GraphFolder, conversions: list[str], torch_graphs: list[weakref.ref[Graph]]
) -> None:
    compile_toybox(empty.folder)
    detector = load_detector(TOYBOX)
    assert detector.running.backend == "openvino"
    assert len(detector.detect([VIEW])) == 1
    assert len(conversions) == 1
    assert torch_graphs == []


def test_a_spoiled_file_is_converted_anew(
    empty: GraphFolder, conversions: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    compile_toybox(empty.folder)
    (file,) = empty.folder.iterdir()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    changed = threading.Event()
    detector = load_detector(TOYBOX, changed.set)
    assert changed.wait(60)
    assert detector.running.backend == "openvino"
    assert len(conversions) == 2
    assert f"{file} is damaged or not ours; it is made anew" in caplog.messages
    assert load_detector(TOYBOX).running.backend == "openvino"
    assert len(conversions) == 2


@pytest.mark.usefixtures("empty")
def test_a_failed_conversion_leaves_torch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> ConvertedGraph:
        raise DetectorError("the converter's process was killed")

    monkeypatch.setattr(conversion, "_converted", fail)
    changed = threading.Event()
    detector = load_detector(TOYBOX, changed.set)
    assert changed.wait(60)
    assert detector.running == Running(
        "cpu",
        "torch",
        "full",
        "the detector is not compiled, torch goes on: the converter's process was killed",
    )
    assert len(detector.detect([VIEW])) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_16_bit_numbers_on_a_cpu_that_has_none(
    empty: GraphFolder, graph: ConvertedGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = ConvertedGraph(graph.xml, graph.weights, "f32", None)
    monkeypatch.setattr(conversion, "_converted", lambda *_: without)
    asked = TOYBOX.model_copy(update={"precision": "half"})
    for _ in ("converted", "found"):
        changed = threading.Event()
        detector = load_detector(asked, changed.set)
        assert changed.wait(60)
        assert detector.running == Running(
            "cpu",
            "torch",
            "full",
            "the detector is not compiled, torch goes on: detector.precision: this CPU doesn't "
            "calculate with 16-bit numbers; write auto or full",
        )
        assert len(list(empty.folder.iterdir())) == 1


def test_torch_is_not_converted_where_it_is_asked_for(
    empty: GraphFolder, conversions: list[str]
) -> None:
    before = set(threading.enumerate())
    detector = load_detector(TOYBOX.model_copy(update={"backend": "torch"}))
    assert detector.running == Running("cpu", "torch", "full")
    assert set(threading.enumerate()) <= before
    assert conversions == []
    assert not empty.folder.exists()


@pytest.mark.usefixtures("empty")
def test_a_checkpoint_with_another_vector_width_is_not_converted(
    conversions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused, and nothing goes on for it in the background."""

    def wide(checkpoint: Path) -> Any:
        made = world(checkpoint)
        made.text_width = 768
        return made

    world = GRAPHS["world"]
    monkeypatch.setitem(GRAPHS, "world", wide)
    changes: list[None] = []
    before = set(threading.enumerate())
    with pytest.raises(DetectorError, match=r"takes text vectors 768 wide, and the text"):
        load_detector(TOYBOX, lambda: changes.append(None))
    assert set(threading.enumerate()) <= before
    assert (conversions, changes) == ([], [])


@pytest.mark.parametrize(
    ("device", "asked", "said"),
    [
        (
            "cuda",
            {"backend": "openvino"},
            "detector.backend: openvino is for a CPU, and the detector runs on cuda; write auto or "
            "torch",
        ),
        (
            "cuda:1",
            {"precision": "int8"},
            "detector.precision: int8 is for a CPU, and the detector runs on cuda:1",
        ),
        (
            "cpu",
            {"backend": "torch", "precision": "half"},
            "detector.precision: half needs detector.backend: openvino on a CPU",
        ),
        (
            "cpu",
            {"backend": "torch", "precision": "int8"},
            "detector.precision: int8 needs detector.backend: openvino on a CPU",
        ),
    ],
)
def test_what_can_not_be_is_refused_before_anything_is_loaded(
    device: str,
    asked: dict[str, str],
    said: str,
    torch_graphs: list[weakref.ref[Graph]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading, "pick_device", lambda setting: setting)
    with pytest.raises(UnavailableSetting) as caught:
        load_detector(TOYBOX.model_copy(update={"device": device, **asked}))
    assert str(caught.value) == said
    assert torch_graphs == []


ENDING = """
import sys, threading
from pathlib import Path
from streamwatch.detector import loading
from streamwatch.detector.compiled import network
from streamwatch.detector.compiled.graph_file import GraphFolder
from tests.detector.test_upgrading import TOYBOX

begun = threading.Event()

class Told(network.OpenVinoNetwork):
    def __init__(self, *arguments):
        begun.set()
        super().__init__(*arguments)

network.OpenVinoNetwork = Told
choice = loading.choose(TOYBOX)
job = loading.job_for(choice, loading.found(choice.checkpoint))
graph = loading.default_folder().find(job.key)
loading.convert = lambda *_, **__: graph
loading.default_folder = lambda: GraphFolder(Path(sys.argv[1]))
loading.load_detector(TOYBOX)
assert begun.wait(60)
"""


@pytest.mark.usefixtures("graph")
def test_a_process_may_end_while_it_is_being_compiled(tmp_path: Path) -> None:
    """OpenVINO and torch must not return to an interpreter that is gone."""
    done = subprocess.run(
        [sys.executable, "-c", ENDING, str(tmp_path)], capture_output=True, text=True, timeout=250
    )
    assert (done.returncode, done.stderr) == (0, "")
