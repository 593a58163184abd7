"""YOLOE checkpoints from Ultralytics' own yaml, with seeded random weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from ultralytics import YOLOE


def make_yoloe(folder: Path, name: str, seed: int = 1) -> Path:
    """`name`.pt as Ultralytics saves it, in half precision; `name` is that of a yaml.

    Weights as initialised would leave every confidence at 2e-4 and the network over the texts
    (`reprta`) without effect, so they are stirred: BatchNorm takes the statistics of a pass over
    noise, without which deep random networks fade to nothing, and confidences are spread over 0..1.
    """
    torch.manual_seed(seed)
    model = YOLOE(f"{name}.yaml").model
    head = model.model[-1]
    texts = random_texts(8, 3)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        nn.init.normal_(head.reprta.m.w3.weight, std=0.05)
        for norm in norms:
            norm.momentum = 1.0
        model.train().predict(torch.rand(8, 3, 128, 160), tpe=texts)
        for norm in norms:
            norm.momentum = 0.03
        _, raw = model.eval().predict(torch.rand(8, 3, 128, 160), tpe=texts)
        for branch in ("one2many", "one2one") if "one2one" in raw else (None,):
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
