"""What the detector will run on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from streamwatch.config import Config, DetectorSettings
from streamwatch.detector.compiled.conversion import default_folder
from streamwatch.detector.device import has_gpu_driver, pick_device, require_runnable, runs_compiled
from streamwatch.detector.loading import job_for
from streamwatch.doctor.check import Check, Installation
from streamwatch.errors import DetectorError, UnavailableSetting
from streamwatch.models.provision import choose, found

AREA = "device"
NVIDIA, DISPLAY = "0x10de", "0x03"
"""PCI's number of the vendor, and of the class of devices."""


def checks(case: Installation) -> Iterator[Check]:
    settings = case.config.detector if case.config is not None else None
    try:
        device = pick_device(settings.device if settings is not None else "auto")
        if settings is not None:
            require_runnable(settings)
    except UnavailableSetting as error:
        yield Check(AREA, "", False, str(error), f"change {error.path} in the configuration")
        return
    yield _picked(device, settings)
    if device == "cpu" and (settings is None or settings.device == "auto"):
        yield from _unused_gpu()
    if case.config is not None and runs_compiled(case.config.detector, device):
        yield from _compiled(case.config)


def _picked(device: str, settings: DetectorSettings | None) -> Check:
    asked = "auto" if settings is None else settings.device
    meant = f"{asked} is {device}" if asked != device else device
    if settings is None:
        return Check(AREA, "", True, meant)
    backend = "openvino" if runs_compiled(settings, device) else "torch"
    return Check(AREA, "", True, f"{meant}, by {backend}, precision {settings.precision}")


def _unused_gpu() -> Iterator[Check]:
    if has_gpu_driver():
        said = "there is the driver of a GPU, and torch finds none it can use"
        do = "a GPU needs torch's build for it, and a user that may open its devices"
        yield Check(AREA, "GPU", None, said, do)
    elif _has_nvidia_card():
        said = "an NVIDIA card is in this machine, and no driver for it is loaded"
        yield Check(AREA, "GPU", None, said, "install NVIDIA's driver, to use it")


def _has_nvidia_card() -> bool:
    for vendor in Path("/sys/bus/pci/devices").glob("*/vendor"):
        try:
            if vendor.read_text().strip() == NVIDIA:
                return vendor.with_name("class").read_text().startswith(DISPLAY)
        except OSError:
            continue
    return False


def _compiled(config: Config) -> Iterator[Check]:
    choice = choose(config.detector)
    try:
        job = job_for(choice, found(choice.checkpoint))
        is_there = default_folder().find(job.key) is not None
    except DetectorError:
        return  # told with the weights
    if is_there:
        yield Check(AREA, "", True, f"{config.detector.model} is compiled")
    else:
        said = f"{config.detector.model} is not compiled yet: the first start does it"
        yield Check(AREA, "", None, said, "`streamwatch models compile` does it now")
