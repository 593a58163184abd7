"""The door for Python programs: `from streamwatch import Detector, Pipeline`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from streamwatch.config import DetectorSettings, first_mistake
from streamwatch.detector.loading import load_detector
from streamwatch.detector.protocol import View
from streamwatch.errors import DetectorError
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.pixels import Pixels
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.prompts.vocabulary import padding, vocabulary
from streamwatch.records import Detection, Image

__all__ = ["Detector", "Pipeline"]


class Detector:
    """Finds in pictures what is described in words.

        Detector("toybox").find(image, ["red car"])

    `model` is a name that `streamwatch models` lists, or the path of a checkpoint, which needs
    `text_encoder` too; the other arguments are those of the section `detector` of a configuration.
    Loading takes seconds, and nothing is fetched: `streamwatch models pull NAME` does that. Raises
    DetectorError, or UnavailableSetting where the device is not there. May be used by any thread;
    they take turns.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        text_encoder: str | Path | None = None,
        device: str = "auto",
        backend: str = "auto",
        precision: str = "auto",
        image_size: int | None = None,
        template: str = "{}",
    ) -> None:
        self._load(
            _settings(
                model=str(model),
                text_encoder=None if text_encoder is None else str(text_encoder),
                device=device,
                backend=backend,
                precision=precision,
                image_size=image_size,
                template=template,
            )
        )

    @classmethod
    def of(cls, settings: DetectorSettings) -> Detector:
        """One with the settings of a configuration. Raises as making one does."""
        made = cls.__new__(cls)
        made._load(settings)
        return made

    def _load(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self._detector = load_detector(settings)
        self._embeddings = Embeddings(settings)
        self._lock = threading.Lock()

    @property
    def device(self) -> str:
        """`cpu`, or `cuda:0` and the like."""
        return self._detector.running.device

    def find(
        self, image: Image, prompts: Sequence[str], *, confidence: float | None = None
    ) -> list[Detection]:
        """What of `prompts` is in a picture, the surest first.

        `image` is `(height, width, 3)` uint8, BGR, as OpenCV reads it; boxes are `(x1, y1, x2, y2)`
        in its pixels. From `confidence` on, the model's own threshold where left out. Each
        prompt is a question of its own: one thing may be found by several. New prompts take seconds
        the first time, and are kept on disk. Raises ValueError for what is no picture or no prompt.
        """
        least = self._settings.threshold if confidence is None else confidence
        asked = _prompts(prompts)
        _require_picture(image)
        with self._lock:
            around = padding(self._settings)
            words = vocabulary(asked, self._embeddings.vectors((*asked, *around)), around)
            (found,) = self._detector.detect([View(Pixels(image), words, least)])
        return sorted(found, key=lambda detection: detection.confidence, reverse=True)


def _settings(**keys: Any) -> DetectorSettings:
    try:
        return DetectorSettings(**keys)
    except ValidationError as error:
        raise DetectorError(first_mistake(error)) from None


def _prompts(prompts: Sequence[str]) -> tuple[str, ...]:
    if isinstance(prompts, str):
        raise ValueError("prompts is one text; write a list of them")
    asked = tuple(dict.fromkeys(prompt.strip() for prompt in prompts))
    if not asked or not all(asked):
        raise ValueError("prompts must be one text or more, none of them empty")
    return asked


def _require_picture(image: object) -> None:
    if not isinstance(image, np.ndarray):
        raise ValueError(f"image is no array but {type(image).__name__}; was the file read?")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(
            f"image must be (height, width, 3) uint8, BGR; this is {image.shape} {image.dtype}"
        )
