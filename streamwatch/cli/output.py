"""Printing for people: in any locale, as wide as their terminal, with commands they can repeat."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer


def fill_closed() -> None:
    """Put /dev/null in the place of stdout and stderr where they are closed: the next file that is
    opened would become them."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - for as long as it runs


def allow_any_text() -> None:
    """From now on print as `\\u2026` what stdout and stderr have no character for.

    That may be any: names and prompts are people's own, and a file's name need not even be text.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None if closed
            stream.reconfigure(errors="backslashreplace")


def print_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    """In characters that stdout has; JSON has escapes of its own for the others."""
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    typer.echo(json.dumps(document, indent=2, ensure_ascii=not is_utf8))


def say(text: str, *, indent: str = "", color: str | None = None) -> None:
    """Print a paragraph: in a terminal broken between words, elsewhere as one line."""
    indent, text = indent + text[: len(text) - len(text.lstrip())], text.lstrip()
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        text = textwrap.fill(
            text,
            width,
            initial_indent=indent,
            subsequent_indent=f"{indent}  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    else:
        text = f"{indent}{text}"
    typer.secho(text, fg=color)


def can_write(text: str, encoding: str | None) -> bool:
    """Whether a stream of this encoding has these characters."""
    try:
        text.encode(encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


def program() -> str:
    """How this program was called, to be called so again."""
    called = sys.argv[0]
    name = Path(called).name
    if name != "streamwatch":
        return f"{shlex.quote(sys.executable)} -m streamwatch"
    return name if shutil.which(name) == called else shlex.quote(called)


def forget_stdout() -> None:
    """After a broken pipe: let nothing be written there, and nothing complain at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
