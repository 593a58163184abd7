"""Every model of the table: its checkpoint loads, and gives the same results as Ultralytics.

Instead of the official files, these have the same architectures, names and formats, with
random weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from ultralytics import YOLO, YOLOWorld
from ultralytics.nn.tasks import WorldModel
from ultralytics.utils.nms import non_max_suppression
from ultralytics.utils.ops import scale_boxes

from streamwatch.config.catalogue import ENCODERS, MODELS, Asset
from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.detector.loading import load_detector
from streamwatch.detector.protocol import View
from streamwatch.errors import DetectorError
from streamwatch.models.provision import choose
from streamwatch.pixels import Pixels
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.records import Image, Vocabulary
from tests.parts import TOYBOX, made_once
from tests.parts.checkpoints import SMALL, clip_folder, pictures_of_blocks, world_checkpoint
from tests.parts.letterboxed import letterbox
from tests.parts.mobileclip import Tower, make_tokenizer, make_tower
from tests.parts.models import record
from tests.parts.yoloe import Peer, as_tensor, make_yoloe

pytestmark = [pytest.mark.usefixtures("encoded_here"), pytest.mark.slow(seconds=60)]

NAMED = [name for name, model in MODELS.items() if isinstance(model.checkpoint, Asset)]
PORCH = ("red car", "dog", "truck")
YARD = ("dog", "a cat on the wall", "parcel")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with everything the named models need except their checkpoints."""
    return made_once(tmp_path_factory, "official-models", make_cache)


