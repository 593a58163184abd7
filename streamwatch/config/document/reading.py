"""Reads YAML 1.2, and YAML 1.1's merge keys, with the position of every key and value.

PyYAML composes the graph of nodes; values are built here, since its own constructors follow YAML
1.1 (where `off` is false and `22:00` is 1320), keep no positions, and of two equal keys silently
take the last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from streamwatch.config.document import syntax
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

DEEPEST = 40
"""Most levels of nesting; a real file has six."""
MOST_VALUES = 50_000
"""Most values after expanding aliases, against a few lines that expand to billions."""
MERGE = "<<"
"""The key that merges mappings (https://yaml.org/type/merge.html), unless it is in quotes."""
LONGEST_NUMBER = 300
"""Most characters; Python refuses to parse integers of more than 4,300 digits."""

_CORE = "tag:yaml.org,2002:"
_KINDS: dict[str, Kind] = {
    f"{_CORE}null": "nothing",
    f"{_CORE}bool": "switch",
    f"{_CORE}int": "number",
    f"{_CORE}float": "number",
    f"{_CORE}str": "text",
    f"{_CORE}seq": "list",
    f"{_CORE}map": "mapping",
}
# YAML 1.2.2, 10.3.2 "Tag resolution" of the core schema
_PLAIN = {
    "null": (re.compile(r"^(?:null|Null|NULL|~|)$"), ["~", "n", "N", ""]),
    "bool": (re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    "int": (re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")),
    "float": (
        re.compile(
            r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?(?:\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN)$"
        ),
        list("-+.0123456789"),
    ),
}


@dataclass(frozen=True, slots=True)
class Document:
    """A file's content as dicts, lists and scalars; an entry for each value; the errors."""

    content: object
    entries: Mapping[Loc, Entry]
    faults: tuple[Fault, ...]


def read(text: str, file: str) -> Document:
    """Parse `text`. Raises `ConfigError` if it is no YAML or exceeds a limit; other errors are in
    `faults`."""
    try:
        node = compose(text)
        if node is None:
            raise _ReadError(None, "the file is empty; `streamwatch init` writes one to start from")
        builder = _Builder()
        content = builder.build(node, (), None, ())
    except _ReadError as error:
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
    return Document(content, builder.entries, tuple(builder.faults))


def compose(text: str) -> yaml.Node | None:
    """The graph of nodes; an alias is the same node as its anchor. Raises yaml.YAMLError."""
    return _CoreComposer(text).get_single_node()


def _is_merge(key: yaml.ScalarNode) -> bool:
    return bool(key.value == MERGE) and key.style is None


def core_resolvers() -> Iterator[tuple[str, re.Pattern[str], list[str]]]:
    """YAML 1.2's plain scalars other than text: tag, pattern and possible first characters."""
    for name, (pattern, first) in _PLAIN.items():
        yield f"{_CORE}{name}", pattern, first


def _refusal(file: str, position: Position | None, loc: Loc, message: str) -> ConfigError:
    line, column = (position.line, position.column) if position else (None, None)
    return ConfigError([Problem(file, line, column, path_text(loc), message)])


class _ReadError(Exception):
    """An error after which the file can't be read further."""

    def __init__(self, position: Position | None, message: str) -> None:
        super().__init__(message)
        self.position = position


class _CoreComposer(Reader, Scanner, Parser, Composer, BaseResolver):
    """Text to nodes, with the plain scalars of YAML 1.2's core schema."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > DEEPEST and parent is not None:
            raise _ReadError(_position(parent), f"nested too deeply; at most {DEEPEST} levels")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, yaml.ScalarNode):
            node.value = _joined(node)
        return node


def _joined(node: yaml.ScalarNode) -> str:
    """The scalar's text with surrogate pairs joined: PyYAML keeps JSON's "\\ud83d\\ude00" as two
    characters."""
    try:
        return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise _ReadError(_position(node), "half of a surrogate pair is no character") from None


for _tag, _pattern, _first in core_resolvers():
    _CoreComposer.add_implicit_resolver(_tag, _pattern, _first)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A key's position and its value; `through` are the mappings that brought it by a merge."""

    position: Position
    value: yaml.Node
    through: tuple[yaml.Node, ...] = ()


@dataclass(slots=True)
class _Builder:
    entries: dict[Loc, Entry] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    count: int = 0
    told: set[Position] = field(default_factory=set)
    """The keys that are told to be wrong: aliases and merges come by each again and again."""

    def build(
        self, node: yaml.Node, loc: Loc, key: Position | None, above: tuple[yaml.Node, ...]
    ) -> object:
        """The value of `node`; `above` are its ancestors, for aliases that contain themselves."""
        position = _position(node)
        self._demand_bounds(node, above)
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

    def _demand_bounds(self, node: yaml.Node, above: tuple[yaml.Node, ...]) -> None:
        position = _position(node)
        self.count += 1
        if self.count > MOST_VALUES:
            raise _ReadError(
                position, f"too much: aliases unfold to more than {MOST_VALUES} values"
            )
        if any(node is other for other in above):
            raise _ReadError(position, "an alias that contains itself")
        if len(above) >= DEEPEST:
            raise _ReadError(position, f"nested too deeply; at most {DEEPEST} levels")

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
            position = _position(key_node)
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
            if not isinstance(node, yaml.MappingNode) or node.tag != f"{_CORE}map":
                message = "merges mappings only; write <<: *NAME or <<: [*NAME, *OTHER]"
                self._tell((*loc, MERGE), key, message)
                continue
            self._demand_bounds(node, above)
            for name, pair in self._pairs(node, loc, (*above, node)).items():
                self.count += 1
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
    name = node.tag.removeprefix(_CORE)
    return name == "str" or bool(_PLAIN[name][0].match(node.value))


def _tag_message(tag: str, loc: Loc) -> str:
    if tag in _KINDS:
        return "the tag does not suit the value; leave the tag out"
    if is_secret(loc):
        return "tags are not supported; a text that starts with ! needs quotes"
    shown = tag.replace(_CORE, "!!", 1)
    return (
        f"the tag {shown[:40]!a} is not supported; for a value kept elsewhere write ${{NAME}}, "
        "${file:PATH} or ${credential:NAME}"
    )


def _position(node: yaml.Node) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)
