"""What `streamwatch tune` shows of each watch and camera."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from streamwatch.cli.output import program
from streamwatch.cli.plots import show_histogram
from streamwatch.cli.status import table, together
from streamwatch.cli.terminal_pictures import TerminalPictures
from streamwatch.cli.tune import suggested_for
from streamwatch.learning.thresholds import LEAST_VISITS

PLOT_ROWS = 5
MOST_DAYS = 7
MOST_MISSES = 5
THUMBNAIL_CELLS = 16


def show(found: Mapping[str, Any], console: Console, pictures: TerminalPictures) -> None:
    """Print it."""
    if not found["watches"]:
        console.print("No watch is enabled.")
    for name, watch in found["watches"].items():
        for camera, of_camera in watch["cameras"].items():
            _show_camera(name, camera, watch, of_camera, found, console, pictures)
        for line in _advice(name, found):
            console.print(line, soft_wrap=not console.is_terminal)
            console.print()


def _show_camera(
    name: str,
    camera: str,
    watch: Mapping[str, Any],
    of_camera: Mapping[str, Any],
    found: Mapping[str, Any],
    console: Console,
    pictures: TerminalPictures,
) -> None:
    needed = of_camera["confidence"]
    instead = of_camera["suggested"] if watch["learns"] else watch["suggested"]
    if instead == needed:
        instead = None
    title = Text(f"{name} on {camera}", style="bold")
    title.append(f", from {needed:.2f} on{', learnt' if watch['learns'] else ''}", style="default")
    console.print(title)
    told, weak = sum(of_camera["visits"]), sum(of_camera["weak"])
    console.print(
        Text(f"  {_many(told, 'alert')}, and {_many(weak, 'thing')} not sure enough"), style="dim"
    )
    if told or weak:
        counts = [a + b for a, b in zip(of_camera["visits"], of_camera["weak"], strict=True)]
        show_histogram(console, counts, needed, instead, rows=PLOT_ROWS)
    if instead is not None and of_camera["days"]:
        console.print(Text(f"  With {instead:.2f} it would have been:"))
        console.print(_days(of_camera["days"]))
    _show_misses(of_camera["near_misses"], Path(found["near_misses"]), console, pictures)
    console.print()


def _days(days: Sequence[Mapping[str, Any]]) -> Any:
    rows = table("day", "alerts", "fewer", "more")
    for column in rows.columns[1:]:
        column.justify = "right"
    for day in days[-MOST_DAYS:]:
        rows.add_row(day["day"], *(str(day[key] or "") for key in ("alerts", "fewer", "more")))
    return rows


def _show_misses(
    misses: Sequence[Mapping[str, Any]],
    folder: Path,
    console: Console,
    pictures: TerminalPictures,
) -> None:
    if misses:
        console.print("  Not told, the surest first:")
    for miss in misses[:MOST_MISSES]:
        what = f"{miss['prompt']} {miss['confidence']:.2f}: {miss['reason']}"
        console.print(
            Text(f"    {_when(miss['captured_at'])}  {what}"),
            soft_wrap=not console.is_terminal,
        )
        if miss["file"] is None:
            continue
        picture = _read(folder / miss["file"]) if pictures.able else None
        if picture is None:
            console.print(Text(f"      {folder / miss['file']}"), style="dim", soft_wrap=True)
        else:
            console.print(pictures.shown(picture, THUMBNAIL_CELLS))


def _when(moment: str) -> str:
    """In the time zone of this machine; as it stands where it is no time."""
    try:
        return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError):
        return moment


def _read(path: Path) -> bytes | None:
    """None where it is gone, or another user's."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def _advice(name: str, found: Mapping[str, Any]) -> Iterator[Text]:
    """What to do about a watch."""
    for pair in found["together"]:
        if pair["watch"] == name and pair["settled_by"] is not None:
            yield Text(together(pair).rstrip())
    watch = found["watches"][name]
    better = suggested_for(name, found)
    if better.confidence is not None or better.not_:
        words = [] if better.confidence is None else [f"confidence: {better.confidence:g}"]
        words += [f"not: {word}" for word in better.not_]
        yield Text(f"To write {', '.join(words)}: {program()} tune --apply {name}", style="green")
        return
    told = sum(sum(camera["visits"]) for camera in watch["cameras"].values())
    if watch["learns"]:
        yield Text(f"{name} learns its confidence by itself.", style="dim")
    elif told < LEAST_VISITS:
        yield Text(
            f"For {name} nothing is suggested before {LEAST_VISITS} alerts are known; there are"
            f" {told}.",
            style="dim",
        )
    elif watch["suggested"] is None:
        yield Text(
            f"For {name} no other confidence is suggested: what is weak and what is sure are not"
            " clearly apart.",
            style="dim",
        )
    else:
        yield Text(f"{name} needs what is suggested already.", style="dim")


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
