"""YOLOE checkpoints from Ultralytics' own yaml, with seeded random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from ultralytics import YOLOE
from ultralytics.nn.tasks import load_checkpoint

from streamwatch.records import Vectors


def make_yoloe(
    folder: Path, name: str, seed: int = 1, pictures: torch.Tensor | None = None
) -> Path:
    """`name`.pt as Ultralytics saves it, in half precision; `name` is that of a yaml.

    `pictures` are images like those it will get, in the network's input format; default is noise.

    With initial weights every confidence would be 2e-4 and the network over the texts (`reprta`)
    would have no effect, so they are changed: BatchNorm takes the statistics of a pass over
    `pictures`, without which the output of deep random networks vanishes, confidences are spread
    over 0..1, and boxes are kept from being many times as large as the image.
    """
    torch.manual_seed(seed)
    model = YOLOE(f"{name}.yaml").model
    head = model.model[-1]
    if pictures is None:
        pictures = torch.rand(8, 3, 128, 160)
    texts = random_texts(len(pictures), 3)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        nn.init.normal_(head.reprta.m.w3.weight, std=0.05)
        for norm in norms:
            norm.momentum = 1.0
        model.train().predict(pictures, tpe=texts)
        for norm in norms:
            norm.momentum = 0.03
        _, raw = model.eval().predict(pictures, tpe=texts)
        for branch in ("one2many", "one2one") if "one2one" in raw else (None,):
            for boxes in head.one2one_cv2 if branch == "one2one" else head.cv2:
                boxes[-1].weight.mul_(0.1)
            logits = (raw if branch is None else raw[branch])["scores"]
            for contrastive in head.one2one_cv4 if branch == "one2one" else head.cv4:
                spread = logits.std()
                contrastive.bias.sub_(logits.mean()).div_(spread).sub_(1)
                contrastive.logit_scale.sub_(spread.log())
    path = folder / f"{name}.pt"
    torch.save({"model": model.half(), "train_args": {}}, path)
    return path


def random_texts(batch: int, slots: int, seed: int = 1) -> torch.Tensor:
    """`(batch, slots, 512)`, each of length 1."""
    noise = torch.randn(batch, slots, 512, generator=torch.Generator().manual_seed(seed))
    return nn.functional.normalize(noise, dim=-1)


class Peer:
    """Ultralytics' own model of a checkpoint, prompted with its `set_classes`."""

    def __init__(self, checkpoint: Path, fused: bool = True) -> None:
        self.model: Any = load_checkpoint(str(checkpoint))[0]
        self.model.end2end = False
        if fused:
            self.model.fuse(verbose=False)

    def raw(
        self, images: NDArray[np.uint8], prompts: tuple[str, ...], vectors: Vectors
    ) -> torch.Tensor:
        """`(batch, 4 + prompts, anchors)`: one vocabulary for all images, without masks."""
        with torch.inference_mode():
            embeddings = self.model.model[-1].get_tpe(torch.from_numpy(vectors)[None])
            self.model.set_classes(list(prompts), embeddings)
            (predictions, _), _ = self.model(as_tensor(images))
        raw: torch.Tensor = predictions[:, : 4 + len(prompts)]
        return raw


def as_tensor(images: NDArray[np.uint8]) -> torch.Tensor:
    """Images as Ultralytics' input; with our memory layout, so that sums are the same."""
    return torch.from_numpy(images).flip(-1).permute(0, 3, 1, 2).float() / 255
