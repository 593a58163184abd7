"""YOLO-World's network, from Ultralytics."""

from __future__ import annotations

from pathlib import Path

import torch

from streamwatch.detector.networks.graph import Graph
from streamwatch.detector.networks.yoloe import encoder_name
from streamwatch.errors import DetectorError
from streamwatch.models.checkpoints import read_checkpoint
from streamwatch.records import TEXT_WIDTH


def world_graph(checkpoint: Path) -> Graph:
    """The graph of a YOLO-World checkpoint. Raises DetectorError.

    Ultralytics' `set_classes` is never called: it loads CLIP on every call, and installs a missing
    package from the network.
    """
    from ultralytics.nn.tasks import WorldModel, YOLOEModel

    model = read_checkpoint(checkpoint)
    if isinstance(model, YOLOEModel):
        raise DetectorError(
            f"the checkpoint {checkpoint} is a YOLOE model; write detector.text_encoder: "
            f"{encoder_name(model)}, which it was trained with"
        )
    if not isinstance(model, WorldModel):
        raise DetectorError(f"the checkpoint {checkpoint} is no YOLO-World model")
    return Graph(model, "txt_feats", _text_width(model))


def _text_width(model: torch.nn.Module) -> int:
    """Width of the text vectors that the text-guided attention takes."""
    from ultralytics.nn.modules import C2fAttn

    widths = (m.attn.gl.in_features for m in model.modules() if isinstance(m, C2fAttn))
    return int(next(widths, TEXT_WIDTH))
