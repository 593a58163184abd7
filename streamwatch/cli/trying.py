"""The command `try`: words tried on pictures, clips and cameras before they go live."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamwatch.cli import output
from streamwatch.cli.endings import EXIT_FAILED, fail, fail_at, require_runnable
from streamwatch.cli.options import ConfigOption, JsonOption
from streamwatch.cli.signals import INTERRUPTED, stop_on_signals
from streamwatch.errors import ConfigError, StreamwatchError, UnavailableSetting

if TYPE_CHECKING:
    from streamwatch.config import Config

PromptOption = Annotated[
    list[str] | None,
    typer.Option("-p", "--prompt", metavar="TEXT", help="What to find; may be given again."),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        metavar="NAME",
        help="As `streamwatch models` lists it, or the path of a checkpoint. Without it: that of "
        "the configuration.",
        show_default=False,
    ),
]
EncoderOption = Annotated[
    str | None,
    typer.Option(
        "--text-encoder",
        metavar="NAME",
        help="What a checkpoint by its path was trained with.",
        show_default=False,
    ),
]
ConfidenceOption = Annotated[
    float | None,
    typer.Option(
        "--confidence",
        metavar="SHARE",
        min=0.001,
        max=1,
        help="How sure it must be, from 0 to 1. Without it: as the configuration or the model "
        "says.",
        show_default=False,
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "-o", "--out", metavar="FOLDER", help="Write annotated pictures there.", show_default=False
    ),
]


def try_(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH|URL|CAMERA...",
            help="Pictures, folders of them, clips, URLs, or cameras of the configuration.",
            show_default=False,
        ),
    ],
    prompts: PromptOption = None,
    rivals: Annotated[
        list[str] | None,
        typer.Option("--not", metavar="TEXT", help="What it must beat; may be given again."),
    ] = None,
    watches: Annotated[
        list[str] | None,
        typer.Option(
            "-w",
            "--watch",
            metavar="NAME",
            help="A watch of the configuration, with its rules and zones; may be given again.",
        ),
    ] = None,
    config: ConfigOption = None,
    model: ModelOption = None,
    text_encoder: EncoderOption = None,
    confidence: ConfidenceOption = None,
    fps: Annotated[
        float | None,
        typer.Option(
            "--fps", metavar="N", min=0.01, max=120, help="Frames looked at a second, at most."
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds",
            metavar="N",
            min=0.1,
            help="Look at so much of each clip at most, and at a camera for so long.",
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            "--truth",
            metavar="FILE",
            help="What is really there: a clip's *.truth.json, or COCO annotations of pictures.",
            show_default=False,
        ),
    ] = None,
    out: OutOption = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE.html",
            help="Write a page with plots, pictures and a slider for the threshold.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Try words on pictures, clips or cameras: what would be told, and at which threshold.

    Nothing is published. Each prompt is a watch of its own. Exit codes: 0 done; 1 the
    configuration is wrong; 2 the command line is wrong; 3 something could not be read or written;
    130 stopped by Ctrl-C before the end, with what was done until then.
    """
    from rich.console import Console

    from streamwatch import logs
    from streamwatch.tuning.asked import Asked

    console = Console(highlight=False, stderr=as_json)
    path, base = configuration(config, needed=bool(watches) or model is None)
    with ended_with_a_sentence(path if model is None else None):
        asked = Asked(
            prompts or (),
            watches or (),
            rivals or (),
            model,
            text_encoder,
            confidence,
            fps,
            base,
        )
        settings = asked.config()
        footage = asked.footage(sources)
        require_runnable(settings.detector)
        from streamwatch.cli.models import pull_for
        from streamwatch.cli.try_run import Trying, demand_writable, known_truth

        logs.set_up("error", "text")  # what goes wrong with footage is told by itself
        pull_for(settings.detector, console)
        trying = Trying(settings, console, out, quiet=as_json, seconds=seconds)
        known = None if truth is None else known_truth(truth, footage)
        if report is not None:
            demand_writable(report)
        stop = threading.Event()
        with stop_on_signals(stop.set):
            trying.run(footage, stop)
        found = trying.document(known)
        if report is not None:
            trying.write_report(report, found)
    if as_json:
        output.print_json(found)
    else:
        trying.show(found)
        if report is not None:
            output.say(f"\nThe report is in {report}")
    if any(run["problem"] or run["unreadable"] for run in found["footage"]):
        raise typer.Exit(EXIT_FAILED)
    if stop.is_set() and not all(footage_.live for footage_ in footage):
        raise typer.Exit(INTERRUPTED)


@contextmanager
def ended_with_a_sentence(path: Path | None) -> Iterator[None]:
    """End the command if something can't be done, or at Ctrl-C. A setting that is not available is
    told of its place in the configuration at `path`; None where it does not stand in one."""
    try:
        yield
    except UnavailableSetting as error:
        if path is None:
            fail(error)
        fail_at(path, error)
    except StreamwatchError as error:
        fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def configuration(explicit: Path | None, *, needed: bool) -> tuple[Path | None, Config | None]:
    """The configuration file and what it says. Where it is not `needed` nor named, neither one that
    is missing nor one that is wrong is in the way."""
    from streamwatch.config import find, load

    try:
        path = find(explicit)
    except ConfigError:
        return None, None
    try:
        return path, load(path)
    except StreamwatchError as error:
        if needed or explicit is not None:
            fail(error)
        return None, None
