"""Printing where the terminal's locale can't show everything, as `de_DE.ISO-8859-1` or `C`."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from typing import Any

import typer


def allow_any_text() -> None:
    """From now on print as `\\u2026` what stdout and stderr have no character for.

    That may be any: names and prompts are people's own, and a file's name need not even be text.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None if closed
            stream.reconfigure(errors="backslashreplace")


def print_json(document: Mapping[str, Any]) -> None:
    """In characters that stdout has; JSON has escapes of its own for the others."""
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    typer.echo(json.dumps(document, indent=2, ensure_ascii=not is_utf8))
