"""Where things stand in a configuration file, and how a place is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streamwatch.config.secrets import SECRET_KEYS, mask_secrets_in, mask_url
from streamwatch.errors import Problem

Loc = tuple[str | int, ...]
"""The keys and list indices that lead to a value, from the top."""

Kind = Literal["text", "number", "switch", "nothing", "list", "mapping"]

_LONGEST_QUOTE = 60


@dataclass(frozen=True, slots=True)
class Position:
    """Both count from 1."""

    line: int
    column: int


COMMAND = Position(0, 0)
"""Of what came by a command and stands nowhere in the file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of the file: where it stands, and what the person wrote there.

    `key` is None for list items and for the file itself. `written` is the scalar's text before
    `${…}` is expanded, and empty for lists and mappings.
    """

    key: Position | None
    value: Position
    kind: Kind
    written: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """A mistake found at `loc`, before the file's name is put to it.

    With `lost`, the value could not be read and None stands for it, so that what is said of that
    None is of no use to anybody.
    """

    loc: Loc
    position: Position
    message: str
    lost: bool = False

    def problem(self, file: str) -> Problem:
        path = path_text(self.loc)
        if self.position == COMMAND:
            return Problem("command", None, None, path, self.message)
        return Problem(file, self.position.line, self.position.column, path, self.message)


def path_text(loc: Loc) -> str:
    """`cameras.porch.zones.steps[2]`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{printable(part)}" for part in loc]
    return "".join(parts).removeprefix(".")


def printable(text: str) -> str:
    """`text` in one line, without secrets, cut where it is long."""
    masked = mask_url(text) if "@" in text and ":" in text else mask_secrets_in(text)
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in masked
    )
    return shown if len(shown) <= _LONGEST_QUOTE else f"{shown[: _LONGEST_QUOTE - 1]}…"


def is_secret(loc: Loc) -> bool:
    return not SECRET_KEYS.isdisjoint(part for part in loc if isinstance(part, str))


def subject(loc: Loc, entry: Entry) -> str:
    """The value as the subject of a sentence: `'3 sec'`, `12`, `a list`."""
    if entry.kind in ("list", "mapping"):
        return f"a {entry.kind}"
    if entry.kind == "nothing":
        return "an empty value"
    if is_secret(loc):
        return "the value"
    return f"'{printable(entry.written)}'" if entry.kind == "text" else printable(entry.written)
