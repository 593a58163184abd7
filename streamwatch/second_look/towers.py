"""The image towers: a crop becomes a vector in the space of its text encoder's vectors.

Imports PyTorch: for the process of `child.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from streamwatch.config.catalogue import ImageKind
from streamwatch.errors import DetectorError
from streamwatch.models.transformers_folder import Incomplete, load_model
from streamwatch.records import Vectors


class ImageTower(Protocol):
    """Built from the paths of its files; raises DetectorError if they are broken."""

    @property
    def size(self) -> int:
        """Side of the square crops it takes, in pixels."""
        ...

    @property
    def scale(self) -> float:
        """What cosines are multiplied by before a softmax: the temperature it was trained with."""
        ...

    def encode(self, crops: NDArray[np.uint8]) -> Vectors:
        """`(crops, width)` float32 of unit length, of `(crops, size, size, 3)` BGR."""
        ...


class Glance:
    """toybox's own: a small residual network in the space of all-MiniLM-L6-v2. 1.6 M parameters."""

    def __init__(self, file: Path) -> None:
        try:
            with safe_open(file, framework="pt") as content:
                said = content.metadata() or {}
                weights = {name: content.get_tensor(name).float() for name in content.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise DetectorError(f"the image tower {file} can't be loaded ({error})") from error
        try:
            self.size, self.scale = int(said["size"]), float(said["scale"])
            self._network = _GlanceNetwork(int(said["width"]))
            # Batch norms count their batches in training only.
            missing, odd = self._network.load_state_dict(weights, strict=False)
        except (KeyError, ValueError, RuntimeError) as error:
            raise _foreign(file) from error
        if odd or any(not name.endswith("num_batches_tracked") for name in missing):
            raise _foreign(file)
        self._network.eval()

    def encode(self, crops: NDArray[np.uint8]) -> Vectors:
        with torch.inference_mode():
            pixels = torch.from_numpy(crops[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255
            vectors: Vectors = self._network((pixels - 0.45) / 0.25).numpy()
        return vectors


def _foreign(file: Path) -> DetectorError:
    return DetectorError(f"the image tower {file} can't be loaded: it is another kind of network")


class _Block(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(before, after, 3, 2, 1, bias=False)
        self.na = nn.BatchNorm2d(after)
        self.b = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.nb = nn.BatchNorm2d(after)
        self.k = nn.Sequential(
            nn.AvgPool2d(2), nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.nb(self.b(self.na(self.a(x)).relu()))
        out: Tensor = (y + self.k(x)).relu()
        return out


class _GlanceNetwork(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()
        )
        self.body = nn.Sequential(_Block(32, 64), _Block(64, 128), _Block(128, 256))
        self.mix = nn.Sequential(nn.Conv2d(256, width, 1), nn.ReLU())
        self.head = nn.Linear(2 * width, width)

    def forward(self, pixels: Tensor) -> Tensor:
        seen = self.mix(self.body(self.stem(pixels)))
        pooled = torch.cat((seen.mean((2, 3)), seen.amax((2, 3))), dim=1)
        unit: Tensor = nn.functional.normalize(self.head(pooled), dim=-1)
        return unit


class ClipImage:
    """CLIP's vision tower with its projection, from the folder of a whole CLIP. 350 MB.

    Crops are normalised by the mean and deviation of CLIP's training (OpenAI's `clip.py`); their
    sides are scaled each for itself, so that a crop at the picture's edge is squeezed, not cut.
    """

    MEAN = (0.48145466, 0.4578275, 0.40821073)
    DEVIATION = (0.26862954, 0.26130258, 0.27577711)

    def __init__(self, folder: Path) -> None:
        try:
            model = load_model("CLIPModel", folder, "image tower")
        except Incomplete as error:
            if "visual_projection.weight" not in error.missing:
                raise
            raise DetectorError(
                f"{folder} holds no image tower, but CLIP's text encoder alone; a second look by "
                "words needs the whole CLIP"
            ) from error
        self.size = int(model.config.vision_config.image_size)
        self.scale = model.logit_scale.exp().item()
        self._vision, self._projection = model.vision_model, model.visual_projection
        self._mean = torch.tensor(self.MEAN).view(3, 1, 1)
        self._deviation = torch.tensor(self.DEVIATION).view(3, 1, 1)

    def encode(self, crops: NDArray[np.uint8]) -> Vectors:
        with torch.inference_mode():
            pixels = torch.from_numpy(crops[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255
            seen = self._vision(pixel_values=(pixels - self._mean) / self._deviation)
            projected = self._projection(seen.pooler_output)
            vectors: Vectors = nn.functional.normalize(projected, dim=-1).float().numpy()
        return vectors


TOWERS: dict[ImageKind, Callable[[Path], ImageTower]] = {"clip": ClipImage, "glance": Glance}
"""Called with the path of the tower's file or folder."""
