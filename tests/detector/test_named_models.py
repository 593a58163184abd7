"""Every model of the table: its checkpoint loads, and finds what Ultralytics finds.

The official files are not here; these are of the same architectures, names and formats, with
random weights.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from ultralytics import YOLO, YOLOWorld
from ultralytics.nn.tasks import WorldModel
from ultralytics.utils.nms import non_max_suppression
from ultralytics.utils.ops import scale_boxes

from streamwatch.catalogue import ENCODERS, MODELS, Asset
from streamwatch.config.models import DetectorSettings
from streamwatch.detector.embeddings import Embeddings
from streamwatch.detector.letterbox import letterbox
from streamwatch.detector.models import choose, load_detector
from streamwatch.detector.protocol import View, Vocabulary
from streamwatch.errors import DetectorError
from streamwatch.records import Image
from tests.detector.checkpoints import SMALL, clip_folder, pictures_of_blocks, world_checkpoint

NAMED = [name for name, model in MODELS.items() if isinstance(model.checkpoint, Asset)]
PORCH = ("red car", "dog", "truck")
YARD = ("dog", "a cat on the wall", "parcel")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_folder(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def images() -> list[Image]:
    """Two cameras' pictures of one shape."""
    return pictures_of_blocks(2, seed=5)


@pytest.fixture(params=NAMED)
def named(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The checkpoint of each named model in turn; gone again before the next is made."""
    file = world_checkpoint(request.param, tmp_path / f"{request.param}.pt")
    yield file
    file.unlink()


def vocabulary(settings: DetectorSettings, prompts: tuple[str, ...]) -> Vocabulary:
    return Vocabulary(prompts, np.stack(list(Embeddings(settings).vectors(prompts).values())))


def ultralytics_raw(
    file: Path, images: Sequence[Image], words: Sequence[Vocabulary], fused: bool
) -> torch.Tensor:
    """Ultralytics' model, with the vectors put where its `set_classes` would put them."""
    model = YOLOWorld(file).model
    assert isinstance(model, WorldModel)
    model = (model.fuse(verbose=False) if fused else model).float().eval()
    model.txt_feats = torch.from_numpy(np.stack([w.vectors for w in words]))
    model.model[-1].nc = len(words[0].prompts)
    boxed = np.stack([letterbox(image, SMALL)[0] for image in images])
    pixels = torch.from_numpy(boxed[..., ::-1].transpose(0, 3, 1, 2).copy()).float() / 255
    with torch.inference_mode():
        raw: torch.Tensor = model(pixels)[0]
    return raw


def test_two_cameras_with_three_prompts_each_equal_ultralytics(
    named: Path, encoder: Path, images: list[Image]
) -> None:
    settings = DetectorSettings(
        model=str(named), text_encoder=str(encoder), device="cpu", image_size=SMALL
    )
    detector = load_detector(settings)
    words = [vocabulary(settings, PORCH), vocabulary(settings, YARD)]
    raw = ultralytics_raw(named, images, words, fused=True)
    floors = [float(camera[4:].quantile(0.9)) for camera in raw]
    views = [View(i, w, floor) for i, w, floor in zip(images, words, floors, strict=True)]
    height, width = letterbox(images[0], SMALL)[0].shape[:2]
    for camera, view, mine in zip(raw, views, detector.detect(views), strict=True):
        (kept,) = non_max_suppression(camera[None], view.floor, 0.7, multi_label=True)
        boxes = scale_boxes((height, width), kept[:, :4].clone(), view.image.shape).tolist()
        assert len(mine) == len(boxes) > 3
        assert len({detection.prompt for detection in mine}) > 1
        for box, (*_, confidence, slot) in zip(boxes, kept.tolist(), strict=True):
            assert any(
                detection.prompt == view.vocabulary.prompts[int(slot)]
                and detection.confidence == pytest.approx(confidence, abs=1e-3)
                and detection.box == pytest.approx(box, abs=0.5)
                for detection in mine
            ), (slot, confidence, box)

    # One camera alone through the model as it is saved gives what it gives beside another.
    for number in (0, 1):
        (alone,) = ultralytics_raw(named, images[number:][:1], words[number:][:1], fused=False)
        np.testing.assert_allclose(alone[:4], raw[number, :4], atol=0.5)
        np.testing.assert_allclose(alone[4:], raw[number, 4:], atol=2e-3)


MEASURE = r"""
import re, sys, time, streamwatch
from streamwatch.config.models import DetectorSettings
from streamwatch.detector.embeddings import Embeddings
from streamwatch.detector.models import load_detector
import torch, transformers, ultralytics.nn.tasks
def peak(): return int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) / 1000
settings = DetectorSettings(model=sys.argv[1], text_encoder=sys.argv[2], device="cpu")
before, since = peak(), time.perf_counter()
load_detector(settings)
print(f"loaded in {time.perf_counter() - since:.2f} s, {peak() - before:.0f} MB at the peak on top "
      f"of {before:.0f} MB of libraries")
"""


@pytest.mark.parametrize("name", ["yolov8s-worldv2", "yolov8x-worldv2"])
def test_what_loading_takes_is_printed(name: str, encoder: Path, tmp_path: Path) -> None:
    """In a process of its own, where memory is not what others left; see it with `pytest -s`."""
    file = world_checkpoint(name, tmp_path / f"{name}.pt")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(file), str(encoder)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    print(f"\n{name}: {file.stat().st_size / 1e6:.0f} MB on disk, {done.stdout.strip()}")


def test_a_table_row_is_all_that_a_name_needs() -> None:
    for name, model in MODELS.items():
        choice = choose(DetectorSettings(model=name))
        assert choice.checkpoint.source == model.checkpoint
        assert choice.encoder.source == ENCODERS[model.encoder].source
        assert choice.image_size == model.image_size
    assert choose(DetectorSettings(model="toybox", image_size=640)).image_size == 640


def test_addresses_are_those_that_ultralytics_knows() -> None:
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

    assert len(NAMED) == 8
    for name in NAMED:
        source = MODELS[name].checkpoint
        assert isinstance(source, Asset)
        assert source.address.endswith(f"/{name}.pt")
        assert f"{name}.pt" in GITHUB_ASSETS_NAMES


def refused(file: Path, encoder: Path) -> str:
    settings = DetectorSettings(model=str(file), text_encoder=str(encoder), device="cpu")
    with pytest.raises(DetectorError) as caught:
        load_detector(settings)
    said = str(caught.value)
    assert "\n" not in said
    return said.replace(str(file), "FILE")


def test_a_checkpoint_that_is_none_is_one_sentence(tmp_path: Path, encoder: Path) -> None:
    file = tmp_path / "mine.pt"
    assert refused(file, encoder) == "detector.model: FILE does not exist"
    file.mkdir()
    assert refused(file, encoder) == "the checkpoint FILE is missing"
    file.rmdir()
    file.write_bytes(b"<html>not found</html>")
    assert refused(file, encoder).startswith("the checkpoint FILE can't be loaded (")
    torch.save({"state_dict": {}}, file)
    assert refused(file, encoder).startswith("the checkpoint FILE can't be loaded (")
    YOLO("yolov8n.yaml").save(file)
    assert refused(file, encoder) == "the checkpoint FILE is no YOLO-World model"


def test_a_checkpoint_that_wants_other_vectors_is_refused(tmp_path: Path, encoder: Path) -> None:
    from ultralytics.nn.modules import C2fAttn

    file = world_checkpoint("yolov8s-worldv2", tmp_path / "wide.pt")
    content = torch.load(file, weights_only=False)
    for module in content["model"].modules():
        if isinstance(module, C2fAttn):
            module.attn.gl = torch.nn.Linear(768, module.attn.gl.out_features)
    torch.save(content, file)
    assert refused(file, encoder) == (
        "the checkpoint FILE takes text vectors 768 wide, and the text encoders give 512"
    )


def test_a_named_model_that_is_not_here_is_never_fetched_while_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path))
    settings = DetectorSettings(model="yolov8s-worldv2")
    command = "`streamwatch models pull yolov8s-worldv2` fetches it"
    with pytest.raises(DetectorError) as checkpoint:
        load_detector(settings)
    assert str(checkpoint.value) == (
        f"detector.model: yolov8s-worldv2 is not in {tmp_path}/models; {command}"
    )
    with pytest.raises(DetectorError) as text:
        Embeddings(settings).vectors(["dog"])
    assert str(text.value) == (
        f"detector.text_encoder: clip-vit-base-patch32 is not in {tmp_path}/models; {command}"
    )
