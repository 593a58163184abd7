"""Builds the detector from its settings: which network, on which device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from streamwatch.config import DetectorSettings
from streamwatch.config.catalogue import NetworkKind
from streamwatch.detector.detector import WorldDetector
from streamwatch.detector.networks.yolo_world import TorchNetwork
from streamwatch.detector.networks.yoloe import YoloeNetwork
from streamwatch.detector.protocol import Network
from streamwatch.errors import DetectorError, UnavailableSetting
from streamwatch.models.provision import choose, found
from streamwatch.records import TEXT_WIDTH

NETWORKS: dict[NetworkKind, Callable[[Path, torch.device], Network]] = {
    "world": TorchNetwork,
    "yoloe-11": partial(YoloeNetwork, text_model="mobileclip:blt"),
    "yoloe-26": partial(YoloeNetwork, text_model="mobileclip2:b"),
}


def load_detector(settings: DetectorSettings) -> WorldDetector:
    """The detector for `settings`, its weights loaded on the device.

    Raises DetectorError, and UnavailableSetting for a missing device; never fetches. Takes seconds.
    """
    choice = choose(settings)
    checkpoint = found(choice.checkpoint)
    device = pick_device(settings.device)
    network = NETWORKS[choice.network](checkpoint, device)
    if network.text_width != TEXT_WIDTH:
        raise DetectorError(
            f"the checkpoint {checkpoint} takes text vectors {network.text_width} wide, and the "
            f"text encoders give {TEXT_WIDTH}"
        )
    return WorldDetector(network, choice.image_size, str(device))


def pick_device(setting: str) -> torch.device:
    """The torch device for `detector.device`; `auto` is the GPU if there is one.

    Raises UnavailableSetting if the machine lacks the device.
    """
    if setting == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(setting)
    if device.type == "cuda":
        present = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= present:
            raise UnavailableSetting(
                "detector.device",
                f"{setting} is not on this machine, which has {present} CUDA devices; write auto "
                "or cpu",
            )
    return device
