"""Options that several commands have."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from streamwatch.errors import StreamwatchError

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "-c",
        "--config",
        metavar="FILE",
        help="The configuration. Without it: ./config.yaml, then "
        "$XDG_CONFIG_HOME/streamwatch/config.yaml, then /etc/streamwatch/config.yaml.",
        show_default=False,
    ),
]


def be_verbose(wanted: bool) -> None:
    if wanted:
        from streamwatch import logs

        logs.be_verbose()


VerboseOption = Annotated[
    bool,
    typer.Option("-v", "--verbose", callback=be_verbose, help="Log everything, on stderr."),
]

LastGoodOption = Annotated[
    bool,
    typer.Option(
        "--last-good", help="If the configuration is wrong, run the last one that was right."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


def cameras_of_config(context: typer.Context, begun: str) -> list[str]:
    from streamwatch.config import find, load

    with suppress(StreamwatchError):
        found = load(find(context.params.get("config"))).cameras
        return [name for name in found if name.startswith(begun)]
    return []
