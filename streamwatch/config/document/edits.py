"""Applies the changes of a command to the parsed file, before it is validated.

So commands follow the same rules and get the same error messages as the file. Only `${…}` is
refused: those who may send commands must not read our environment and files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from streamwatch.config.document.composing import DEEPEST
from streamwatch.config.document.expansion import holds_reference
from streamwatch.config.document.positions import COMMAND, Entry, Fault, Kind, Loc
from streamwatch.config.document.reading import Document
from streamwatch.config.wording import did_you_mean, shortened

Section = Literal["watches", "cameras"]


@dataclass(frozen=True, slots=True)
class Put:
    """Add the entry or replace one of that name; with `new`, an existing one is an error."""

    value: object
    new: bool = False


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the entry."""


@dataclass(frozen=True, slots=True)
class Switch:
    """Set `enabled`."""

    on: bool


@dataclass(frozen=True, slots=True)
class Amend:
    """Set these keys of the entry, or remove those whose value is None; all others stay."""

    values: Mapping[str, object]


Change = Put | Remove | Switch | Amend


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of one entry. Values are of JSON's types."""

    section: Section
    name: str
    change: Change


def edited(document: Document, edits: Iterable[Edit]) -> Document:
    """The document with the edits applied in order; errors in them are added to its faults."""
    editing = _Editing(document.content, dict(document.entries), list(document.faults))
    for edit in edits:
        editing.apply(edit)
    return Document(editing.content, editing.entries, tuple(editing.faults))


@dataclass(slots=True)
class _Editing:
    content: object
    entries: dict[Loc, Entry]
    faults: list[Fault]

    def apply(self, edit: Edit) -> None:
        loc: Loc = (edit.section, edit.name)
        names = self._names(edit.section)
        if names is None:
            return  # the section is invalid, which validation reports
        known = edit.name in names
        match edit.change:
            case Put(new=True) if known:
                self._refuse(loc, "there is one of this name already")
            case Put(value):
                self._discard(loc)
                self._set_names(edit.section, {**names, edit.name: self._add(value, loc)})
            case _ if not known:
                self._refuse(loc, f"there is none of this name{_hint(edit.name, names)}")
            case Remove():
                self._discard(loc)
                rest = {name: value for name, value in names.items() if name != edit.name}
                self._set_names(edit.section, rest)
            case Switch(on):
                entry = names[edit.name]
                if isinstance(entry, dict) and entry.get("enabled", True) is not on:
                    enabled = {"enabled": self._add(on, (*loc, "enabled"))}
                    self._set_names(edit.section, {**names, edit.name: entry | enabled})
            case Amend(values):
                entry = names[edit.name]
                if isinstance(entry, dict):
                    amended = self._amended(entry, values, loc)
                    self._set_names(edit.section, {**names, edit.name: amended})

    def _amended(
        self, entry: Mapping[str, object], values: Mapping[str, object], loc: Loc
    ) -> dict[str, object]:
        """The entry with what is another value in `values`."""
        found = dict(entry)
        for key, value in values.items():
            if key in found and found[key] == value:
                continue
            self._discard((*loc, key))
            found.pop(key, None)
            if value is not None:
                found[key] = self._add(value, (*loc, key))
        return found

    def _names(self, section: Section) -> Mapping[str, object] | None:
        """The entries of a section; None if the section is not a mapping."""
        if not isinstance(self.content, dict):
            return None
        names = self.content.get(section)
        if names is None:
            return {}
        return names if isinstance(names, dict) else None

    def _set_names(self, section: Section, names: Mapping[str, object]) -> None:
        self.entries.setdefault((section,), Entry(COMMAND, COMMAND, "mapping"))
        if isinstance(self.content, dict):
            self.content = {**self.content, section: names}

    def _discard(self, loc: Loc) -> None:
        """Drop the positions and the file's faults at and below `loc`."""
        for known in [known for known in self.entries if known[: len(loc)] == loc]:
            del self.entries[known]
        self.faults = [
            fault
            for fault in self.faults
            if fault.position == COMMAND or fault.loc[: len(loc)] != loc
        ]

    def _refuse(self, loc: Loc, message: str) -> None:
        self.faults.append(Fault(loc, COMMAND, message))

    def _add(self, value: object, loc: Loc) -> object:
        """`value`, with an `Entry` added for it and for each value in it."""
        kind = _kind(value)
        self.entries[loc] = Entry(COMMAND, COMMAND, kind, _written(value))
        if len(loc) > DEEPEST:
            self.faults.append(Fault(loc, COMMAND, "nested too deeply", lost=True))
            return None
        if isinstance(value, dict):
            return {key: self._add(item, (*loc, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._add(item, (*loc, index)) for index, item in enumerate(value)]
        if isinstance(value, str) and holds_reference(value):
            message = "a command can't take anything by ${…}; write $$ for a dollar sign before a {"
            self.faults.append(Fault(loc, COMMAND, message, lost=True))
            return None
        return value


def _hint(name: str, names: Mapping[str, object]) -> str:
    return did_you_mean(name, names) or (f"; there is {shortened(names, 'and')}" if names else "")


def _kind(value: object) -> Kind:
    match value:
        case None:
            return "nothing"
        case bool():
            return "switch"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return "list"
        case _:
            return "mapping"


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (str, int, float)) else ""
