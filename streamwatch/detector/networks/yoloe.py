"""YOLOE's network (YOLOE-v8, -11, -26), with Ultralytics and torch.

How it differs from YOLO-World, read from Ultralytics 8.4:

- The text vectors are MobileCLIP's. They pass a small network of the checkpoint (`reprta`) inside
  `predict(tpe=…)`, separately for each image, and meet the image in the head only: unlike
  YOLO-World's, the prompts of one image don't influence one another, and padding with repeated
  prompts changes nothing.
- YOLOE-26 has two heads. The one-to-one head gives at most 300 detections over all prompts
  together, so that a frequent prompt crowds out the others. The one-to-many head, used here, gives
  every anchor a confidence for every prompt, for NMS within each prompt.
- The checkpoints are for segmentation. Masks are not used here, so the layers for them are removed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from streamwatch.detector.networks.checkpoint import pick_precision, read_checkpoint, to_pixels
from streamwatch.errors import DetectorError
from streamwatch.records import Vectors

TextModel = Literal["mobileclip:blt", "mobileclip2:b"]
"""Ultralytics' names for the text encoders: the first of YOLOE-v8 and -11, the second of -26. The
part before the colon is the name in our catalogue."""


class YoloeNetwork:
    """A YOLOE checkpoint for text prompts, fused, on one device. The text vectors are an input."""

    def __init__(
        self,
        checkpoint: Path,
        device: torch.device,
        text_model: TextModel,
        precision: torch.dtype | None = None,
    ) -> None:
        """`text_model` is the encoder of the text vectors. `precision` defaults to
        `pick_precision(device)`.

        Raises DetectorError, also for a checkpoint trained with another text encoder, which would
        silently find nothing.
        """
        from ultralytics.nn.tasks import YOLOEModel

        model = read_checkpoint(checkpoint)
        name = text_model.partition(":")[0]
        if not isinstance(model, YOLOEModel):
            raise DetectorError(
                f"the checkpoint {checkpoint} is no YOLOE model, and the text encoder {name} is "
                "for those"
            )
        head = model.model[-1]
        if hasattr(head, "lrpc") or head.is_fused:
            raise DetectorError(
                f"the checkpoint {checkpoint} has a vocabulary of its own and takes no prompts; "
                "take a YOLOE model without -pf"
            )
        if encoder_name(model) != name:
            raise DetectorError(
                f"the checkpoint {checkpoint} was trained with the text encoder "
                f"{encoder_name(model)}, not {name}"
            )
        _keep_detection(head)
        self._precision = precision or pick_precision(device)
        self._model: Any = model.fuse(verbose=False).to(device, self._precision)
        self._device = device
        self.text_width = int(head.embed)

    def forward(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32]:
        """See `protocol.Network.forward`."""
        with torch.inference_mode():
            predictions, _ = self._model.predict(
                to_pixels(images, self._device, self._precision),
                tpe=torch.from_numpy(texts).to(self._device, self._precision),
            )
            output: NDArray[np.float32] = predictions.float().cpu().numpy()
        return output


def encoder_name(model: Any) -> str:
    """The catalogue's name of the text encoder that a YOLOE model was trained with."""
    text_model: str = getattr(model, "text_model", "mobileclip:blt")  # Ultralytics' default
    return text_model.partition(":")[0]


def _keep_detection(head: Any) -> None:
    """Reduce the head to boxes for text prompts: no masks, no visual prompts, one branch.

    Must come before fusing, which drops the branch that is not selected. A checkpoint saved after
    fusing has only the one-to-one branch, which is used then.
    """
    from ultralytics.nn.modules.head import YOLOEDetect, YOLOESegment

    if isinstance(head, YOLOESegment):
        del head.proto, head.cv5
        head.__class__ = YOLOEDetect  # its base class, the same head without masks
    del head.savpe
    for part in ("cv2", "cv3", "cv4"):
        if getattr(head, part) is None:
            setattr(head, part, getattr(head, f"one2one_{part}"))
    head.end2end = False
