"""YOLOE's network (YOLOE-v8, -11, -26), from Ultralytics.

How it differs from YOLO-World, read from Ultralytics 8.4:

- The text vectors are MobileCLIP's. They pass a small network of the checkpoint (`reprta`) inside
  `predict(tpe=…)`, separately for each image, and meet the image in the head only: unlike
  YOLO-World's, the prompts of one image don't influence one another, and padding with repeated
  prompts changes nothing.
- YOLOE-26 has two heads. The one-to-one head gives at most 300 detections over all prompts
  together, so that a frequent prompt crowds out the others. The one-to-many head, used here, gives
  every anchor a confidence for every prompt, for NMS within each prompt.
- Vectors made of pictures (`prompts.encoders.visual`) are ordinary slots too, but don't pass
  `reprta`. They are longer than those of texts, by which they are told apart here.
- The checkpoints are for segmentation. Masks are not used here, so the layers for them are removed.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch

from streamwatch.detector.networks.graph import Graph
from streamwatch.errors import DetectorError
from streamwatch.models.checkpoints import read_checkpoint
from streamwatch.records import PICTURE_LENGTH

TextModel = Literal["mobileclip:blt", "mobileclip2:b"]
"""Ultralytics' names for the text encoders: the first of YOLOE-v8 and -11, the second of -26. The
part before the colon is the name in our catalogue."""


def yoloe_graph(checkpoint: Path, text_model: TextModel) -> Graph:
    """The graph of a YOLOE checkpoint for text prompts; `text_model` is their encoder.

    Raises DetectorError, also for a checkpoint trained with another text encoder, which would
    silently find nothing.
    """
    from ultralytics.nn.tasks import YOLOEModel

    model = read_checkpoint(checkpoint)
    name = text_model.partition(":")[0]
    if not isinstance(model, YOLOEModel):
        raise DetectorError(
            f"the checkpoint {checkpoint} is no YOLOE model, and the text encoder {name} is for "
            "those"
        )
    head = model.model[-1]
    if hasattr(head, "lrpc") or head.is_fused:
        raise DetectorError(
            f"the checkpoint {checkpoint} has a vocabulary of its own and takes no prompts; take a "
            "YOLOE model without -pf"
        )
    if encoder_name(model) != name:
        raise DetectorError(
            f"the checkpoint {checkpoint} was trained with the text encoder "
            f"{encoder_name(model)}, not {name}"
        )
    _keep_detection(head)
    return Graph(model, "tpe", int(head.embed))


def encoder_name(model: Any) -> str:
    """The catalogue's name of the text encoder that a YOLOE model was trained with."""
    text_model: str = getattr(model, "text_model", "mobileclip:blt")  # Ultralytics' default
    return text_model.partition(":")[0]


def _keep_detection(head: Any) -> None:
    """Reduce the head to boxes for text prompts: no masks, no visual prompts, one branch.

    Must come before fusing, which drops the branch that is not selected. A checkpoint saved after
    fusing has only the one-to-one branch, which is used then.
    """
    from ultralytics.nn.modules.head import YOLOESegment

    if isinstance(head, YOLOESegment):
        del head.proto, head.cv5
    head.__class__ = _text_head()
    del head.savpe
    for part in ("cv2", "cv3", "cv4"):
        if getattr(head, part) is None:
            setattr(head, part, getattr(head, f"one2one_{part}"))
    head.end2end = False


@cache
def _text_head() -> type:
    """The class of a head that finds boxes for text prompts."""
    from ultralytics.nn.modules.head import YOLOEDetect

    class TextHead(YOLOEDetect):  # type: ignore[misc]
        """Ultralytics' head without masks, whose number of prompts tracing doesn't fix. Takes
        vectors of texts and of pictures in one vocabulary."""

        def get_tpe(self, vectors: torch.Tensor) -> torch.Tensor:
            of_texts: torch.Tensor = super().get_tpe(vectors)
            is_picture = vectors.norm(dim=-1, keepdim=True) > (1 + PICTURE_LENGTH) / 2
            return torch.where(is_picture, vectors / PICTURE_LENGTH, of_texts)

        def forward_head(
            self, x: list[torch.Tensor], box_head: Any, cls_head: Any, contrastive_head: Any
        ) -> dict[str, Any]:
            *features, texts = x
            boxes = [box(each).flatten(2) for box, each in zip(box_head, features, strict=True)]
            scores = [
                contrast(embed(each), texts).flatten(2)
                for contrast, embed, each in zip(contrastive_head, cls_head, features, strict=True)
            ]
            return {
                "boxes": torch.cat(boxes, dim=-1),
                "scores": torch.cat(scores, dim=-1),
                "feats": features,
            }

    return TextHead
