"""YOLO-World's network, with Ultralytics and torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from streamwatch.detector.networks.checkpoint import pick_precision, read_checkpoint, to_pixels
from streamwatch.detector.networks.yoloe import encoder_name
from streamwatch.errors import DetectorError
from streamwatch.records import TEXT_WIDTH, Vectors


class TorchNetwork:
    """A YOLO-World checkpoint, fused, on one device. The text vectors and their number are inputs.

    Ultralytics' `set_classes` is never called: it loads CLIP on every call, and installs a missing
    package from the network.
    """

    def __init__(
        self, checkpoint: Path, device: torch.device, precision: torch.dtype | None = None
    ) -> None:
        """`precision` defaults to `pick_precision(device)`. Raises DetectorError."""
        from ultralytics.nn.tasks import WorldModel, YOLOEModel

        model = read_checkpoint(checkpoint)
        if isinstance(model, YOLOEModel):
            raise DetectorError(
                f"the checkpoint {checkpoint} is a YOLOE model; write detector.text_encoder: "
                f"{encoder_name(model)}, which it was trained with"
            )
        if not isinstance(model, WorldModel):
            raise DetectorError(f"the checkpoint {checkpoint} is no YOLO-World model")
        self._precision = precision or pick_precision(device)
        self._model: Any = model.fuse(verbose=False).to(device, self._precision)
        self._device = device
        self.text_width = _text_width(model)

    def forward(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32]:
        """See `protocol.Network.forward`."""
        with torch.inference_mode():
            self._model.model[-1].nc = texts.shape[1]
            predictions, _ = self._model.predict(
                to_pixels(images, self._device, self._precision),
                txt_feats=torch.from_numpy(texts).to(self._device),
            )
            output: NDArray[np.float32] = predictions.float().cpu().numpy()
        return output


def _text_width(model: torch.nn.Module) -> int:
    """Width of the text vectors that the text-guided attention takes."""
    from ultralytics.nn.modules import C2fAttn

    widths = (m.attn.gl.in_features for m in model.modules() if isinstance(m, C2fAttn))
    return int(next(widths, TEXT_WIDTH))
