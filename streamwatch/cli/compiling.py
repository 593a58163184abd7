"""The output of `streamwatch models compile`."""

from __future__ import annotations

from rich.console import Console

from streamwatch.cli.models import log_above
from streamwatch.config import Config
from streamwatch.detector.compiled.conversion import convert, default_folder
from streamwatch.detector.device import pick_device, runs_compiled
from streamwatch.detector.loading import job_for
from streamwatch.errors import DetectorError
from streamwatch.models.provision import choose, found
from streamwatch.pipeline.pipeline import Pipeline

CHECK_SECONDS = 0.5
"""How often it is looked whether the detector is quantized."""


def compile_for(config: Config, console: Console) -> None:
    """Compile the detector of a configuration; for int8 watch its cameras until there are enough
    pictures. Its files must be here. Raises DetectorError, and UnavailableSetting for what this
    machine lacks."""
    settings = config.detector
    device = pick_device(settings.device)
    if not runs_compiled(settings, device):
        console.print(f"There is nothing to compile: torch runs {settings.model} on {device}.")
        return
    choice = choose(settings)
    job = job_for(choice, found(choice.checkpoint))
    with console.status(settings.model) as status:
        graph = convert(job, default_folder(), lambda step: status.update(f"{step} …"))
    if settings.precision == "int8":
        with log_above(console, "streamwatch.detector"):
            _quantize(config)
        told = "int8"
    else:
        _, told = graph.numbers(settings.precision)
    console.print(f"{settings.model} is compiled and runs in precision {told}.")
    console.print(f"[dim]It is kept in {default_folder().folder}[/]", soft_wrap=True)


def _quantize(config: Config) -> None:
    """Run the cameras without publishing anything, until the detector is quantized."""
    with Pipeline(config, publish=lambda _: None) as pipeline:
        while True:
            ended = pipeline.wait(CHECK_SECONDS)
            running = pipeline.current.detector.running
            if running.precision == "int8":
                return
            if running.problem is not None:
                raise DetectorError(running.problem)
            if ended:
                raise DetectorError(
                    "the cameras ended before there were enough pictures to quantize the detector "
                    "with; files need loop: true"
                )
