"""The compiled network gives what torch gives, for every kind of network and any input."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamwatch.config import DetectorSettings
from streamwatch.config.catalogue import NetworkKind
from streamwatch.detector.compiled.conversion import Job, convert, default_folder
from streamwatch.detector.compiled.graph_file import ConvertedGraph, GraphFolder
from streamwatch.detector.compiled.network import SEEN, SETTLED, SHAPES, SLOTS, OpenVinoNetwork
from streamwatch.detector.compiled.samples import Sample
from streamwatch.detector.detector import WorldDetector
from streamwatch.detector.loading import job_for
from streamwatch.detector.networks.graph import Graph
from streamwatch.detector.networks.kinds import GRAPHS
from streamwatch.detector.networks.torch_network import TorchNetwork
from streamwatch.detector.protocol import Network, Running, View
from streamwatch.errors import DetectorError
from streamwatch.geometry import iou
from streamwatch.models.provision import choose, found
from streamwatch.pixels import Pixels
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.records import PICTURE_LENGTH, Image, Vectors, Vocabulary
from tests.parts import STREET_CLIP
from tests.parts.checkpoints import SMALL, world_checkpoint
from tests.parts.compiled import compile_toybox
from tests.parts.letterboxed import letterbox
from tests.parts.yoloe import make_yoloe, random_texts
from tests.truth import street

pytestmark = pytest.mark.slow(seconds=220)

KINDS: dict[str, NetworkKind] = {
    "yolov8s-world": "world",
    "yolov8s-worldv2": "world",
    "yoloe-11s-seg": "yoloe-11",
    "yoloe-26n-seg": "yoloe-26",
}
CPU = "cpu"
TOYBOX = DetectorSettings(model="toybox")


class Exact:
    """A checkpoint's graph with 64-bit numbers."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph.double()

    def forward(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float64]:
        with torch.inference_mode():
            found: NDArray[np.float64] = self._graph(
                torch.from_numpy(images), torch.from_numpy(texts)
            ).numpy()
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Both:
    """A checkpoint by torch, and converted."""

    torch: TorchNetwork
    exact: Exact
    graph: ConvertedGraph

    def assert_same(
        self, network: Network, images: NDArray[np.uint8], texts: Vectors
    ) -> NDArray[np.float32]:
        """`network` gives what torch does; returns that.

        Within 1e-3 in confidences and 0.1 px. Networks of random weights amplify rounding: where
        torch itself is that far from the exact result, so may `network` be.
        """
        mine, theirs = network.forward(images, texts), self.torch.forward(images, texts)
        assert mine.shape == theirs.shape
        assert mine.dtype == np.float32
        exact = self.exact.forward(images, texts)
        for part, most in ((slice(4, None), 1e-3), (slice(4), 0.1)):
            rounding = np.abs(theirs[:, part] - exact[:, part]).max()
            assert np.abs(mine[:, part] - theirs[:, part]).max() < most + 3 * rounding
            print(f"differs by {np.abs(mine[:, part] - theirs[:, part]).max():.1e}")
        return theirs


def both_of(checkpoint: Path, kind: NetworkKind) -> Both:
    graph = convert(Job(str(checkpoint), kind, SMALL, SMALL), GraphFolder(checkpoint.parent / "at"))
    make = GRAPHS[kind]
    return Both(TorchNetwork(make(checkpoint), CPU), Exact(make(checkpoint)), graph)


