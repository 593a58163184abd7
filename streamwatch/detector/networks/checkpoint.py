"""What all kinds of Ultralytics checkpoint share: loading, preprocessing and precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from streamwatch.errors import DetectorError


def read_checkpoint(checkpoint: Path) -> Any:
    """The pickled Ultralytics model: float32, on the CPU, not fused. Raises DetectorError."""
    if not checkpoint.is_file():
        raise DetectorError(f"the checkpoint {checkpoint} is missing")
    from ultralytics.nn.tasks import load_checkpoint

    try:
        model, _ = load_checkpoint(str(checkpoint))
    except Exception as error:  # unpickling may raise any exception
        reason = str(error).strip().partition("\n")[0]
        raise DetectorError(f"the checkpoint {checkpoint} can't be loaded ({reason})") from error
    return model


def to_pixels(
    images: NDArray[np.uint8], device: torch.device, precision: torch.dtype
) -> torch.Tensor:
    """BGR uint8 `(batch, height, width, 3)` → RGB 0..1 `(batch, 3, height, width)`."""
    pixels = torch.from_numpy(images).to(device).flip(-1).permute(0, 3, 1, 2)
    return pixels.to(precision).div_(255)


def pick_precision(device: torch.device) -> torch.dtype:
    """float16 on CUDA, where it is about twice as fast and takes half the memory; else float32.

    The weights are converted too, as Ultralytics does with `half=True`; autocast would keep them in
    float32 and convert them in every forward pass.
    """
    return torch.float16 if device.type == "cuda" else torch.float32
