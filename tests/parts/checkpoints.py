"""Small files in the formats of the official models, made from seeded random numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ultralytics.nn.modules import WorldDetect
from ultralytics.nn.tasks import WorldModel

from streamwatch.records import Image
from tests.parts.letterboxed import letterbox

SMALL = 128
"""Image size in pixels: the largest models would take seconds for a full image."""

MERGES = ("r e", "re d</w>", "c a", "ca r</w>", "t r", "tr u", "c k</w>", "tru ck</w>", "d o")


def world_checkpoint(name: str, file: Path, seed: int = 0) -> Path:
    """A checkpoint of a named model's architecture, in half precision as the official ones.

    BatchNorm is adapted to random images and the head is scaled, so that boxes and confidences
    vary widely.
    """
    torch.manual_seed(seed)
    model = WorldModel(f"{name}.yaml", verbose=False)
    head = model.model[-1]
    assert isinstance(head, WorldDetect)
    for boxes, contrast in zip(head.cv2, head.cv4, strict=True):
        boxes[-1].weight.data.mul_(0.1)
        contrast.bias.data.fill_(0.0)
        contrast.logit_scale.data.fill_(-8.0)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    boxed = np.stack([letterbox(image, SMALL)[0] for image in pictures_of_blocks(8, seed)])
    pictures = torch.from_numpy(boxed).permute(0, 3, 1, 2).float() / 255
    texts = torch.nn.functional.normalize(torch.randn(8, 80, 512), dim=-1)
    with torch.no_grad():
        model.train().predict(pictures, txt_feats=texts)
        confidences = model.eval().predict(pictures, txt_feats=texts)[0][:, 4:]
    spread = float(confidences.logit().std())
    for contrast in head.cv4:
        contrast.logit_scale.data.sub_(math.log(spread))
    torch.save({"model": model.half(), "train_args": {}, "epoch": -1, "ema": None}, file)
    return file


def pictures_of_blocks(count: int, seed: int) -> list[Image]:
    """Images made of areas of one colour, as real images have them."""
    made = np.random.default_rng(seed).integers(0, 255, (count, 9, 16, 3), dtype=np.uint8)
    return [np.kron(picture, np.ones((10, 10, 1), np.uint8)) for picture in made]


def clip_folder(folder: Path, width: int = 512, whole: bool = False) -> Path:
    """A tiny CLIP as transformers saves it, with a real byte-pair tokenizer.

    `whole` adds the vision tower, as in the official repository.
    """
    import transformers

    torch.manual_seed(1)
    vocabulary = clip_vocabulary()
    end = vocabulary["<|endoftext|>"]
    text = transformers.CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=16,
        projection_dim=width,
        bos_token_id=end - 1,
        eos_token_id=end,
        pad_token_id=end,
    )
    model: Any
    if whole:
        vision = transformers.CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=4,
            image_size=32,
            patch_size=16,
        )
        config = transformers.CLIPConfig(
            text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=width
        )
        model = transformers.CLIPModel(config)
    else:
        model = transformers.CLIPTextModelWithProjection(text)
    # With transformers' own initialisation all texts are alike.
    for parameter in model.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 16})
    )
    return folder


def clip_vocabulary() -> dict[str, int]:
    """Like CLIP's: letters, letters at a word's end, merges, start and end of a text."""
    letters = [chr(code) for code in range(33, 127)]
    merged = [merge.replace(" ", "") for merge in MERGES]
    words = [*letters, *(f"{letter}</w>" for letter in letters), *merged]
    return {word: n for n, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
