"""A tiny CLIP that learns the drawn things of `tests.truth`, in half a minute on one core."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import transformers

from streamwatch.records import Image
from streamwatch.second_look.crops import crop_around, resized
from streamwatch.second_look.kinds import all_rivals
from streamwatch.second_look.towers import ClipImage
from tests.parts.checkpoints import clip_folder
from tests.truth.scenes import HUES, Scene, Thing

PAINTED = {
    "car": "automobile",
    "backpack": "backpack",
    "bus": "bus",
    "truck": "delivery_truck",
    "suitcase": "luggage",
}
"""Things that are learnt in each colour, with their sprites."""
PLAIN = {
    "cat": "cat",
    "dog": "dog",
    "parcel": "package",
    "runner": "man_running",
    "man": "man_walking",
    "woman": "woman_walking",
    "cyclist": "person_biking",
}
"""Things that are learnt as they are."""
SIZE = 32
EXAMPLES = 36
STEPS = 400
AT_ONCE = 96
LEARNING_RATE = 1.5e-3
_PICTURE = (320, 180)


def things() -> dict[str, tuple[str, str | None]]:
    """Each phrase that is learnt, with its sprite and colour."""
    painted = {
        f"{color} {name}": (sprite, color) for name, sprite in PAINTED.items() for color in HUES
    }
    return painted | {name: (sprite, None) for name, sprite in PLAIN.items()}


def drawn(sprite: str, color: str | None, random: np.random.Generator) -> Image:
    """What a second look would get of a thing that stands anywhere, by day or at dusk."""
    width, height = _PICTURE
    foot = random.uniform(0.2 * width, 0.8 * width), random.uniform(0.6 * height, height)
    thing = Thing(
        "", sprite, random.uniform(30, 80), ((0, *foot), (1, *foot)), color, random.random() < 0.5
    )
    seed, light = int(random.integers(1 << 30)), random.uniform(0.4, 1)
    image, (seen,) = Scene((thing,), 1, _PICTURE, light=light, seed=seed).at(0)
    x1, y1, x2, y2 = np.array(seen.box) + random.normal(0, 3, 4)  # no detector is exact
    return resized(crop_around(image, (x1, y1, x2, y2)), SIZE)


def trained_clip(folder: Path) -> None:
    """Train one and save it with its tokenizer, as transformers does.

    Common things of which there is no picture are learnt as what none of the pictures shows.
    """
    random = np.random.default_rng(0)
    phrases = things()
    texts = (*phrases, *(rival for rival in all_rivals() if rival not in phrases))
    crops = np.stack([drawn(*phrases[text], random) for text in phrases for _ in range(EXAMPLES)])
    shown = torch.arange(len(phrases)).repeat_interleave(EXAMPLES)
    pixels = torch.from_numpy(crops[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255
    mean, deviation = (
        torch.tensor(of).view(3, 1, 1) for of in (ClipImage.MEAN, ClipImage.DEVIATION)
    )
    pixels = (pixels - mean) / deviation
    model, tokens = _untrained(clip_folder(folder, whole=True), texts)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=STEPS)
    for chosen in _batches(len(crops)):
        logits = model(**tokens, pixel_values=pixels[chosen]).logits_per_image
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits, shown[chosen])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    model.save_pretrained(folder)


def _batches(count: int) -> Iterator[torch.Tensor]:
    for _ in range(STEPS):
        yield torch.randint(count, (AT_ONCE,))


def _untrained(
    folder: Path, texts: tuple[str, ...]
) -> tuple[transformers.CLIPModel, dict[str, torch.Tensor]]:
    """A model a little larger than the one in `folder`, and the texts in its tokens."""
    config = transformers.CLIPConfig.from_pretrained(folder)
    config.vision_config.patch_size = 8
    config.vision_config.hidden_size = 96
    config.vision_config.intermediate_size = 192
    config.vision_config.num_hidden_layers = 2
    config.text_config.hidden_size = 64
    config.text_config.intermediate_size = 128
    torch.manual_seed(0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
    return transformers.CLIPModel(config).train(), dict(tokens)
