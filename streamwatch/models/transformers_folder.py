"""Loads what transformers saved in a folder, without running code from it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from streamwatch.errors import DetectorError


class Incomplete(DetectorError):  # noqa: N818 - reads as what it is
    """A model of which tensors are `missing`."""

    def __init__(self, noun: str, folder: Path, missing: frozenset[str]) -> None:
        super().__init__(
            f"the {noun} in {folder} lacks {len(missing)} of its tensors, as {min(missing)}"
        )
        self.missing = missing


def load_tokenizer(folder: Path, noun: str) -> Any:
    """The tokenizer in a folder. `noun` names what is loaded, in errors. Raises DetectorError."""
    return _load("AutoTokenizer", folder, noun)


def load_model(model_class: str, folder: Path, noun: str) -> Any:
    """The model in a folder, for inference. Raises DetectorError, or Incomplete.

    Weights are safetensors, or only tensors are unpickled.
    """
    model, info = _load(model_class, folder, noun, output_loading_info=True)
    if info["missing_keys"]:  # transformers fills these with random values
        raise Incomplete(noun, folder, frozenset(info["missing_keys"]))
    return model.eval()


def _load(class_name: str, folder: Path, noun: str, **options: bool) -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no request to the hub for a local folder
    import transformers

    transformers.utils.logging.disable_progress_bar()
    # Else it warns about the unused tower of a complete CLIP.
    transformers.utils.logging.set_verbosity_error()
    try:
        return getattr(transformers, class_name).from_pretrained(
            folder, local_files_only=True, **options
        )
    except Exception as error:  # each file format's reader raises its own types
        reason = str(error).strip().partition("\n")[0]
        raise DetectorError(f"the {noun} in {folder} can't be loaded ({reason})") from error
