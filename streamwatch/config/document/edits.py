"""Changes that a command makes to what stands in the file, before anything is checked.

So a command is held to the same rules as the file, and told of its mistakes in the same words; only
`${…}` is refused, since who may send commands need not know our environment and files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from streamwatch.config.document.expansion import holds_reference
from streamwatch.config.document.positions import COMMAND, Entry, Fault, Kind, Loc
from streamwatch.config.document.reading import DEEPEST, Document
from streamwatch.config.wording import did_you_mean, listing

Section = Literal["watches", "cameras"]


@dataclass(frozen=True, slots=True)
class Put:
    """The whole entry; in place of one of that name, unless it must be `new`."""

    value: object
    new: bool = False


@dataclass(frozen=True, slots=True)
class Remove:
    pass


@dataclass(frozen=True, slots=True)
class Switch:
    """`enabled`."""

    on: bool


Change = Put | Remove | Switch


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of one entry. Values are plain, as JSON has them."""

    section: Section
    name: str
    change: Change


def edited(document: Document, edits: Iterable[Edit]) -> Document:
    """The document as if the file had been changed, edit after edit; mistakes are its faults."""
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
            return  # the file is wrong there, which is told of anyway
        known = edit.name in names
        match edit.change:
            case Put(new=True) if known:
                self._refuse(loc, "there is one of this name already")
            case Put(value):
                self._forget(loc)
                self._set_names(edit.section, {**names, edit.name: self._built(value, loc)})
            case _ if not known:
                self._refuse(loc, f"there is none of this name{_hint(edit.name, names)}")
            case Remove():
                self._forget(loc)
                rest = {name: value for name, value in names.items() if name != edit.name}
                self._set_names(edit.section, rest)
            case Switch(on):
                entry = names[edit.name]
                if isinstance(entry, dict) and entry.get("enabled", True) is not on:
                    enabled = {"enabled": self._built(on, (*loc, "enabled"))}
                    self._set_names(edit.section, {**names, edit.name: entry | enabled})

    def _names(self, section: Section) -> Mapping[str, object] | None:
        """The entries of a section, None where there can be none."""
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

    def _forget(self, loc: Loc) -> None:
        """Nothing of what stands at `loc` counts any more, mistakes of the file included."""
        for known in [known for known in self.entries if known[: len(loc)] == loc]:
            del self.entries[known]
        self.faults = [
            fault
            for fault in self.faults
            if fault.position == COMMAND or fault.loc[: len(loc)] != loc
        ]

    def _refuse(self, loc: Loc, message: str) -> None:
        self.faults.append(Fault(loc, COMMAND, message))

    def _built(self, value: object, loc: Loc) -> object:
        """`value`, with an entry for it and all that is in it."""
        kind = _kind(value)
        self.entries[loc] = Entry(COMMAND, COMMAND, kind, _written(value))
        if len(loc) > DEEPEST:
            self.faults.append(Fault(loc, COMMAND, "nested too deeply", lost=True))
            return None
        if isinstance(value, dict):
            return {key: self._built(item, (*loc, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._built(item, (*loc, index)) for index, item in enumerate(value)]
        if isinstance(value, str) and holds_reference(value):
            message = "a command can't take anything by ${…}; write $$ for a dollar sign before a {"
            self.faults.append(Fault(loc, COMMAND, message, lost=True))
            return None
        return value


def _hint(name: str, names: Mapping[str, object]) -> str:
    return did_you_mean(name, names) or (f"; there is {listing(names, 'and')}" if names else "")


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
