"""Messages for PyYAML's syntax errors.

They never quote the file: a password that starts with `*` or `@` is a syntax error.
"""

from __future__ import annotations

import yaml

from streamwatch.config.document.positions import Position

_BY_PROBLEM = (
    ("found character '\\t'", "a tab where spaces are wanted; YAML is indented with spaces only"),
    (
        "found character",
        "a text may not start with @, `, % or the like; put it in quotes",
    ),
    (
        "mapping values are not allowed here",
        "a ':' where none may stand; is the indentation right, or does the text need quotes?",
    ),
    (
        "sequence entries are not allowed here",
        "a list with '-' starts on a line of its own; or put the text in quotes",
    ),
    (
        "expected <block end>",
        "this does not fit to the lines above; is the indentation the same, or a quote too many?",
    ),
    (
        "expected ',' or ']'",
        "a list in [ ] is not closed, or lacks a comma; texts with ${…} in it need quotes",
    ),
    (
        "expected ',' or '}'",
        "a mapping in { } is not closed, or lacks a comma; texts with ${…} in it need quotes",
    ),
    ("found unexpected end of stream", "the quotes of a text are never closed"),
    ("found unexpected document separator", "the quotes of a text are never closed"),
    ("could not find expected ':'", "a ':' is missing after this key"),
    (
        "found undefined alias",
        "an alias (*) without its anchor (&); a text that starts with * needs quotes",
    ),
    ("second occurrence", "an anchor (&) of the same name stands further up"),
    (
        "found unknown escape character",
        "an unknown escape in double quotes; write \\\\ for a backslash, or take single quotes",
    ),
    ("found undefined tag handle", "an unknown tag; a text that starts with ! needs quotes"),
    ("but found another document", "only one document fits in the file; take out the '---'"),
)


_AT_ITS_START = ("found unexpected", "could not find expected")
"""Problems whose cause is at `context_mark`, far before where PyYAML notices them."""


def sentence(error: yaml.MarkedYAMLError) -> str:
    """The message for `error`."""
    problem = error.problem or ""
    opened = ""
    if problem.startswith("expected ',' or") and error.context_mark:
        opened = f" (opened in line {error.context_mark.line + 1})"
    for start, words in _BY_PROBLEM:
        if problem.startswith(start):
            return words.replace("is not closed", f"is not closed{opened}")
    return "this is not valid YAML"


def position(error: yaml.MarkedYAMLError) -> Position:
    """Where the user should look for the cause of `error`."""
    early = (error.problem or "").startswith(_AT_ITS_START)
    mark = (error.context_mark if early else None) or error.problem_mark
    return Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
