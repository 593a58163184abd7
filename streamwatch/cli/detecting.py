"""The command `detect`: what is in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamwatch.cli import output
from streamwatch.cli.endings import EXIT_FAILED, require_runnable
from streamwatch.cli.options import ConfigOption, JsonOption
from streamwatch.cli.trying import (
    ConfidenceOption,
    EncoderOption,
    ModelOption,
    OutOption,
    PromptOption,
    configuration,
    ended_with_a_sentence,
)
from streamwatch.errors import SourceError

if TYPE_CHECKING:
    from rich.console import Console

    from streamwatch.python import Detector
    from streamwatch.tuning.painting import Painter


def detect(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURE...", help="Pictures, or folders of them.", show_default=False
        ),
    ],
    prompts: PromptOption = None,
    config: ConfigOption = None,
    model: ModelOption = None,
    text_encoder: EncoderOption = None,
    confidence: ConfidenceOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find what is described in words in pictures, as `Detector.find` does from Python.

    Each prompt is a question of its own: one thing may be found by several. Exit codes: 0 done,
    also where nothing is found; 1 the configuration is wrong; 2 the command line is wrong; 3 a
    picture could not be read or written.
    """
    from rich.console import Console

    from streamwatch.tuning.asked import Asked
    from streamwatch.tuning.footage import pictures_of

    if not prompts:
        raise typer.BadParameter('say what to look for: --prompt "red car"')
    console = Console(highlight=False)
    path, base = configuration(config, needed=model is None)
    with ended_with_a_sentence(path if model is None else None):
        asked = Asked(
            prompts,
            model=model,
            text_encoder=text_encoder,
            confidence=confidence,
            base=base,
        )
        words = [prompt for watch in asked.config().watches.values() for prompt in watch.prompt]
        files = pictures_of(pictures)
        settings = asked.detector()
        require_runnable(settings)
        from streamwatch.cli.models import pull_for
        from streamwatch.python import Detector
        from streamwatch.tuning.painting import Painter

        pull_for(settings, Console(highlight=False, stderr=True))
        painter = None if out is None else Painter(out)
        found = _found(Detector.of(settings), words, files, painter, console, quiet=as_json)
    if as_json:
        output.print_json(found)
    if any("problem" in each for each in found):
        raise typer.Exit(EXIT_FAILED)


def _found(
    detector: Detector,
    words: Sequence[str],
    files: Sequence[Path],
    painter: Painter | None,
    console: Console,
    *,
    quiet: bool,
) -> list[dict[str, Any]]:
    """Of each picture what is in it; printed as it is found unless `quiet`."""
    from streamwatch.source.pictures import read_picture

    documents = []
    for file in files:
        document: dict[str, Any] = {"picture": str(file)}
        documents.append(document)
        try:
            image = read_picture(file)
        except SourceError as error:
            document["problem"] = str(error)
            typer.echo(f"streamwatch: {error}", err=True)
            continue
        found = detector.find(image, words)
        document["frame"] = [image.shape[1], image.shape[0]]
        document["detections"] = [
            {
                "prompt": each.prompt,
                "confidence": round(each.confidence, 3),
                "box": [round(edge, 1) for edge in each.box],
            }
            for each in found
        ]
        if painter is not None:
            document["annotated"] = str(painter.annotate(file.stem, image, found))
        if not quiet:
            _show(document, console)
    return documents


def _show(document: dict[str, Any], console: Console) -> None:
    from rich.text import Text

    from streamwatch.cli.status import table

    width, height = document["frame"]
    console.print(Text(f"{document['picture']}  {width}x{height}", style="bold"), soft_wrap=True)
    if document["detections"]:
        rows = table("prompt", "confidence", "x1", "y1", "x2", "y2")
        for column in rows.columns[1:]:
            column.justify = "right"
        for each in document["detections"]:
            box = (f"{edge:.0f}" for edge in each["box"])
            rows.add_row(Text(each["prompt"]), f"{each['confidence']:.2f}", *box)
        console.print(rows)
    else:
        console.print("  nothing of that was found")
    if "annotated" in document:
        console.print(Text(f"  drawn in {document['annotated']}", style="dim"), soft_wrap=True)
