"""Positions in a configuration file, and the wording of paths and values in messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streamwatch.errors import Problem
from streamwatch.masking import SECRET_KEYS, mask_secrets_in, mask_url

Loc = tuple[str | int, ...]
"""The keys and list indices from the top of the file to a value."""

Kind = Literal["text", "number", "switch", "nothing", "list", "mapping"]

_LONGEST_QUOTE = 60


@dataclass(frozen=True, slots=True)
class Position:
    """Line and column, both from 1."""

    line: int
    column: int


COMMAND = Position(0, 0)
"""The position of values from a command, which are not in the file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of the file: its position, kind and text.

    `key` is the position of its key, None for list items and the top. `written` is a scalar's text
    before `${…}` is expanded, and empty for lists and mappings.
    """

    key: Position | None
    value: Position
    kind: Kind
    written: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """An error at `loc`, without the file's name.

    With `lost`, the value could not be read and is None in the content, so further errors about
    that None are to be dropped.
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
    """`text` for messages: one line, secrets masked, control characters escaped, at most 60
    characters."""
    masked = mask_url(text) if "@" in text and ":" in text else mask_secrets_in(text)
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in masked
    )
    return shown if len(shown) <= _LONGEST_QUOTE else f"{shown[: _LONGEST_QUOTE - 1]}…"


def is_secret(loc: Loc) -> bool:
    """Whether the value at `loc` must never be shown."""
    # A notice's URL holds tokens in any part of it, and may stand where its list should.
    if loc[:1] == ("notify",) and (len(loc) <= 2 or loc[-1] == "url"):
        return True
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
