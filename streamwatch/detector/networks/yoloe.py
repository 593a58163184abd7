"""YOLOE's network (YOLOE-11, YOLOE-26) through Ultralytics and torch.

What differs from YOLO-World, read from Ultralytics 8.4:

- The texts are MobileCLIP's. They pass a small network of the checkpoint (`reprta`) inside
  `predict(tpe=…)`, for every image its own, and meet the picture in the head only: unlike
  YOLO-World's, the prompts of one image don't influence one another at all, and a repeated prompt
  in a spare slot is exact.
- YOLO26's head comes twice. The one-to-one head gives at most 300 detections over all prompts
  together, so that a prompt seen everywhere crowds out the others. The one-to-many head gives
  every anchor a confidence for every prompt, to be thinned by NMS within each prompt, which is
  what a watch is promised; it is the one used here.
- The checkpoints are made for segmentation. Nobody here looks at masks, so what computes them is
  left out.
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
"""As Ultralytics names them: what YOLOE-11 and YOLOE-26 were trained with. The part before the
colon is the encoder's name in the catalogue."""


class YoloeNetwork:
    """A YOLOE checkpoint for text prompts, fused, on one device; text is an input."""

    def __init__(
        self,
        checkpoint: Path,
        device: torch.device,
        text_model: TextModel,
        precision: torch.dtype | None = None,
    ) -> None:
        """`text_model` is what the vectors will come from; a checkpoint that was trained with
        another is refused, since it would find nothing and not say so.

        With `precision` it calculates in that, else in what suits the device.
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
    """The text encoder that a YOLOE model was trained with, as the catalogue calls it."""
    text_model: str = getattr(model, "text_model", "mobileclip:blt")  # as Ultralytics reads it
    return text_model.partition(":")[0]


def _keep_detection(head: Any) -> None:
    """Leave what boxes and confidences of texts need: no masks, no visual prompts, one branch.

    Has to come before the fusion, which throws away the branch that is not chosen. A checkpoint
    saved after such a fusion has the one-to-one branch alone, which then has to do.
    """
    from ultralytics.nn.modules.head import YOLOEDetect, YOLOESegment

    if isinstance(head, YOLOESegment):
        del head.proto, head.cv5
        head.__class__ = YOLOEDetect  # its base: the same head without the masks
    del head.savpe
    for part in ("cv2", "cv3", "cv4"):
        if getattr(head, part) is None:
            setattr(head, part, getattr(head, f"one2one_{part}"))
    head.end2end = False
