"""MobileCLIP's text encoder, which YOLOE's checkpoints were trained with.

It needs two sets of files, neither part of this package:

- the text tower as TorchScript, an asset of Ultralytics' releases: `mobileclip_blt.ts` for
  YOLOE-11, `mobileclip2_b.ts` for YOLOE-26. It takes CLIP's tokens as int32, and normalises.
- CLIP's tokenizer, from `openai/clip-vit-base-patch32` on the Hugging Face hub:
  `tokenizer_config.json` and either `tokenizer.json` or `vocab.json` with `merges.txt`; and
  `config.json` if the first doesn't name the tokenizer's class.

Ultralytics tokenises with the package `clip`, which it installs from GitHub at run time. The tokens
here are the same (checked with 3,000 random texts over the real vocabulary), except that `clip`
first cleans texts with ftfy (straight quotes, narrow letters) and unescapes HTML such as `&amp;`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from streamwatch.errors import DetectorError
from streamwatch.records import TEXT_WIDTH, Vectors

CONTEXT = 77
"""Tokens of a text, start and end included: the length that CLIP was trained with."""

AT_ONCE = 80
"""Prompts a batch, as in Ultralytics; bounds the memory."""


class MobileClip:
    """Text vectors of unit length from a TorchScript text tower, on the CPU.

    Holds some hundred MB.
    """

    def __init__(self, tower: Path, tokenizer: Path) -> None:
        """`tower` is the `.ts` file, `tokenizer` the folder with CLIP's. Raises DetectorError."""
        self._tokens = ClipTokens(tokenizer)
        self.width = TEXT_WIDTH
        self.longest = CONTEXT
        self._path = tower
        self._tower: Any = _read_tower(tower)

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        return self._tokens.lengths(prompts)

    def encode(self, prompts: Sequence[str]) -> Vectors:
        tokens = torch.from_numpy(self._tokens.of(prompts))
        try:
            with torch.inference_mode():
                vectors = torch.cat(
                    [
                        self._tower(tokens[first : first + AT_ONCE]).float()
                        for first in range(0, len(tokens), AT_ONCE)
                    ]
                )
        except RuntimeError as error:  # the type of all of TorchScript's errors
            raise DetectorError(
                f"the text encoder {self._path} can't take CLIP's tokens; it is not MobileCLIP's"
            ) from error
        if vectors.shape != (len(prompts), TEXT_WIDTH):
            raise DetectorError(
                f"the text encoder {self._path} gives vectors of {vectors.shape[-1]} numbers, "
                f"YOLOE takes {TEXT_WIDTH}"
            )
        unit: Vectors = torch.nn.functional.normalize(vectors, dim=-1).numpy()
        return unit


class ClipTokens:
    """CLIP's tokenizer, from a folder."""

    def __init__(self, folder: Path) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no request to the hub for a local folder
        from transformers import AutoTokenizer

        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # the tokenizer's Rust part raises plain Exception
            raise DetectorError(
                f"the tokenizer in {folder} can't be loaded; it takes CLIP's tokenizer_config.json "
                "and tokenizer.json, or vocab.json and merges.txt in place of the latter"
            ) from error
        last = len(self._tokenizer) - 1
        if self._tokenizer.eos_token_id != last:  # the tower takes the highest token for the end
            raise DetectorError(f"the tokenizer in {folder} is not CLIP's")

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text, start and end included, without truncation."""
        return [len(ids) for ids in self._tokenizer(list(texts))["input_ids"]]

    def of(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """`(texts, 77)`: start, text, end, zeros. Long texts are truncated before the end token."""
        found = self._tokenizer(list(texts), truncation=True, max_length=CONTEXT)["input_ids"]
        tokens = np.zeros((len(texts), CONTEXT), np.int32)
        for row, ids in zip(tokens, found, strict=True):
            row[: len(ids)] = ids
        return tokens


def _read_tower(path: Path) -> Any:
    if not path.is_file():
        raise DetectorError(f"the text encoder {path} is missing")
    try:
        with warnings.catch_warnings():
            # Deprecated in torch, but these files exist in this format only.
            warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated")
            return torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise DetectorError(f"the text encoder {path} is broken or no TorchScript file") from error
