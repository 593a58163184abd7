"""A small text tower and a small vocabulary in the formats of MobileCLIP's and CLIP's files."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import torch
from torch import nn

MERGES = ("r e", "re d</w>", "c a", "ca r</w>", "d o", "do g</w>", "ca t</w>", "' s</w>", "re a")
START, END = "<|startoftext|>", "<|endoftext|>"


def byte_letters() -> dict[int, str]:
    """CLIP writes every byte as a letter: visible ones as they are, the others from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {
        **{byte: chr(byte) for byte in plain},
        **{byte: chr(256 + number) for number, byte in enumerate(others)},
    }


def vocabulary() -> dict[str, int]:
    """In CLIP's order: bytes, bytes that end a word, merges, start, end."""
    letters = list(byte_letters().values())
    merged = [merge.replace(" ", "") for merge in MERGES]
    words = [*letters, *(f"{letter}</w>" for letter in letters), *merged, START, END]
    return {word: number for number, word in enumerate(words)}


def make_tokenizer(folder: Path) -> Path:
    """The files of `openai/clip-vit-base-patch32` that matter, for a vocabulary of 523."""
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(vocabulary()))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))
    return folder


class Tower(nn.Module):
    """Like the real one: int32 tokens in, vectors of length 1 out, taken at the end of the text."""

    def __init__(self, width: int = 512) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.words = nn.Embedding(len(vocabulary()), width)
        self.places = nn.Parameter(torch.randn(77, width))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        seen = ((self.words(tokens) + self.places) * self.places.cos()).cumsum(1)
        ends = seen[torch.arange(tokens.shape[0]), tokens.argmax(-1)]
        return nn.functional.normalize(ends, dim=-1)


def make_tower(path: Path, tower: nn.Module) -> Path:
    """Traced with one text, as Ultralytics traced MobileCLIP."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls the format deprecated
        traced = torch.jit.trace(tower.eval(), torch.zeros(1, 77, dtype=torch.int32))  # type: ignore[no-untyped-call]
        traced.save(str(path))
    return path
