"""`${NAME}`, `${file:PATH}`, `${credential:NAME}` and `$$` in the strings of a parsed file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from streamwatch import files
from streamwatch.config.document.positions import Entry, Fault, Loc, printable

LARGEST_FILE = 65_536
"""Most bytes of a `${file:…}` or credential, to catch a wrong path."""

_REFERENCE = re.compile(r"\$\$|\$\{([^}]*)\}|\$\{")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_CREDENTIAL = re.compile(r"[A-Za-z0-9_.@:-]+", re.ASCII)


class _ExpansionError(Exception):
    """Why a reference can't be replaced."""


def expanded(
    content: object, entries: Mapping[Loc, Entry], folder: Path
) -> tuple[object, list[Fault]]:
    """`content` with every reference in its strings replaced, and a fault for each that can't be.

    Not recursive. A relative `${file:PATH}` starts at `folder`. Reads the environment and files.
    """
    faults: list[Fault] = []

    def walk(value: object, loc: Loc) -> object:
        if isinstance(value, dict):
            return {key: walk(item, (*loc, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item, (*loc, index)) for index, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        try:
            return _REFERENCE.sub(lambda match: _replacement(match, folder), value)
        except _ExpansionError as error:
            faults.append(Fault(loc, entries[loc].value, str(error), lost=True))
            return None

    return walk(content, ()), faults


def holds_reference(written: str) -> bool:
    """Whether a string contains a `${…}` reference."""
    return any(match[0] != "$$" for match in _REFERENCE.finditer(written))


def _replacement(match: re.Match[str], folder: Path) -> str:
    if match[0] == "$$":
        return "$"
    reference = match[1]
    if reference is None:
        raise _ExpansionError("a '${' without its '}'; write $$ for a dollar sign")
    kind, colon, rest = reference.partition(":")
    if colon and kind == "file" and rest:
        return _file(folder, rest)
    if colon and kind == "credential" and _CREDENTIAL.fullmatch(rest):
        return _credential(rest)
    if _VARIABLE.fullmatch(reference):
        value = os.environ.get(reference)
        if value is None:
            raise _ExpansionError(f"the environment variable {printable(reference)} is not set")
        return value
    raise _ExpansionError(
        "a '${…}' that is not understood; write ${NAME}, ${file:PATH} or ${credential:NAME}, "
        "and $$ for a dollar sign"
    )


def _credential(name: str) -> str:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise _ExpansionError(
            f"the credential {printable(name)} is not there: systemd sets $CREDENTIALS_DIRECTORY "
            "for a unit with LoadCredential="
        )
    return _file(Path(folder), name)


def _file(folder: Path, name: str) -> str:
    shown = printable(name)
    try:
        path = folder / Path(name).expanduser()
        content = files.read(path, LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise _ExpansionError(f"the file {shown} is too long; at most {LARGEST_FILE} bytes")
        text = content.decode()
    except FileNotFoundError:
        raise _ExpansionError(f"the file {shown} does not exist") from None
    except files.NotRegular as error:
        message = f"{shown} is a {error.kind}, and only regular files are read"
        raise _ExpansionError(message) from None
    except UnicodeDecodeError:
        raise _ExpansionError(f"the file {shown} is not text in UTF-8") from None
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise _ExpansionError(f"the file {shown} can't be read: {reason}") from None
    except (ValueError, RuntimeError):  # a NUL character in the name; ~user that doesn't exist
        raise _ExpansionError(f"{shown} is not the name of a file") from None
    return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")