def make_cache(cache: Path) -> None:
    """With the vectors of the prompts."""
    models = cache / "models"
    clip_folder(models / "clip-vit-base-patch32")
    make_tokenizer(models / "clip-vit-base-patch32-tokenizer")
    for name in ("mobileclip_blt", "mobileclip2_b"):
        (models / name).mkdir()
        make_tower(models / name / f"{name}.ts", Tower())
    for folder in models.iterdir():
        record(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CACHE_DIRECTORY", str(cache))
        for name in ("yolov8s-worldv2", "yoloe-11s-seg", "yoloe-26s-seg"):
            Embeddings(DetectorSettings(model=name)).vectors([*PORCH, *YARD])


@pytest.fixture(params=NAMED)
def named(request: pytest.FixtureRequest, fetched: Callable[[str], Path]) -> Iterator[str]:
    """Each named model in turn; its checkpoint is deleted before the next is made."""
    file = fetched(request.param)
    yield request.param
    file.unlink()


@pytest.fixture
def fetched(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a named model's checkpoint in the cache, as if downloaded."""
    monkeypatch.setenv("CACHE_DIRECTORY", str(cache))

    def make(name: str) -> Path:
        folder = cache / "models" / name
        folder.mkdir(exist_ok=True)
        (folder / "SHA256SUMS").unlink(missing_ok=True)
        if is_yoloe(name):
            seen = np.stack([letterbox(image, SMALL)[0] for image in pictures_of_blocks(8, seed=0)])
            file = make_yoloe(folder, name, pictures=as_tensor(seen))
        else:
            file = world_checkpoint(name, folder / f"{name}.pt")
        record(folder)
        return file

    return make


def is_yoloe(name: str) -> bool:
    return ENCODERS[MODELS[name].encoder].network != "world"


@pytest.fixture(scope="module")
def images() -> list[Image]:
    """Images of two cameras, of the same shape."""
    return pictures_of_blocks(2, seed=5)


def vocabulary(settings: DetectorSettings, prompts: tuple[str, ...]) -> Vocabulary:
    return Vocabulary(prompts, np.stack(list(Embeddings(settings).vectors(prompts).values())))


Raw = Callable[[Sequence[Image], Sequence[Vocabulary]], torch.Tensor]


def ultralytics(file: Path, fused: bool) -> Raw:
    """The raw output of Ultralytics' model, each image with its own vocabulary."""
    if is_yoloe(file.stem):
        peer = Peer(file, fused)
        return lambda images, words: torch.stack(
            [
                peer.raw(boxed(images), word.prompts, word.vectors)[number]
                for number, word in enumerate(words)
            ]
        )
    model = YOLOWorld(file).model
    assert isinstance(model, WorldModel)
    model = (model.fuse(verbose=False) if fused else model).float().eval()

    def raw(images: Sequence[Image], words: Sequence[Vocabulary]) -> torch.Tensor:
        # As its `set_classes` would set them.
        model.txt_feats = torch.from_numpy(np.stack([word.vectors for word in words]))
        model.model[-1].nc = len(words[0].prompts)
        with torch.inference_mode():
            found: torch.Tensor = model(as_tensor(boxed(images)))[0]
        return found

    return raw


def boxed(images: Sequence[Image]) -> NDArray[np.uint8]:
    return np.stack([letterbox(image, SMALL)[0] for image in images])


def test_a_batch_of_two_vocabularies_equals_ultralytics(
    named: str, cache: Path, images: list[Image]
) -> None:
    settings = DetectorSettings(model=named, device="cpu", image_size=SMALL, offline=True)
    file = cache / "models" / named / f"{named}.pt"
    detector = load_detector(settings)
    words = [vocabulary(settings, PORCH), vocabulary(settings, YARD)]
    raw = ultralytics(file, fused=True)(images, words)
    floors = [float(camera[4:].quantile(0.9)) for camera in raw]
    views = [View(Pixels(i), w, floor) for i, w, floor in zip(images, words, floors, strict=True)]
    height, width = letterbox(images[0], SMALL)[0].shape[:2]
    for camera, view, mine in zip(raw, views, detector.detect(views), strict=True):
        # Ultralytics offsets prompts by thousands of pixels, which costs digits in float32.
        (kept,) = non_max_suppression(camera[None].double(), view.floor, 0.7, multi_label=True)
        boxes = scale_boxes((height, width), kept[:, :4].clone(), view.picture.bgr().shape).tolist()
        assert len(mine) == len(boxes) > 3
        assert len({detection.prompt for detection in mine}) > 1
        for box, (*_, confidence, slot) in zip(boxes, kept.tolist(), strict=True):
            assert any(
                detection.prompt == view.vocabulary.prompts[int(slot)]
                and detection.confidence == pytest.approx(confidence, abs=1e-3)
                and detection.box == pytest.approx(box, abs=0.5)
                for detection in mine
            ), (slot, confidence, box)

    # One camera alone, through the saved model unfused, gives the same as in a batch.
    unfused = ultralytics(file, fused=False)
    for number in (0, 1):
        (alone,) = unfused(images[number:][:1], words[number:][:1])
        np.testing.assert_allclose(alone[:4], raw[number, :4], atol=0.5)
        np.testing.assert_allclose(alone[4:], raw[number, 4:], atol=2e-3)


def test_a_name_chooses_the_files_of_its_table_row() -> None:
    for name, model in MODELS.items():
        choice = choose(DetectorSettings(model=name))
        assert choice.checkpoint.source == model.checkpoint
        assert tuple(p.source for p in choice.encoder) == ENCODERS[model.encoder].sources
        assert choice.network == ENCODERS[model.encoder].network
        assert choice.image_size == model.image_size
    assert choose(DetectorSettings(model="toybox", image_size=640)).image_size == 640


@pytest.mark.parametrize("size", "sml")
def test_a_size_of_yoloe_v8_is_a_row_like_that_of_yoloe_11(size: str) -> None:
    row, other = MODELS[f"yoloe-v8{size}-seg"], MODELS[f"yoloe-11{size}-seg"]
    assert row.encoder == other.encoder == "mobileclip"
    assert (row.confidence, row.floor, row.image_size) == (0.1, 0.02, 640)


def test_what_is_cited_of_a_model() -> None:
    """Accuracy and work where somebody tells them, which nobody does of toybox."""
    cited = {name: (model.lvis_ap, model.gflops) for name, model in MODELS.items()}
    assert cited["toybox"] == (None, None)
    assert cited["yolov8s-world"] == (None, 72)
    assert cited["yolov8s-worldv2"] == (22.7, 51)
    assert cited["yoloe-26s-seg"] == (30.8, 25)
    assert cited["yoloe-11l-seg"] == (35.2, 88)
    assert cited["yoloe-v8l-seg"] == (35.9, 205)
    untold = {name for name, (ap, _) in cited.items() if ap is None}
    assert untold == {"toybox", *(f"yolov8{size}-world" for size in "smlx")}


def test_download_addresses_are_known_to_ultralytics() -> None:
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

    assert NAMED
    for name in NAMED:
        source = MODELS[name].checkpoint
        assert isinstance(source, Asset)
        assert source.address.endswith(f"/v8.4.0/{name}.pt")
    sources = [MODELS[name].checkpoint for name in NAMED]
    sources += [source for encoder in ENCODERS.values() for source in encoder.sources]
    files = {s.address.rpartition("/")[2] for s in sources if isinstance(s, Asset)}
    assert files <= GITHUB_ASSETS_NAMES
    assert {"mobileclip_blt.ts", "mobileclip2_b.ts"} <= files


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_folder(tmp_path_factory.mktemp("clip"))


def refused(file: Path, encoder: Path | str) -> str:
    settings = DetectorSettings(model=str(file), text_encoder=str(encoder), device="cpu")
    with pytest.raises(DetectorError) as caught:
        load_detector(settings)
    said = str(caught.value)
    assert "\n" not in said
    return said.replace(str(file), "FILE")


def test_a_missing_or_broken_checkpoint_gives_one_clear_error(
    tmp_path: Path, encoder: Path
) -> None:
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


def test_a_checkpoint_with_another_encoder_is_refused(tmp_path: Path, encoder: Path) -> None:
    yoloe = make_yoloe(tmp_path, "yoloe-26n-seg")
    said = "the checkpoint FILE is a YOLOE model; write detector.text_encoder: mobileclip2"
    for other in ("clip", "minilm", encoder):
        assert refused(yoloe, other) == f"{said}, which it was trained with"
    assert refused(yoloe, "mobileclip") == (
        "the checkpoint FILE was trained with the text encoder mobileclip2, not mobileclip"
    )
    assert refused(TOYBOX / "toybox-n-world.pt", "mobileclip2") == (
        "the checkpoint FILE is no YOLOE model, and the text encoder mobileclip2 is for those"
    )


def test_the_encoder_chooses_the_network_of_a_path(
    tmp_path: Path, fetched: Callable[[str], Path], images: list[Image]
) -> None:
    file = make_yoloe(tmp_path, "yoloe-11s-seg")
    settings = DetectorSettings(
        model=str(file), text_encoder="mobileclip", device="cpu", image_size=SMALL
    )
    words = vocabulary(settings, PORCH)
    (found,) = load_detector(settings).detect([View(Pixels(images[0]), words, 0.2)])
    assert found


def test_a_checkpoint_with_another_vector_width_is_refused(tmp_path: Path, encoder: Path) -> None:
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


def test_a_missing_named_model_is_not_downloaded_while_loading(
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
    with pytest.raises(DetectorError) as tower:
        Embeddings(DetectorSettings(model="yoloe-26s-seg")).vectors(["dog"])
    assert str(tower.value) == (
        f"detector.text_encoder: mobileclip2_b is not in {tmp_path}/models; "
        "`streamwatch models pull yoloe-26s-seg` fetches it"
    )
