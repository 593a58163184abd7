"""Builds the detector from its settings: which network, on which device, run by what."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from streamwatch.config import DetectorSettings
from streamwatch.detector.compiled.conversion import Job, convert, default_folder
from streamwatch.detector.compiled.graph_file import ConvertedGraph
from streamwatch.detector.compiled.upgrading import UpgradingNetwork
from streamwatch.detector.detector import WorldDetector
from streamwatch.detector.letterbox import STRIDE
from streamwatch.detector.networks.kinds import GRAPHS
from streamwatch.detector.networks.torch_network import TorchNetwork
from streamwatch.detector.protocol import Network
from streamwatch.errors import DetectorError, UnavailableSetting
from streamwatch.models.provision import Choice, choose, found
from streamwatch.records import TEXT_WIDTH

if TYPE_CHECKING:
    from streamwatch.detector.compiled.network import OpenVinoNetwork

log = logging.getLogger(__name__)


def load_detector(
    settings: DetectorSettings, on_change: Callable[[], None] = lambda: None
) -> WorldDetector:
    """The detector for `settings`, its weights loaded on the device.

    On a CPU it may begin with torch and change to the compiled network when that is made: then
    `on_change` is called, in another thread, as it is when that fails. Raises DetectorError, and
    UnavailableSetting for what this machine lacks; never fetches. Takes seconds.
    """
    choice = choose(settings)
    device = pick_device(settings.device)
    precision = _torch_precision(settings, device)
    checkpoint = found(choice.checkpoint)

    def by_torch() -> Network:
        network = TorchNetwork(GRAPHS[choice.network](checkpoint), device, precision)
        if network.text_width != TEXT_WIDTH:
            raise DetectorError(
                f"the checkpoint {checkpoint} takes text vectors {network.text_width} wide, and "
                f"the text encoders give {TEXT_WIDTH}"
            )
        return network

    network = (
        _compiled(settings, job_for(choice, checkpoint), by_torch, on_change)
        if runs_compiled(settings, device)
        else by_torch()
    )
    return WorldDetector(network, choice.image_size)


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


def runs_compiled(settings: DetectorSettings, device: torch.device) -> bool:
    """Whether the network is to be compiled. Raises UnavailableSetting where it can't be."""
    if settings.backend == "openvino" and device.type != "cpu":
        raise UnavailableSetting(
            "detector.backend",
            f"openvino is for a CPU, and the detector runs on {device}; write auto or torch",
        )
    return settings.backend != "torch" and device.type == "cpu"


def job_for(choice: Choice, checkpoint: Path) -> Job:
    """What has to be converted, measured with a wide picture as most cameras give it."""
    height = -(-choice.image_size * 9 // 16 // STRIDE) * STRIDE
    width = -(-choice.image_size // STRIDE) * STRIDE
    return Job(str(checkpoint), choice.network, height, width)


def _torch_precision(settings: DetectorSettings, device: torch.device) -> Literal["full", "half"]:
    """The precision for torch: on a GPU half, which is about twice as fast and takes half the
    memory. Raises UnavailableSetting."""
    asked = settings.precision
    if device.type == "cuda":
        if asked == "int8":
            raise UnavailableSetting(
                "detector.precision", f"int8 is for a CPU, and the detector runs on {device}"
            )
        return "full" if asked == "full" else "half"
    if settings.backend == "torch" and asked not in ("auto", "full"):
        raise UnavailableSetting(
            "detector.precision", f"{asked} needs detector.backend: openvino on a CPU"
        )
    return "full"


def _compiled(
    settings: DetectorSettings,
    job: Job,
    by_torch: Callable[[], Network],
    on_change: Callable[[], None],
) -> Network:
    """The compiled network, at once if it was converted earlier, else as soon as it is."""

    def compiled(graph: ConvertedGraph) -> OpenVinoNetwork:
        # Here, for OpenVINO takes a moment to import and is no part of what runs on a GPU.
        from streamwatch.detector.compiled.network import OpenVinoNetwork

        return OpenVinoNetwork(graph, *graph.numbers(settings.precision))

    try:
        graph = default_folder().find(job.key)
        if graph is not None:
            return compiled(graph)
    except Exception as error:  # OpenVINO may raise any exception
        log.debug("the compiled network can't be loaded", exc_info=error)
    return UpgradingNetwork(by_torch(), lambda: convert(job, default_folder()), compiled, on_change)
