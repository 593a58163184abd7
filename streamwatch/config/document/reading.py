"""Reads YAML 1.2, and YAML 1.1's merge keys, with the position of every key and value.

PyYAML composes the graph of nodes; values are built here, since its own constructors follow YAML
1.1 (where `off` is false and `22:00` is 1320), keep no positions, and of two equal keys silently
take the last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml
from yaml.reader import ReaderError

from streamwatch.config.document import syntax
from streamwatch.config.document.collecting import nothing_collected
from streamwatch.config.document.composing import (
    CORE,
    DEEPEST,
    PLAIN,
    ReadError,
    compose,
    composed_quickly,
    position_of,
)
from streamwatch.config.document.positions import (
    Entry,
    Fault,
    Kind,
    Loc,
    Position,
    is_secret,
    path_text,
)
from streamwatch.errors import ConfigError, Problem

MOST_VALUES = 50_000
"""Most values that aliases and merges repeat, against a few lines that expand to billions; in a
large file more, which are still no more than `CHARACTERS_A_REPEAT` lets its length hold."""
CHARACTERS_A_REPEAT = 4
"""Ten thousand cameras of 60 characters that merge ten keys each repeat a value every five."""
MERGE = "<<"
"""The key that merges mappings (https://yaml.org/type/merge.html), unless it is in quotes."""
LONGEST_NUMBER = 300
"""Most characters; Python refuses to parse integers of more than 4,300 digits."""

_KINDS: dict[str, Kind] = {
    f"{CORE}null": "nothing",
    f"{CORE}bool": "switch",
    f"{CORE}int": "number",
    f"{CORE}float": "number",
    f"{CORE}str": "text",
    f"{CORE}seq": "list",
    f"{CORE}map": "mapping",
}


@dataclass(frozen=True, slots=True)
class Document:
    """A file's content as dicts, lists and scalars; an entry for each value; the errors."""

    content: object
    entries: Mapping[Loc, Entry]
    faults: tuple[Fault, ...]


@nothing_collected()
def read(text: str, file: str) -> Document:
    """Parse `text`. Raises `ConfigError` if it is no YAML or exceeds a limit; other errors are in
    `faults`."""
    try:
        return _read_quickly(text) or _read(text)
    except ReadError as error:
        raise _refusal(file, error.position, (), str(error)) from None
    except yaml.MarkedYAMLError as error:
        raise _refusal(file, syntax.position(error), (), syntax.sentence(error)) from None
    except ReaderError as error:
        before = text[: error.position]
        position = Position(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        message = f"the character U+{ord(text[error.position]):04X} may not stand in a file"
        raise _refusal(file, position, (), message) from None
    except (ValueError, OverflowError):
        # From int() and chr() in PyYAML: "\UFFFFFFFF", a %YAML directive of 5,000 digits
        message = "an escape or directive holds a number that is too large"
        raise _refusal(file, None, (), message) from None


def _read_quickly(text: str) -> Document | None:
    """The document, if its reader is sure of it and finds nothing wrong."""
    node = composed_quickly(text)
    document = None if node is None else _built(node, text)
    return None if document is None or document.faults else document


def _read(text: str) -> Document:
    node = compose(text)
    if node is None:
        raise ReadError(None, "the file is empty; `streamwatch init` writes one to start from")
    return _built(node, text)


def _built(node: yaml.Node, text: str) -> Document:
    builder = _Builder(max(MOST_VALUES, len(text) // CHARACTERS_A_REPEAT))
    content = builder.build(node, (), None, ())
    return Document(content, builder.entries, tuple(builder.faults))


def _is_merge(key: yaml.ScalarNode) -> bool:
    return bool(key.value == MERGE) and key.style is None


def _refusal(file: str, position: Position | None, loc: Loc, message: str) -> ConfigError:
    line, column = (position.line, position.column) if position else (None, None)
    return ConfigError([Problem(file, line, column, path_text(loc), message)])


@dataclass(frozen=True, slots=True)
class _Pair:
    """A key's position and its value; `through` are the mappings that brought it by a merge."""

    position: Position
    value: yaml.Node
    through: tuple[yaml.Node, ...] = ()


@dataclass(slots=True)
class _Builder:
    most_repeated: int
    entries: dict[Loc, Entry] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    repeated: int = 0
    seen: set[int] = field(default_factory=set)
    """The nodes that were come by, by their id."""
    told: set[Position] = field(default_factory=set)
    """The keys that are told to be wrong: aliases and merges come by each again and again."""

    def build(
        self, node: yaml.Node, loc: Loc, key: Position | None, above: tuple[yaml.Node, ...]
    ) -> object:
        """The value of `node`; `above` are its ancestors, for aliases that contain themselves."""
        position = position_of(node)
        self._demand_bounds(node, position, above)
        kind = _KINDS.get(node.tag)
        if kind is None or not _fits(node, kind):
            self.entries[loc] = Entry(key, position, "nothing")
            self.faults.append(Fault(loc, position, _tag_message(node.tag, loc), lost=True))
            return None
        written = node.value if isinstance(node, yaml.ScalarNode) else ""
        self.entries[loc] = Entry(key, position, kind, written)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc, (*above, node))
        if isinstance(node, yaml.SequenceNode):
            return [
                self.build(item, (*loc, index), None, (*above, node))
                for index, item in enumerate(node.value)
            ]
        return self._scalar(kind, written, loc, position)

    def _demand_bounds(
        self, node: yaml.Node, position: Position, above: tuple[yaml.Node, ...]
    ) -> None:
        if id(node) in self.seen:
            self._repeat(1, position)
        self.seen.add(id(node))
        if node in above:
            raise ReadError(position, "an alias that contains itself")
        if len(above) >= DEEPEST:
            raise ReadError(position, f"nested too deeply; at most {DEEPEST} levels")

    def _repeat(self, values: int, position: Position) -> None:
        self.repeated += values
        if self.repeated > self.most_repeated:
            message = f"too much: aliases unfold to more than {self.most_repeated} values"
            raise ReadError(position, message)

    def _mapping(
        self, node: yaml.MappingNode, loc: Loc, above: tuple[yaml.Node, ...]
    ) -> dict[str, object]:
        return {
            key: self.build(pair.value, (*loc, key), pair.position, (*above, *pair.through))
            for key, pair in self._pairs(node, loc, above).items()
        }

    def _pairs(
        self, node: yaml.MappingNode, loc: Loc, above: tuple[yaml.Node, ...]
    ) -> dict[str, _Pair]:
        """The mapping's own pairs, then those of mappings it merges that it has not itself."""
        own: dict[str, _Pair] = {}
        merge: tuple[Position, yaml.Node] | None = None
        for key_node, value_node in node.value:
            position = position_of(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self._tell(loc, position, "a key must be a plain text")
                continue
            key = key_node.value
            if _KINDS.get(key_node.tag) is None:
                self._tell(loc, position, "a key must be a plain text, without a tag")
            elif _is_merge(key_node):
                if merge is None:
                    merge = position, value_node
                else:
                    message = "given twice; several are merged in one list, as <<: [*one, *other]"
                    self._tell((*loc, key), position, message)
            elif key in own:
                message = f"given twice; the first stands in line {own[key].position.line}"
                self._tell((*loc, key), position, message)
            else:
                own[key] = _Pair(position, value_node)
        return own if merge is None else own | self._merged(*merge, own, loc, above)

    def _merged(
        self,
        key: Position,
        value: yaml.Node,
        own: Mapping[str, _Pair],
        loc: Loc,
        above: tuple[yaml.Node, ...],
    ) -> dict[str, _Pair]:
        """The pairs that `<<`, which stands at `key`, adds to `own`; of equal keys the first."""
        merged: dict[str, _Pair] = {}
        for node in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            if not isinstance(node, yaml.MappingNode) or node.tag != f"{CORE}map":
                message = "merges mappings only; write <<: *NAME or <<: [*NAME, *OTHER]"
                self._tell((*loc, MERGE), key, message)
                continue
            position = position_of(node)
            self._demand_bounds(node, position, above)
            pairs = self._pairs(node, loc, (*above, node))
            self._repeat(len(pairs), position)
            for name, pair in pairs.items():
                if name not in own and name not in merged:
                    merged[name] = _Pair(pair.position, pair.value, (node, *pair.through))
        return merged

    def _tell(self, loc: Loc, position: Position, message: str) -> None:
        """Add a fault of the key at `position`, unless it has one."""
        if position not in self.told:
            self.told.add(position)
            self.faults.append(Fault(loc, position, message))

    def _scalar(self, kind: Kind, written: str, loc: Loc, position: Position) -> object:
        if kind == "nothing":
            return None
        if kind == "switch":
            return written.lower() == "true"
        if kind == "number":
            return self._number(written, loc, position)
        return written

    def _number(self, written: str, loc: Loc, position: Position) -> int | float | None:
        if len(written) > LONGEST_NUMBER:
            self.faults.append(
                Fault(loc, position, "a number this long is not understood", lost=True)
            )
            return None
        if written.startswith(("0o", "0x")):
            return int(written, 0)
        try:
            return int(written)
        except ValueError:
            # YAML's .inf and .nan are Python's inf and nan
            return float(re.sub(r"\.(?=[a-zA-Z])", "", written))


def _fits(node: yaml.Node, kind: Kind) -> bool:
    """Whether the tag, which may be explicit (`!!int abc`), matches the node's type and text."""
    if kind == "list":
        return isinstance(node, yaml.SequenceNode)
    if kind == "mapping":
        return isinstance(node, yaml.MappingNode)
    if not isinstance(node, yaml.ScalarNode):
        return False
    name = node.tag.removeprefix(CORE)
    return name == "str" or bool(PLAIN[name][0].match(node.value))


def _tag_message(tag: str, loc: Loc) -> str:
    if tag in _KINDS:
        return "the tag does not suit the value; leave the tag out"
    if is_secret(loc):
        return "tags are not supported; a text that starts with ! needs quotes"
    shown = tag.replace(CORE, "!!", 1)
    return (
        f"the tag {shown[:40]!a} is not supported; for a value kept elsewhere write ${{NAME}}, "
        "${file:PATH} or ${credential:NAME}"
    )
