"""The command `taught`: what was said of alerts, as the running daemon or its file knows it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from streamwatch.cli.status import table
from streamwatch.databases import NewerVersion, reason
from streamwatch.errors import StreamwatchError
from streamwatch.learning.store import Store
from streamwatch.learning.votes import shown
from streamwatch.paths import state_file, status_sockets
from streamwatch.status import socket


def known(config: Path) -> list[dict[str, Any]]:
    """The votes, in the order in which they were taught. Raises StreamwatchError, and what
    `socket.ask` raises."""
    found = socket.taught(status_sockets(config))
    if found is not None:
        return found
    with file_of(config) as store:
        return [] if store is None else [shown(vote) for vote in store.load().votes]


def forget(config: Path, id: str) -> None:
    """Take back the vote on an alert. Raises the same, also where there is none."""
    if socket.forget(status_sockets(config), id):
        return
    with file_of(config) as store:
        if store is None or id not in {vote.visit.id for vote in store.load().votes}:
            raise StreamwatchError(f"nothing was taught of {id}")
        store.forget(votes=[id])


def show(votes: Sequence[Mapping[str, Any]], console: Console) -> None:
    if not votes:
        console.print(
            "Nothing was taught yet. Say of an alert that it was wrong with its button in Home"
            " Assistant, or with the command `teach` over MQTT.",
            soft_wrap=True,
        )
        return
    rows = table("alert", "was", "camera", "watch", "prompt", "confidence", "crop", "at")
    rows.columns[0].no_wrap = True  # an id that is broken can't be copied
    for vote in votes:
        rows.add_row(
            vote["id"],
            vote["is"],
            vote["camera"],
            vote["watch"],
            Text(vote["prompt"]),
            f"{vote['confidence']:.2f}",
            "learnt" if vote["crop"] else "",
            vote["captured_at"],
        )
    console.print(rows)


@contextmanager
def file_of(config: Path) -> Iterator[Store | None]:
    """The file of a daemon that does not run; None if there is none."""
    file = state_file("learnt", config, ".sqlite3")
    if not file.exists():
        yield None
        return
    try:
        with closing(Store(file)) as store:
            yield store
    except NewerVersion:
        raise StreamwatchError(f"{file} was written by a newer version of streamwatch") from None
    except (OSError, sqlite3.Error) as error:
        raise StreamwatchError(f"{file} can't be read ({reason(error)})") from error
