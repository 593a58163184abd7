"""Print the manual page streamwatch(1), made from the help of the commands.

python scripts/man_page.py > docs/streamwatch.1
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import typer.main

from streamwatch import __version__
from streamwatch.cli.app import app

NAME = "streamwatch"


def man_page() -> str:
    command: Any = typer.main.get_command(app)
    context = typer.Context(command, info_name=NAME, **command.context_settings)
    return "\n".join(_page(command, context)) + "\n"


def _page(command: Any, context: typer.Context) -> Iterator[str]:
    yield f'.TH STREAMWATCH 1 "" "streamwatch {__version__}" "User Commands"'
    yield ".SH NAME"
    yield _text(f"{NAME} - alerts over MQTT for what you described in words")
    yield ".SH SYNOPSIS"
    yield from _synopsis(command, context)
    yield ".SH DESCRIPTION"
    yield from _paragraphs(command.help)
    yield ".SH OPTIONS"
    yield from _parameters(command.get_params(context))
    yield ".SH COMMANDS"
    yield from _commands(command, context)
    yield ".SH EXIT STATUS"
    for code in command.epilog.removeprefix("Exit codes: ").rstrip(".").split("; "):
        numbers, meaning = re.fullmatch(r"(\d+(?: or \d+)*) (.*)", code).groups()  # type: ignore[union-attr]
        yield ".TP"
        yield _bold(numbers)
        yield _text(meaning)


def _commands(group: Any, parent: typer.Context) -> Iterator[str]:
    for name, command in group.commands.items():
        context = typer.Context(command, parent=parent, info_name=name)
        yield f".SS {_text(context.command_path.removeprefix(NAME).strip())}"
        yield from _synopsis(command, context)
        yield ".PP"
        yield from _paragraphs(command.help)
        yield from _parameters(command.params)  # --help is told once
        if hasattr(command, "commands"):
            yield from _commands(command, context)


def _synopsis(command: Any, context: typer.Context) -> Iterator[str]:
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"{_bold(context.command_path)} {_text(pieces)}"


def _parameters(parameters: Iterable[Any]) -> Iterator[str]:
    for parameter in parameters:
        value = f"\\fI{_text(parameter.metavar)}\\fR" if parameter.metavar else ""
        options = [*sorted(parameter.opts, key=len), *parameter.secondary_opts]
        names = [_bold(name) for name in options if name[0] == "-"]
        yield ".TP"
        yield " ".join(filter(None, (", ".join(names), value)))
        yield _text(parameter.help or "")


def _paragraphs(help_text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", help_text.strip())):
        if number:
            yield ".PP"
        yield _text(" ".join(paragraph.split()))


def _bold(text: str) -> str:
    return f"\\fB{_text(text)}\\fR"


def _text(text: str) -> str:
    """As groff wants it: hyphens as typed, no line that begins as a request, code in bold."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    marked = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", escaped)
    return f"\\&{marked}" if marked.startswith((".", "'")) else marked


if __name__ == "__main__":
    print(man_page(), end="")
