"""What picture prompts find, with a YOLOE that is trained on drawn things for some minutes.

    python -m benchmarks.picture_prompts [--minutes 10] [--scenes 40] [--keep FILE]

YOLOE's own weights can't be had everywhere, so a small one (`yoloe-v8n`) begins with toybox's
weights and learns to find, in one drawn picture, what boxes in others show. Then streamwatch makes
a prompt of each kind of thing from some pictures of it, and looks for twelve of them at once in
scenes that were never drawn before: kinds that it was trained with, and kinds (shape with colour)
that it never saw. With `--keep` the checkpoint is kept.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch.nn import functional
from ultralytics import YOLOE
from ultralytics.utils.loss import v8DetectionLoss

from benchmarks.daemon import machine
from streamwatch.detector.detector import WorldDetector
from streamwatch.detector.networks.torch_network import TorchNetwork
from streamwatch.detector.networks.yoloe import yoloe_graph
from streamwatch.detector.protocol import View
from streamwatch.geometry import Box, iou
from streamwatch.models.checkpoints import read_checkpoint
from streamwatch.pixels import Pixels
from streamwatch.prompts.encoders.visual import VisualEncoder
from streamwatch.records import PICTURE_LENGTH, Image, Vocabulary
from tests.parts import TOYBOX
from tests.truth.scenes import HUES, SPRITES, Scene, Thing

SIZE = (320, 192)
"""(width, height) of the network's pictures in training."""
BATCH, KINDS_AT_ONCE, THINGS = 16, 12, 6
LEARNING_RATE = 2e-3
SHOWN = 4
"""Pictures of which a prompt is made."""
HELD_OUT = 5
"""Every so many kinds are kept from training."""
LEAST = 0.02
MATCH_IOU = 0.5

Kind = tuple[str, str | None]
"""A sprite, and the colour that it is painted in."""


