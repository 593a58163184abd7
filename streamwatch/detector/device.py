"""What the detector runs on and with: whether this machine has what is asked for.

Nothing here imports torch unless there may be a GPU: that takes a second and 480 MB, and on a CPU
what was compiled earlier needs none of it.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from streamwatch.config import DetectorSettings
from streamwatch.errors import UnavailableSetting
from streamwatch.paths import DISTRIBUTION

GPU_DRIVERS = ("nvidia*", "nvhost*", "nvgpu", "nvmap", "dxg", "kfd")
"""What the drivers that torch's `cuda` may use put into /dev: NVIDIA's, those of its Jetson boards,
Windows' for its Linux, and AMD's."""


def pick_device(setting: str) -> str:
    """torch's name of the device for `detector.device`; `auto` is the GPU if there is one.

    Raises UnavailableSetting if the machine lacks the device.
    """
    if setting == "auto":
        return "cuda" if _gpus() else "cpu"
    if setting.startswith("cuda"):
        present = _gpus()
        if int(setting.partition(":")[2] or 0) >= present:
            raise UnavailableSetting(
                "detector.device",
                f"{setting} is not on this machine, which has {present} CUDA devices; write auto "
                "or cpu",
            )
    return setting


def require_runnable(settings: DetectorSettings) -> None:
    """Raises UnavailableSetting unless this machine has the device, the backend and the precision
    of `settings`, as far as that can be told before the detector is loaded."""
    if {settings.device, settings.backend, settings.precision} == {"auto"}:
        return  # runs anywhere, and to see on what may need torch
    device = pick_device(settings.device)
    runs_compiled(settings, device)
    torch_precision(settings, device)


def runs_compiled(settings: DetectorSettings, device: str) -> bool:
    """Whether the network is to be compiled. Raises UnavailableSetting where it can't be."""
    if settings.backend == "openvino" and device != "cpu":
        raise UnavailableSetting(
            "detector.backend",
            f"openvino is for a CPU, and the detector runs on {device}; write auto or torch",
        )
    return settings.backend != "torch" and device == "cpu"


def torch_precision(settings: DetectorSettings, device: str) -> Literal["full", "half"]:
    """The precision for torch: on a GPU half, which is about twice as fast and takes half the
    memory. Raises UnavailableSetting, also for what only the compiled network could not do."""
    asked = settings.precision
    if device != "cpu":
        if asked == "int8":
            raise UnavailableSetting(
                "detector.precision", f"int8 is for a CPU, and the detector runs on {device}"
            )
        return "full" if asked == "full" else "half"
    if settings.backend == "torch" and asked not in ("auto", "full"):
        raise UnavailableSetting(
            "detector.precision", f"{asked} needs detector.backend: openvino on a CPU"
        )
    if asked == "int8" and find_spec("nncf") is None:
        raise UnavailableSetting(
            "detector.precision",
            f"int8 needs the extra int8: pip install '{DISTRIBUTION}[int8]'",
        )
    return "full"


def has_gpu_driver() -> bool:
    """Whether there may be a GPU, told without torch."""
    return any(True for driver in GPU_DRIVERS for _ in Path("/dev").glob(driver))


def _gpus() -> int:
    """How many devices torch has under `cuda`."""
    if not has_gpu_driver():
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
