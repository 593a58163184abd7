"""The command `doctor` and its screen."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from streamwatch.cli import output
from streamwatch.cli.endings import EXIT_TROUBLED
from streamwatch.cli.options import ConfigOption, JsonOption
from streamwatch.cli.signals import INTERRUPTED, interrupted_by_signals

if TYPE_CHECKING:
    from streamwatch.doctor import Check

SIGNS = {True: "✓", False: "✗", None: "!"}
PLAIN_SIGNS = {True: "ok", False: "no", None: "! "}
COLOURS = {True: typer.colors.GREEN, False: typer.colors.RED, None: typer.colors.YELLOW}
AREA_COLUMNS = 12


def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Examine cameras, broker, weights, device, clock, disk, permissions, unit and versions.

    A line each: whether it is well, or what to do. Exit codes: 0 nothing must be done; 1 something
    must be; 2 the command line is wrong.
    """
    from streamwatch.doctor import examine

    found: list[Check] = []
    screen = Screen()
    try:
        with interrupted_by_signals():
            for check in examine(config, (lambda _: None) if as_json else screen.begin):
                found.append(check)
                if not as_json:
                    screen.show(check)
    except KeyboardInterrupt:
        screen.clear()
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        output.print_json([as_fields(check) for check in found])
    else:
        screen.sum_up(found)
    if any(check.ok is False for check in found):
        raise typer.Exit(EXIT_TROUBLED)


def as_fields(check: Check) -> dict[str, Any]:
    """`do` only where there is something to do."""
    return {key: value for key, value in asdict(check).items() if key != "do" or value is not None}


class Screen:
    """Shows each check when it comes, and on a terminal what is being looked at."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._width = shutil.get_terminal_size().columns if self._is_terminal else 0
        has_signs = output.can_write("".join(SIGNS.values()), sys.stdout.encoding)
        self._signs = SIGNS if has_signs else PLAIN_SIGNS
        self._area = ""
        self._pending = False

    def begin(self, what: str) -> None:
        if self._is_terminal:
            self.clear()
            sys.stdout.write(f"looking at {what} ...")
            sys.stdout.flush()
            self._pending = True

    def clear(self) -> None:
        if self._pending:
            sys.stdout.write("\r\x1b[K")
            sys.stdout.flush()
            self._pending = False

    def show(self, check: Check) -> None:
        self.clear()
        area = check.area if check.area != self._area else ""
        self._area = check.area
        sign = self._signs[check.ok]
        indent = " " * (len(sign) + 1 + AREA_COLUMNS + 1)
        said = f"{check.subject}: {check.said}" if check.subject else check.said
        first, *others = self._lines(said, indent)
        typer.echo(f"{self._coloured(sign, check.ok)} {area:<{AREA_COLUMNS}} {first.lstrip()}")
        for line in others:
            typer.echo(line)
        if check.do is not None:
            for line in self._lines(check.do, f"{indent}  "):
                typer.echo(self._coloured(line, check.ok))

    def sum_up(self, found: Sequence[Check]) -> None:
        self.clear()
        faults = sum(check.ok is False for check in found)
        notes = sum(check.ok is None for check in found)
        typer.echo()
        if faults:
            said = "One thing must be done" if faults == 1 else f"{faults} things must be done"
        else:
            said = "Nothing must be done"
        known = f"; {notes} {'is' if notes == 1 else 'are'} worth knowing (!)" if notes else ""
        typer.echo(self._coloured(f"{said}{known}.", not faults))

    def _lines(self, text: str, indent: str) -> list[str]:
        if not self._width:
            return [f"{indent}{text}"]
        return textwrap.wrap(
            text,
            self._width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
        ) or [indent]

    def _coloured(self, text: str, ok: bool | None) -> str:
        return typer.style(text, fg=COLOURS[ok])