def kinds() -> tuple[list[Kind], list[Kind]]:
    """Those to train with, and those that are kept from it."""
    sprites = sorted(path.stem for path in SPRITES.glob("*.png"))
    every = [(sprite, color) for sprite in sprites for color in (None, *HUES)]
    held_out = [kind for number, kind in enumerate(every) if number % HELD_OUT == HELD_OUT - 1]
    return [kind for kind in every if kind not in held_out], held_out


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture, with the kind and the box of each thing in it."""

    image: Image
    things: tuple[tuple[int, Box], ...]


def draw(random: np.random.Generator, there: Sequence[Kind], count: int) -> Drawn:
    """Things of these kinds, numbered by their place, anywhere in a street by day or by night."""
    chosen = random.integers(len(there), size=count)
    things = []
    for number in chosen:
        sprite, color = there[number]
        height = float(np.exp(random.uniform(np.log(40), np.log(170))))
        foot = (random.uniform(20, 620), random.uniform(max(height * 0.7, 120), 355))
        flip = bool(random.integers(2))
        things.append(Thing(str(number), sprite, height, ((0, *foot), (1, *foot)), color, flip))
    light = 1.0 if random.random() < 0.7 else float(random.uniform(0.35, 0.9))
    scene = Scene(tuple(things), 1, light=light, seed=int(random.integers(1 << 30)))
    image, seen = scene.at(0.5)
    found = [(int(each.name), each.box) for each in seen if each.visible > 0.4]
    return Drawn(image, tuple(found))


# --- training ------------------------------------------------------------------------------------


def begun() -> Any:
    """The model, with what it has in common with toybox: all but the text attention in the neck,
    and the encoder of pictures."""
    torch.manual_seed(1)
    model = YOLOE("yoloe-v8n.yaml").model
    toybox = read_checkpoint(TOYBOX / "toybox-n-world.pt")
    for mine, its in zip(model.model, toybox.model, strict=True):
        known = its.state_dict()
        fitting = {}
        for name, weights in mine.state_dict().items():
            other = known.get(name)
            if other is not None and other.dim() == weights.dim() == 4:
                other = other[:, : weights.shape[1]]  # what follows is the attention's
            if other is not None and other.shape == weights.shape:
                fitting[name] = other
        mine.load_state_dict(fitting, strict=False)
    model.args = SimpleNamespace(box=7.5, cls=0.5, dfl=1.5)
    for parameter in model.parameters():
        parameter.requires_grad = True
    return model


def batch_of(
    random: np.random.Generator, every: Sequence[Kind]
) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
    """Pictures, what is in them, and a mask of each kind in each of them."""
    there = [every[number] for number in random.choice(len(every), KINDS_AT_ONCE, replace=False)]
    drawn = [draw(random, there, THINGS) for _ in range(BATCH)]
    width, height = SIZE
    images = np.stack([_boxed(each.image) for each in drawn])
    gain = width / drawn[0].image.shape[1]
    top = (height - drawn[0].image.shape[0] * gain) / 2
    masks = torch.zeros(BATCH, KINDS_AT_ONCE, height // 8, width // 8)
    rows = []
    for number, each in enumerate(drawn):
        for kind, (x1, y1, x2, y2) in each.things:
            left, right = x1 * gain, x2 * gain
            upper, lower = y1 * gain + top, y2 * gain + top
            masks[
                number,
                kind,
                math.floor(upper / 8) : math.ceil(lower / 8),
                math.floor(left / 8) : math.ceil(right / 8),
            ] = 1
            middle = (left + right) / 2 / width, (upper + lower) / 2 / height
            size = (right - left) / width, (lower - upper) / height
            rows.append((number, kind, *middle, *size))
    told = torch.tensor(rows)
    truth = {"batch_idx": told[:, 0], "cls": told[:, 1:2], "bboxes": told[:, 2:]}
    pixels = torch.from_numpy(images).flip(-1).permute(0, 3, 1, 2).float() / 255
    return pixels, truth, masks


def _boxed(image: Image) -> NDArray[np.uint8]:
    width, height = SIZE
    boxed = np.full((height, width, 3), 114, np.uint8)
    scaled = cv2.resize(image, (width, width * image.shape[0] // image.shape[1]))
    top = (height - scaled.shape[0]) // 2
    boxed[top : top + scaled.shape[0]] = scaled
    return boxed


def loss_of(
    model: Any, pixels: torch.Tensor, truth: dict[str, torch.Tensor], masks: torch.Tensor
) -> torch.Tensor:
    """Of finding in each half of the batch what the other half shows."""
    kept: list[torch.Tensor | None] = []
    value = pixels
    for layer in model.model[:-1]:
        if layer.f != -1:
            sources = [layer.f] if isinstance(layer.f, int) else layer.f
            gathered = [value if source == -1 else kept[source] for source in sources]
            value = gathered[0] if isinstance(layer.f, int) else gathered  # type: ignore[assignment]
        value = layer(value)
        kept.append(value if layer.i in model.save else None)
    head = model.model[-1]
    features = [kept[source] if source != -1 else value for source in head.f]
    vectors = head.savpe(features, masks)
    shown = (masks.flatten(2).sum(2) > 0).float()[..., None]
    half = len(pixels) // 2
    sums = [(vectors * shown)[part].sum(0) for part in (slice(half), slice(half, None))]
    counts = [shown[part].sum(0) for part in (slice(half), slice(half, None))]
    other = [
        functional.normalize(torch.where(counts[1 - own] > 0, sums[1 - own], sums[own]), dim=-1)
        for own in (0, 1)
    ]
    prompts = torch.cat([each[None].expand(half, -1, -1) for each in other])
    head.nc = KINDS_AT_ONCE
    found = head([*features, prompts])
    loss, _ = v8DetectionLoss(model)(found, truth)
    mean: torch.Tensor = loss.sum() / len(pixels)
    return mean


def train(minutes: float, console: Console) -> Any:
    model = begun().train()
    every, _ = kinds()
    random = np.random.default_rng(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    began, steps, told = time.monotonic(), 0, []
    for part in _until(minutes * 60):
        for group in optimizer.param_groups:
            warm = min(1.0, (steps + 1) / 50)
            group["lr"] = LEARNING_RATE * warm * (0.02 + 0.98 * (1 + math.cos(math.pi * part)) / 2)
        loss = loss_of(model, *batch_of(random, every))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        steps += 1
        told.append(loss.item())
        if steps % 50 == 0:
            console.print(f"{steps} steps, loss {np.mean(told[-50:]):.3f}")
    console.print(
        f"{steps} steps of {BATCH} pictures in {(time.monotonic() - began) / 60:.1f} minutes"
    )
    return model.eval()


def _until(seconds: float) -> Iterator[float]:
    """The share of the time that has passed, until all has."""
    began = time.monotonic()
    while (part := (time.monotonic() - began) / seconds) < 1:
        yield part


# --- finding -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Score:
    """At the confidence with the best F1, which was chosen on these same pictures."""

    confidence: float
    precision: float
    recall: float


def prompt_of(
    encoder: VisualEncoder, random: np.random.Generator, kind: Kind
) -> NDArray[np.float32]:
    """As streamwatch makes it of some pictures of a thing."""
    vectors: list[NDArray[np.float32]] = []
    while len(vectors) < SHOWN:
        picture = draw(random, [kind], 1)
        vectors += [encoder.vector(picture.image, box) for _, box in picture.things]
    mean = np.mean(vectors, axis=0)
    prompt: NDArray[np.float32] = (mean / np.linalg.norm(mean) * PICTURE_LENGTH).astype(np.float32)
    return prompt


def score(checkpoint: Path, there: Sequence[Kind], scenes: int, seed: int) -> Score:
    """Twelve of these kinds at once, in pictures with six things of them."""
    random = np.random.default_rng(seed)
    encoder = VisualEncoder(checkpoint, 640)
    network = TorchNetwork(yoloe_graph(checkpoint, "mobileclip:blt"), "cpu", "full")
    detector = WorldDetector(network, 640)
    confidences: list[tuple[float, bool]] = []
    things = 0
    for _ in range(max(1, scenes // 10)):
        chosen = [there[n] for n in random.choice(len(there), KINDS_AT_ONCE, replace=False)]
        names = tuple(str(number) for number in range(len(chosen)))
        words = Vocabulary(names, np.stack([prompt_of(encoder, random, kind) for kind in chosen]))
        for _ in range(10):
            picture = draw(random, chosen, THINGS)
            (found,) = detector.detect([View(Pixels(picture.image), words, LEAST)])
            left = list(picture.things)
            things += len(left)
            for each in sorted(found, key=lambda detection: -detection.confidence):
                hit = next(
                    (
                        thing
                        for thing in left
                        if str(thing[0]) == each.prompt and iou(thing[1], each.box) >= MATCH_IOU
                    ),
                    None,
                )
                if hit is not None:
                    left.remove(hit)
                confidences.append((each.confidence, hit is not None))
    return _best(confidences, things)


def _best(confidences: list[tuple[float, bool]], things: int) -> Score:
    best, best_f1, right = Score(1.0, 0.0, 0.0), 0.0, 0
    for count, (confidence, hit) in enumerate(sorted(confidences, reverse=True), 1):
        right += hit
        f1 = 2 * right / (count + things)
        if f1 > best_f1:
            best, best_f1 = Score(confidence, right / count, right / things), f1
    return best


def main() -> int:
    parser = argparse.ArgumentParser(description="What picture prompts find.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--keep", type=Path)
    wanted = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = wanted.keep or Path(folder) / "yoloe-v8n.pt"
        if wanted.minutes > 0:
            model = train(wanted.minutes, console)
            del model.args
            torch.save({"model": model.half(), "train_args": {}}, checkpoint)
        table = Table("kinds of thing", "confidence", "precision", "recall")
        for name, there, seed in zip(("trained with", "never seen"), kinds(), (7, 8), strict=True):
            result = score(checkpoint, there, wanted.scenes, seed)
            table.add_row(
                f"{name}, {len(there)}",
                *(f"{each:.2f}" for each in (result.confidence, result.precision, result.recall)),
            )
        console.print(table)
    console.print(machine())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
