"""Text encoders that run on transformers, and the table of all kinds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamwatch.config.catalogue import EncoderKind
from streamwatch.models.transformers_folder import load_model, load_tokenizer
from streamwatch.prompts.encoders.mobileclip import MobileClip
from streamwatch.prompts.encoders.protocol import TextEncoder
from streamwatch.records import TEXT_WIDTH, Vectors

_NOUN = "text encoder"


class MiniLM:
    """sentence-transformers' all-MiniLM-L6-v2, which the toybox checkpoint was trained with.

    Mean-pooled over the attention mask, L2-normalised, zero-padded from 384 to 512 values; texts in
    lower case. 90 MB.
    """

    def __init__(self, folder: Path) -> None:
        self._tokenizer = load_tokenizer(folder, _NOUN)
        self._model = load_model("AutoModel", folder, _NOUN)
        self.width = max(TEXT_WIDTH, int(self._model.config.hidden_size))
        self.longest = int(self._model.config.max_position_embeddings)

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        return _lengths(self._tokenizer, [prompt.lower() for prompt in prompts])

    def encode(self, prompts: Sequence[str]) -> Vectors:
        import torch

        tokens = self._tokenizer(
            [prompt.lower() for prompt in prompts],
            padding=True,
            truncation=True,
            max_length=self.longest,
            return_tensors="pt",
        )
        with torch.inference_mode():
            hidden = self._model(**tokens).last_hidden_state
            mask = tokens["attention_mask"][..., None].to(hidden.dtype)
            pooled = (hidden * mask).sum(1) / mask.sum(1)
            unit = torch.nn.functional.normalize(pooled, dim=-1).numpy()
        vectors = np.zeros((len(prompts), self.width), np.float32)
        vectors[:, : unit.shape[1]] = unit
        return vectors


class ClipText:
    """CLIP's text tower with its projection; the official YOLO-World weights need ViT-B/32's.

    The same vectors as Ultralytics' `CLIP.encode_text`: the end-of-text token's output, projected
    and L2-normalised; texts truncated to 77 tokens and lower-cased by the tokenizer. 250 MB.
    """

    def __init__(self, folder: Path) -> None:
        self._tokenizer = load_tokenizer(folder, _NOUN)
        self._model = load_model("CLIPTextModelWithProjection", folder, _NOUN)
        self.width = int(self._model.config.projection_dim)
        self.longest = int(self._model.config.max_position_embeddings)

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        return _lengths(self._tokenizer, prompts)

    def encode(self, prompts: Sequence[str]) -> Vectors:
        import torch

        tokens = self._tokenizer(
            list(prompts),
            padding=True,
            truncation=True,
            max_length=self.longest,
            return_tensors="pt",
        )
        with torch.inference_mode():
            projected = self._model(**tokens).text_embeds
            unit = torch.nn.functional.normalize(projected, dim=-1)
        vectors: Vectors = unit.float().numpy()
        return vectors


TEXT_ENCODERS: dict[EncoderKind, Callable[..., TextEncoder]] = {
    "clip": ClipText,
    "minilm": MiniLM,
    "mobileclip": MobileClip,
}
"""Called with the paths of the encoder's sources, in the catalogue's order."""


def _lengths(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """The number of tokens of each text, start and end included, without truncation."""
    return [len(ids) for ids in tokenizer(list(texts))["input_ids"]]
