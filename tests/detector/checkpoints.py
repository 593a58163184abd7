"""Small files of the formats that the official models have, made here of seeded random numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from ultralytics import YOLOWorld
from ultralytics.nn.modules import WorldDetect
from ultralytics.nn.tasks import WorldModel

MERGES = ("r e", "re d</w>", "c a", "ca r</w>", "t r", "tr u", "c k</w>", "tru ck</w>", "d o")


def world_checkpoint(name: str, file: Path, seed: int = 0) -> Path:
    """A checkpoint of a named model's own architecture, half precision as the official ones are.

    The head's biases are moved to where random features give confidences of every size.
    """
    torch.manual_seed(seed)
    model = WorldModel(f"{name}.yaml", verbose=False)
    head = model.model[-1]
    assert isinstance(head, WorldDetect)
    for contrast in head.cv4:
        contrast.bias.data.fill_(0.0)
    world = YOLOWorld.__new__(YOLOWorld)
    torch.nn.Module.__init__(world)
    torch.save({"model": model.half(), "train_args": {}, "epoch": -1, "ema": None}, file)
    return file


def clip_folder(folder: Path, width: int = 512, whole: bool = False) -> Path:
    """A tiny CLIP as transformers saves it, with a real byte-pair tokenizer.

    `whole` with its vision tower beside the text tower, as the official repository has it.
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
    for parameter in model.parameters():  # transformers' own start is so small that all is alike
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 16})
    )
    return folder


def clip_vocabulary() -> dict[str, int]:
    """As CLIP's: every byte, every byte at a word's end, the merges, start and end of a text."""
    from transformers.models.clip.tokenization_clip import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    merged = [merge.replace(" ", "") for merge in MERGES]
    words = [*letters, *(f"{letter}</w>" for letter in letters), *merged]
    return {word: n for n, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
