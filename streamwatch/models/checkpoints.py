"""Reads Ultralytics' checkpoints. Imports PyTorch when it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
