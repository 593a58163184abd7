"""The models a configuration can name, and how a detector is made of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamwatch.config.models import DetectorSettings
from streamwatch.detector.network import TorchNetwork, pick_device
from streamwatch.detector.protocol import TextEncoder, Vectors
from streamwatch.detector.text import bundled_minilm
from streamwatch.detector.world import WorldDetector
from streamwatch.errors import DetectorError

BUNDLED = Path(__file__).parents[1] / "models"


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint with what belongs to it. `image_size` is the longer side in pixels."""

    checkpoint: Path
    encoder: Callable[[], TextEncoder]
    image_size: int


MODELS = {
    "toybox": Model(BUNDLED / "toybox" / "toybox-n-world.pt", bundled_minilm, 416),
}


def load_detector(settings: DetectorSettings) -> WorldDetector:
    """The detector that `settings` name, its weights on its device.

    Raises DetectorError. Takes seconds: torch and Ultralytics are imported on the way here.
    """
    model = _model(settings)
    device = pick_device(settings.device)
    network = TorchNetwork(model.checkpoint, device)
    return WorldDetector(network, settings.image_size or model.image_size, str(device))


def encode_prompts(settings: DetectorSettings, prompts: Sequence[str]) -> dict[str, Vectors]:
    """The vector of each prompt, `(512,)`; the encoder's memory is given back afterwards."""
    if not prompts:
        return {}
    vectors = _model(settings).encoder().encode(prompts)
    return dict(zip(prompts, np.asarray(vectors), strict=True))


def _model(settings: DetectorSettings) -> Model:
    try:
        return MODELS[settings.model]
    except KeyError as error:
        known = ", ".join(MODELS)
        raise DetectorError(
            f"detector.model: there is no model {settings.model!r}; known are: {known}"
        ) from error
