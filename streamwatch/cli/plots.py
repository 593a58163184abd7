"""Plots in a terminal, drawn with block characters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from streamwatch.cli.output import can_write

BLOCKS = " ▁▂▃▄▅▆▇█"
BELOW, ABOVE = "grey58", "green"
MOST_COLUMNS = 100
INDENT = "  "


def show_histogram(
    console: Console, counts: Sequence[int], needed: float, suggested: float | None, *, rows: int
) -> None:
    """Print a histogram of confidences with the threshold in force, and with another where one is
    suggested."""
    marks = {needed: f"{needed:.2f}"}
    if suggested is not None:
        marks[suggested] = f"{suggested:.2f} suggested"
    width = min(MOST_COLUMNS, console.width - len(INDENT) - 2)
    for line in _histogram(counts, marks, width=width, rows=rows, encoding=console.encoding):
        console.print(Text(INDENT) + line, no_wrap=True, overflow="crop")


def _histogram(
    counts: Sequence[int], marks: Mapping[float, str], *, width: int, rows: int, encoding: str
) -> list[Text]:
    """Lines that show how many of each bin there are, from 0 to 1, and `marks` by their place.

    What lies below the first mark is grey. Heights go with the root of the counts, so that few
    beside many can be seen. `width` is the most columns; each bin takes as many as fit.
    """
    bins = list(counts)
    while len(bins) > width:
        bins = [sum(bins[place : place + 2]) for place in range(0, len(bins), 2)]
    wide = max(1, width // len(bins))
    blocks = BLOCKS if can_write(BLOCKS, encoding) else "  ..:::##"
    pointer = "▲" if can_write("▲", encoding) else "^"
    top = math.sqrt(max(bins, default=0)) or 1.0
    first = next(iter(marks), 0.0)
    lines = []
    for row in range(rows - 1, -1, -1):
        line = Text()
        for place, count in enumerate(bins):
            filled = math.sqrt(count) / top * rows - row
            least = 1 if count and row == 0 else 0
            eighths = max(least, min(8, round(filled * 8)))
            style = BELOW if (place + 0.5) / len(bins) < first else ABOVE
            line.append(blocks[max(0, eighths)] * wide, style=style)
        lines.append(line)
    across = wide * len(bins)
    axis = Text("─" * across if can_write("─", encoding) else "-" * across, style="dim")
    lines.append(axis)
    lines.append(_labels(marks, across, pointer))
    return lines


def _labels(marks: Mapping[float, str], across: int, pointer: str) -> Text:
    """The ends of the axis and its marks, the first ones where there is no room for all."""
    line = [" "] * across
    for place, label in marks.items():
        said = f"{pointer} {label}"
        at = min(round(place * (across - 1)), across - len(said))
        if at >= 0 and all(char == " " for char in line[max(0, at - 1) : at + len(said) + 1]):
            line[at : at + len(said)] = said
    for at, label in ((0, "0"), (across - 1, "1")):
        near = line[max(0, at - 1) : at + 2]
        if all(char == " " for char in near):
            line[at] = label
    return Text("".join(line))