@pytest.fixture(scope="module", params=KINDS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    name, folder = request.param, tmp_path_factory.mktemp("networks")
    if name.startswith("yoloe"):
        return both_of(make_yoloe(folder, name), KINDS[name])
    return both_of(world_checkpoint(name, folder / f"{name}.pt"), KINDS[name])


@pytest.fixture(scope="module")
def toybox(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """The bundled checkpoint."""
    choice = choose(TOYBOX)
    job = job_for(choice, found(choice.checkpoint))
    graph = default_folder().find(job.key)
    if graph is None:
        compile_toybox(default_folder().folder)
        graph = default_folder().find(job.key)
    assert graph is not None
    make, checkpoint = GRAPHS[job.network], Path(job.checkpoint)
    return Both(TorchNetwork(make(checkpoint), CPU), Exact(make(checkpoint)), graph)


def full(graph: ConvertedGraph) -> OpenVinoNetwork:
    return OpenVinoNetwork(graph, "f32", "full")


def noise(batch: int, height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (batch, height, width, 3), np.uint8)


def texts(batch: int, slots: int) -> Vectors:
    vectors: Vectors = random_texts(batch, slots, seed=slots).numpy()
    return vectors


EDGES = sorted({1, *(edge + step for edge in SLOTS for step in (0, 1))})


def test_it_equals_torch_at_every_number_of_prompts(both: Both) -> None:
    mine = full(both.graph)
    for slots in EDGES:
        theirs = both.assert_same(mine, noise(1, 64, 64, slots), texts(1, slots))
        assert theirs[:, 4:].std() > 0.05, "the confidences hardly vary"


@pytest.mark.parametrize("both", [name for name in KINDS if "yoloe" in name], indirect=True)
def test_picture_prompts_equal_torch_too(both: Both) -> None:
    """And change nothing of the texts beside them, of a network that judges each prompt alone."""
    mine, mixed = full(both.graph), texts(2, 5)
    plain = mixed.copy()
    mixed[:, [1, 3]] *= PICTURE_LENGTH
    images = noise(2, 64, 96)
    found = both.assert_same(mine, images, mixed)
    assert np.abs(found[:, [5, 7]] - both.torch.forward(images, plain)[:, [5, 7]]).max() > 0.001
    of_texts = mine.forward(images, mixed)[:, [4, 6, 8]]
    assert np.array_equal(of_texts, mine.forward(images, plain)[:, [4, 6, 8]])


def test_it_equals_torch_in_batches_of_any_shape(both: Both) -> None:
    mine = full(both.graph)
    for batch, height, width in ((1, 32, 32), (2, 96, 128), (3, 128, 64), (8, 64, 96)):
        both.assert_same(mine, noise(batch, height, width), texts(batch, 5))


def test_it_equals_torch_once_it_is_compiled_for_the_shape(toybox: Both) -> None:
    mine = full(toybox.graph)
    mine.prepare([(256, 416), (320, 416)])
    for height in (256, 320, 416):
        toybox.assert_same(mine, noise(2, height, 416), texts(2, 9))


def test_more_prompts_than_the_largest_bucket_holds(toybox: Both) -> None:
    for slots in (81, 160, 161):
        toybox.assert_same(full(toybox.graph), noise(1, 96, 128), texts(1, slots))


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Each shape that something is compiled for, -1 for any."""
    seen: list[tuple[int, int]] = []
    compiled = OpenVinoNetwork._compiled

    def spy(self: OpenVinoNetwork, shape: tuple[int, int]) -> object:
        seen.append(shape)
        return compiled(self, shape)

    monkeypatch.setattr(OpenVinoNetwork, "_compiled", spy)
    return seen


def wait_for_compilations(network: OpenVinoNetwork) -> None:
    network._compiling.submit(lambda: None).result()


def test_a_shape_that_comes_often_is_compiled_for_once(
    toybox: Both, compilations: list[tuple[int, int]]
) -> None:
    mine = full(toybox.graph)
    for _ in range(SEEN - 1):
        mine.forward(noise(1, 96, 128), texts(1, 3))
    wait_for_compilations(mine)
    assert compilations == [(-1, -1)]
    for slots in range(1, 20):  # no number of prompts compiles anything
        mine.forward(noise(1, 96, 128), texts(1, slots))
    wait_for_compilations(mine)
    assert compilations == [(-1, -1), (96, 128)]


def test_the_shapes_that_come_no_more_are_let_go(
    toybox: Both, compilations: list[tuple[int, int]]
) -> None:
    mine = full(toybox.graph)
    shapes = [(32 * number, 32) for number in range(1, SHAPES + 3)]
    for height, width in shapes:
        for _ in range(SEEN):
            mine.forward(noise(1, height, width), texts(1, 3))
        wait_for_compilations(mine)
    assert sorted(compilations) == [(-1, -1), *shapes]
    assert list(mine._ready) == shapes[-SHAPES:]


def test_the_one_for_all_shapes_goes_when_none_is_new(
    toybox: Both, compilations: list[tuple[int, int]]
) -> None:
    mine = full(toybox.graph)
    for _ in range(SEEN):
        mine.forward(noise(1, 32, 64), texts(1, 3))
    wait_for_compilations(mine)
    for _ in range(SETTLED):
        assert mine._for_any is not None
        mine.forward(noise(1, 32, 64), texts(1, 3))
    assert mine._for_any is None
    assert compilations == [(-1, -1), (32, 64)]
    toybox.assert_same(mine, noise(1, 32, 64), texts(1, 3))
    toybox.assert_same(mine, noise(1, 64, 32), texts(1, 3))
    assert compilations == [(-1, -1), (32, 64), (-1, -1)]


def test_a_failure_to_compile_for_a_shape_leaves_the_one_for_all(
    toybox: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = full(toybox.graph)

    def fail(shape: tuple[int, int]) -> object:
        raise RuntimeError("no memory")

    monkeypatch.setattr(mine, "_compiled", fail)
    for _ in range(SEEN + 1):
        toybox.assert_same(mine, noise(1, 96, 128), texts(1, 3))
        wait_for_compilations(mine)


# --- what it finds --------------------------------------------------------------------------------

WORDS = (
    "red car", "pedestrian", "blue car", "truck", "parcel", "dog", "red backpack", "cyclist",
    "elephant", "sailing boat",
)  # fmt: skip
CONFIDENCE = 0.3


@pytest.fixture(scope="module")
def pictures() -> list[tuple[float, Image]]:
    """Every 3rd frame of the clip, with its position in seconds."""
    with av.open(str(STREET_CLIP)) as container:
        return [
            (number / 15, frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False))
            for number, frame in enumerate(container.decode(video=0))
            if number % 3 == 0
        ]


@pytest.fixture(scope="module")
def words() -> Vocabulary:
    """With a padding slot, as the official models have it."""
    vectors = Embeddings(TOYBOX).vectors((*WORDS, "tree"))
    return Vocabulary(WORDS, np.stack([vectors[word] for word in WORDS]), vectors["tree"][None])


def precision_and_recall(
    network: Network, pictures: list[tuple[float, Image]], words: Vocabulary
) -> tuple[float, float]:
    """At IoU 0.5, against the clip's truth."""
    truth, detector = street(), WorldDetector(network, 416)
    right = wrong = there = 0
    for position, image in pictures:
        boxes = {word: box for word in WORDS if (box := truth.box(word, position)) is not None}
        (detections,) = detector.detect([View(Pixels(image), words, CONFIDENCE)])
        for detection in detections:
            box = boxes.get(detection.prompt)
            if box is not None and iou(box, detection.box) >= 0.5:
                right += 1
            else:
                wrong += 1
        there += len(boxes)
    return right / (right + wrong), right / there


@pytest.fixture(scope="module")
def by_torch(
    toybox: Both, pictures: list[tuple[float, Image]], words: Vocabulary
) -> tuple[float, float]:
    """Precision and recall of torch, which is the slowest."""
    return precision_and_recall(toybox.torch, pictures, words)


def assert_as_good(measured: tuple[float, float], expected: tuple[float, float]) -> None:
    for mine, theirs in zip(measured, expected, strict=True):
        assert theirs > 0.8
        assert mine > theirs - 0.01


@pytest.mark.parametrize("number", ["f32", "bf16", "f16"])
def test_precision_and_recall_are_those_of_torch(
    toybox: Both,
    pictures: list[tuple[float, Image]],
    words: Vocabulary,
    by_torch: tuple[float, float],
    number: Literal["f32", "bf16", "f16"],
) -> None:
    if number != "f32" and toybox.graph.half is None:
        pytest.skip("this CPU calculates with no 16-bit numbers")
    compiled = OpenVinoNetwork(toybox.graph, number, "half")
    measured = precision_and_recall(compiled, pictures, words)
    print(f"{number}: precision and recall {measured}, with torch {by_torch}")
    assert_as_good(measured, by_torch)


@pytest.fixture(scope="module")
def quantized(
    toybox: Both,
    pictures: list[tuple[float, Image]],
    words: Vocabulary,
    tmp_path_factory: pytest.TempPathFactory,
) -> ConvertedGraph:
    """Quantized with other pictures of the clip than those that it is judged by."""
    pytest.importorskip("nncf", reason="needs the extra int8")
    choice = choose(TOYBOX)
    job = replace(job_for(choice, found(choice.checkpoint)), quantized=True)
    with av.open(str(STREET_CLIP)) as container:
        frames = [
            frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
            for number, frame in enumerate(container.decode(video=0))
            if number % 6 == 2
        ]
    samples = [Sample(letterbox(frame, 416)[0], words.slots) for frame in frames]
    steps: list[str] = []
    graph = convert(job, GraphFolder(tmp_path_factory.mktemp("int8")), steps.append, samples)
    assert steps == ["reading", "converting", "quantizing", "measuring"]
    return graph


def test_quantized_it_finds_as_much(
    toybox: Both,
    quantized: ConvertedGraph,
    pictures: list[tuple[float, Image]],
    words: Vocabulary,
    by_torch: tuple[float, float],
) -> None:
    network = OpenVinoNetwork(quantized, *quantized.numbers("int8"))
    assert network.running.precision == "int8"
    assert len(quantized.weights) < len(toybox.graph.weights) / 2
    measured = precision_and_recall(network, pictures, words)
    print(f"int8: precision and recall {measured}, with torch {by_torch}")
    assert_as_good(measured, by_torch)


# --- which numbers it calculates with -------------------------------------------------------------


def test_the_precision_asked_for(toybox: Both) -> None:
    graph = replace(toybox.graph, fastest="f32", half="bf16")
    assert graph.numbers("auto") == ("f32", "full")
    assert graph.numbers("full") == ("f32", "full")
    assert graph.numbers("half") == ("bf16", "half")
    fast = replace(graph, fastest="bf16")
    assert fast.numbers("auto") == ("bf16", "half")
    assert fast.numbers("full") == ("f32", "full")
    without = replace(graph, half=None)
    assert without.numbers("auto") == ("f32", "full")
    with pytest.raises(DetectorError, match=r"16-bit numbers; write auto or full$"):
        without.numbers("half")


def test_it_takes_all_cores(toybox: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ultralytics sets OMP_NUM_THREADS to 1 when it is imported; that must not slow the network."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    request = full(toybox.graph)._for_any
    assert request is not None
    threads = request.get_compiled_model().get_property("INFERENCE_NUM_THREADS")
    assert threads > 1 or len(os.sched_getaffinity(0)) == 1


def test_what_runs_is_told(toybox: Both) -> None:
    assert full(toybox.graph).running == Running("cpu", "openvino", "full")
    assert OpenVinoNetwork(toybox.graph, "f32", "half").running.precision == "half"
