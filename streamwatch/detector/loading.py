"""Builds the detector from its settings: which network, on which device, run by what."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from streamwatch.config import DetectorSettings
from streamwatch.detector.compiled.conversion import Job, convert, default_folder
from streamwatch.detector.compiled.graph_file import ConvertedGraph
from streamwatch.detector.compiled.samples import Sample
from streamwatch.detector.compiled.upgrading import Upgrade, UpgradingNetwork
from streamwatch.detector.detector import WorldDetector
from streamwatch.detector.device import pick_device, runs_compiled, torch_precision
from streamwatch.detector.letterbox import STRIDE
from streamwatch.detector.protocol import Network
from streamwatch.errors import DetectorError
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
    precision = torch_precision(settings, device)
    checkpoint = found(choice.checkpoint)

    def by_torch() -> Network:
        # Here, for importing torch takes a second and 480 MB, and what is compiled needs none.
        from streamwatch.detector.networks.kinds import GRAPHS
        from streamwatch.detector.networks.splitting import SplittingNetwork
        from streamwatch.detector.networks.torch_network import TorchNetwork

        graph = GRAPHS[choice.network](checkpoint)
        if graph.text_width != TEXT_WIDTH:
            raise DetectorError(
                f"the checkpoint {checkpoint} takes text vectors {graph.text_width} wide, and "
                f"the text encoders give {TEXT_WIDTH}"
            )
        return SplittingNetwork(TorchNetwork(graph, device, precision))

    network = (
        _compiled(settings, job_for(choice, checkpoint), by_torch, on_change)
        if runs_compiled(settings, device)
        else by_torch()
    )
    return WorldDetector(network, choice.image_size)


def job_for(choice: Choice, checkpoint: Path) -> Job:
    """What has to be converted, measured with a wide picture as most cameras give it."""
    height = -(-choice.image_size * 9 // 16 // STRIDE) * STRIDE
    width = -(-choice.image_size // STRIDE) * STRIDE
    return Job(str(checkpoint), choice.network, height, width)


def _compiled(
    settings: DetectorSettings,
    job: Job,
    by_torch: Callable[[], Network],
    on_change: Callable[[], None],
) -> Network:
    """The best network that was made earlier, and what is still to be made of it."""
    quantized = replace(job, quantized=True)

    def at_full_size(graph: ConvertedGraph) -> OpenVinoNetwork:
        # Until it is quantized, in what is fastest.
        return _network(graph, "auto" if settings.precision == "int8" else settings.precision)

    def at_eight_bits(graph: ConvertedGraph) -> OpenVinoNetwork:
        return _network(graph, "int8")

    def convert_it(_: Sequence[Sample]) -> ConvertedGraph:
        return convert(job, default_folder())

    def quantize_it(samples: Sequence[Sample]) -> ConvertedGraph:
        return convert(quantized, default_folder(), samples=samples)

    upgrades = []
    if settings.precision == "int8":
        earlier = _made_earlier(quantized, at_eight_bits)
        if earlier is not None:
            return earlier
        why_not = "the detector is not quantized"
        upgrades = [Upgrade(quantize_it, at_eight_bits, why_not, wants_samples=True)]
    network: Network | None = _made_earlier(job, at_full_size)
    if network is None:
        why_not = "the detector is not compiled, torch goes on"
        upgrades = [Upgrade(convert_it, at_full_size, why_not), *upgrades]
        network = by_torch()
    return UpgradingNetwork(network, upgrades, on_change) if upgrades else network


def _made_earlier(
    job: Job, network: Callable[[ConvertedGraph], OpenVinoNetwork]
) -> OpenVinoNetwork | None:
    """The network of a job that was done before; None if it can't be loaded."""
    try:
        graph = default_folder().find(job.key)
        return None if graph is None else network(graph)
    except Exception as error:  # OpenVINO may raise any exception
        log.debug("the compiled network can't be loaded", exc_info=error)
        return None


def _network(
    graph: ConvertedGraph, precision: Literal["auto", "full", "half", "int8"]
) -> OpenVinoNetwork:
    # Here, for OpenVINO takes a moment to import and is no part of what runs on a GPU.
    from streamwatch.detector.compiled.network import OpenVinoNetwork

    return OpenVinoNetwork(graph, *graph.numbers(precision))
