"""What `streamwatch demo` shows: a row for each visit, and what to make of them.

Fits a terminal of 80 by 24 characters: rows are cut, never broken, and only the newest are shown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from streamwatch.cli.output import program
from streamwatch.config import Config, listing

OTHER_LINES = 15
"""Lines of the screen that are not visits."""

ABSENT = {"elephant", "giraffe", "sailing boat"}
"""Prompts of the shipped configuration for things that are not in the bundled clip."""
CLIP = "bundled:street"


class Board:
    """The visits told so far, by the time at which they began: a renderable of Rich.

    `waiting` is the line below them while more may come.
    """

    def __init__(self, config: Config) -> None:
        self._with_camera = len(config.cameras) > 1
        self._visits: dict[str, list[Mapping[str, Any]]] = {}
        self.waiting: RenderableType = ""

    def take(self, event: Mapping[str, Any]) -> None:
        """Show one more event, in any order. From any thread."""
        events = [*self._visits.get(event["id"], ()), event]
        self._visits = {**self._visits, event["id"]: events}

    def seen(self) -> set[str]:
        """The watches that told of something."""
        return {events[0]["watch"] for events in self._visits.values()}

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        visits = sorted(self._visits.values(), key=lambda events: _order(events[0]))
        if visits:
            rows = max(options.size.height - OTHER_LINES, 1)
            yield self._table(visits[-rows:] if console.is_terminal else visits)
        yield self.waiting

    def _table(self, visits: Sequence[Sequence[Mapping[str, Any]]]) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
        columns = ["camera"] if self._with_camera else []
        table.add_column("appeared", justify="right", style="bold green", no_wrap=True)
        table.add_column("gone", justify="right", style="yellow", no_wrap=True)
        for name in (*columns, "watch", "prompt"):
            table.add_column(name)
        table.add_column("sure", justify="right", no_wrap=True)
        table.add_column("zones")
        for events in visits:
            first, last = events[0], events[-1]
            table.add_row(
                _when(first),
                "" if last["type"] != "end" or last["reason"] == "shutdown" else _when(last),
                *(_cut(first[name]) for name in (*columns, "watch", "prompt")),
                f"{max(event['confidence'] for event in events):.0%}",
                _cut(", ".join(dict.fromkeys(zone for e in events for zone in e["zones"]))),
            )
        return table


def held_back(rejected: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A sentence on what second looks held back, by watch."""
    if rejected:
        yield f"Held back by a second look: {listing(map(_why, rejected.items()), 'and')}."


def _why(rejected: tuple[str, Mapping[str, Any]]) -> str:
    watch, fields = rejected
    beaten_by = fields["second_look"]["beaten_by"]
    return watch if beaten_by is None else f"{watch} (it looks more like {beaten_by})"


def silence(config: Config, seen: set[str], held_back: Collection[str]) -> Iterator[str]:
    """A sentence on the watches that told nothing, and were not `held_back`; of the bundled clip
    whether that is right."""
    told = {*seen, *held_back}
    silent = [name for name, w in config.watches.items() if w.enabled and name not in told]
    of_clip = all(camera.url == CLIP for camera in config.cameras.values())
    right = [name for name in silent if of_clip and ABSENT.issuperset(config.watches[name].prompt)]
    others = [name for name in silent if name not in right]
    if right:
        names = listing(right, "and")
        yield f"Silent, which is right: {names}; nothing of the kind is in the clip."
    if others:
        names = listing(others, "and")
        yield f"Silent: {names}; nothing was seen that looks enough like it."


def next_step(own: Path | None) -> str:
    """What to do now; `own` is the configuration that was run, unless it is the shipped one."""
    change = f"Next: change a word in {own} and run it again. For" if own else "Next, for"
    return f"{change} your own camera:\n  {program()} init ~/streamwatch"


def _cut(text: str) -> Text:
    """Text that is cut where its column is narrow; such columns give way to the others."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _order(event: Mapping[str, Any]) -> tuple[float, str]:
    """By the seconds into the clip, as shown; where there are none by the time of day."""
    return event.get("position", float("inf")), event["captured_at"]


def _when(event: Mapping[str, Any]) -> str:
    """Seconds into the clip, or the local time of day for a camera."""
    if "position" in event:
        return f"{event['position']:.1f} s"
    return datetime.fromisoformat(event["captured_at"]).astimezone().strftime("%H:%M:%S")
