"""The output of `streamwatch models` and `streamwatch models pull`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
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

from streamwatch.config import DetectorSettings
from streamwatch.config.catalogue import ENCODERS, MODELS, Asset, HubFolder, Model, Source
from streamwatch.models.fetching import Progress as FetchProgress
from streamwatch.models.fetching import megabytes
from streamwatch.models.provision import provide, pull
from streamwatch.models.store import Store, default_store

KNOWN = {*MODELS, *ENCODERS}
"""What can be pulled."""


def list_models(console: Console) -> None:
    """Print all models with size, accuracy, work, licence and use, and all text encoders."""
    store = default_store()
    models = _table("model", ("AP", "GFLOPs"), "encoder", "licence", "good for")
    for name, model in MODELS.items():
        models.add_row(
            name,
            _size((model.checkpoint,), store),
            _cited(model.lvis_ap),
            _cited(model.gflops),
            model.encoder,
            model.licence,
            model.good_for,
            _is_here(model, store),
        )
    encoders = _table("encoder", (), "licence")
    for name, encoder in ENCODERS.items():
        here = "yes" if _are_here(encoder.sources, store) else "no"
        encoders.add_row(name, _size(encoder.sources, store), encoder.licence, here)
    console.print(models)
    console.print(
        "\n[dim]AP: of LVIS minival, zero-shot, in percent. GFLOPs: work for a picture of 640 px. "
        "Both are cited, not measured by this project. The encoder's licence holds as well.[/]\n"
    )
    console.print(encoders)
    console.print(
        "\n[dim]`streamwatch models pull NAME` fetches a model with its encoder; `run` does it "
        "where the configuration names the model. They lie in[/]"
    )
    console.print(f"[dim]{store.folder}[/]", soft_wrap=True)


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
    """A progress bar per file; above them what is fetched and why, and each retry."""
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
            bars.start()  # only once there is something to show
            tasks[file] = bars.add_task(file)
        bars.update(tasks[file], completed=done, total=total)

    with log_above(console):
        try:
            yield progress
        finally:
            if tasks:
                bars.stop()


@contextmanager
def log_above(console: Console, name: str = "streamwatch") -> Iterator[None]:
    """Print what the logger of this name says above the progress bars."""
    handler = RichHandler(console=console, show_time=False, show_level=False, show_path=False)
    logger = logging.getLogger(name)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _table(first: str, figures: Sequence[str], *middle: str) -> Table:
    """A table with the columns `first`, size, `figures`, `middle` and here."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column(first, no_wrap=True, style="bold")
    for name in ("size", *figures):
        table.add_column(name, justify="right", no_wrap=True)
    for name in middle:
        table.add_column(name)
    table.add_column("here", no_wrap=True)
    return table


def _cited(figure: float | None) -> str:
    return "\N{EN DASH}" if figure is None else str(figure)


def _size(sources: Sequence[Source], store: Store) -> str:
    fetched = [source.size for source in sources if isinstance(source, (Asset, HubFolder))]
    if fetched:
        return megabytes(sum(fetched))
    return "bundled" if _are_here(sources, store) else "missing"


def _is_here(model: Model, store: Store) -> str:
    if not store.is_here(model.checkpoint):
        return "no"
    return "yes" if _are_here(ENCODERS[model.encoder].sources, store) else "no encoder"


def _are_here(sources: Sequence[Source], store: Store) -> bool:
    return all(store.is_here(source) for source in sources)
