"""`streamwatch models` and `streamwatch models pull`, as people see them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from streamwatch.catalogue import ENCODERS, MODELS, Asset, HubFolder, Model, Source
from streamwatch.config import DetectorSettings
from streamwatch.detector.fetching import Progress as FetchProgress
from streamwatch.detector.fetching import megabytes
from streamwatch.detector.models import provide, pull
from streamwatch.detector.store import Store, default_store

KNOWN = {*MODELS, *ENCODERS}
"""What can be pulled."""


def list_models(console: Console) -> None:
    """Every model with what it costs and what it is good for, and the encoders it may need."""
    store = default_store()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", no_wrap=True, style="bold")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("encoder", no_wrap=True)
    table.add_column("licence", no_wrap=True)
    table.add_column("good for")
    table.add_column("here", no_wrap=True)
    for name, model in MODELS.items():
        table.add_row(
            name,
            _size(model.checkpoint, store),
            model.encoder,
            model.licence,
            model.good_for,
            _is_here(model, store),
        )
    console.print(table)
    for name, encoder in ENCODERS.items():
        here = "" if store.is_here(encoder.source) else ", fetched with the first that needs it"
        size = _size(encoder.source, store)
        console.print(f"encoder [bold]{name}[/]: {size}, {encoder.licence}{here}")
    console.print(
        "\n[dim]`streamwatch models pull NAME` fetches one into[/] "
        f"[dim]{store.folder}; `run` does it where the configuration names it.[/]",
        soft_wrap=True,
    )


def pull_model(name: str, console: Console) -> None:
    """Fetch what is missing of the model, or text encoder, `name`. Raises DetectorError."""
    with _bars(console) as progress:
        pull(name, default_store(), progress)
    console.print(f"{name} is here and complete.")


def pull_for(settings: DetectorSettings, console: Console) -> None:
    """Fetch what a configuration takes, where it allows that. Raises DetectorError."""
    with _bars(console) as progress:
        provide(settings, default_store(), progress)


@contextmanager
def _bars(console: Console) -> Iterator[FetchProgress]:
    """A bar a file; above them what is fetched and why, and each new try."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    bars = Progress(*columns, console=console)
    tasks: dict[str, TaskID] = {}

    def progress(file: str, done: int, total: int | None) -> None:
        if file not in tasks:
            bars.start()  # not before there is something to show
            tasks[file] = bars.add_task(file)
        bars.update(tasks[file], completed=done, total=total)

    with _log_above(console):
        try:
            yield progress
        finally:
            if tasks:
                bars.stop()


@contextmanager
def _log_above(console: Console) -> Iterator[None]:
    """streamwatch's log on the console that draws the bars, which keeps them apart."""
    handler = RichHandler(console=console, show_time=False, show_level=False, show_path=False)
    logger = logging.getLogger("streamwatch")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _size(source: Source, store: Store) -> str:
    if isinstance(source, (Asset, HubFolder)):
        return megabytes(source.size)
    return "bundled" if store.is_here(source) else "missing"


def _is_here(model: Model, store: Store) -> str:
    here = [store.is_here(model.checkpoint), store.is_here(ENCODERS[model.encoder].source)]
    return "yes" if all(here) else "no" if not here[0] else "no encoder"
