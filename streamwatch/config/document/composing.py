"""Composes the nodes of a YAML text with the core schema of YAML 1.2.

PyYAML's own parser decides what a text is, and says what is wrong with it. libyaml, many times as
fast, parses large texts in its place, where both read the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from streamwatch.config.document.positions import Position

DEEPEST = 40
"""Most levels of nesting; a real file has six."""
LARGE = 100_000
"""Characters from which on libyaml is worth its differences."""
CORE = "tag:yaml.org,2002:"

# YAML 1.2.2, 10.3.2 "Tag resolution" of the core schema
PLAIN = {
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

_READ_DIFFERENTLY = re.compile(
    "[\t\x85\u2028\u2029\ufeff]"
    r"|\r(?!\n)"
    r"|(?<![A-Za-z0-9_./=!?%@-])[?%@`!|>]"  # but not within a word, such as a URL
    r"|[&*][\w-]*[?%@`!|>]"
)
"""What libyaml reads otherwise than PyYAML, or may."""


class ReadError(Exception):
    """An error after which the file can't be read further."""

    def __init__(self, position: Position | None, message: str) -> None:
        super().__init__(message)
        self.position = position


def compose(text: str) -> yaml.Node | None:
    """The graph of nodes; an alias is the same node as its anchor.

    Raises yaml.YAMLError and ReadError.
    """
    return _PurePython(text).get_single_node()


def composed_quickly(text: str) -> yaml.Node | None:
    """What `compose` gives, but for the ends of nodes; None where only that can tell."""
    if len(text) < LARGE or not yaml.__with_libyaml__ or _READ_DIFFERENTLY.search(text):
        return None
    from streamwatch.config.document.libyaml import composed

    return composed(text)


def core_resolvers() -> Iterator[tuple[str, re.Pattern[str], list[str]]]:
    """YAML 1.2's plain scalars other than text: tag, pattern and possible first characters."""
    for name, (pattern, first) in PLAIN.items():
        yield f"{CORE}{name}", pattern, first


def position_of(node: yaml.Node) -> Position:
    """Where `node` begins."""
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)


class CoreComposer(Composer, BaseResolver):
    """A parser's events to nodes, with the plain scalars of YAML 1.2's core schema."""

    def __init__(self) -> None:
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > DEEPEST and parent is not None:
            raise ReadError(position_of(parent), f"nested too deeply; at most {DEEPEST} levels")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, yaml.ScalarNode):
            node.value = _joined(node)
        return node


for _tag, _pattern, _first in core_resolvers():
    CoreComposer.add_implicit_resolver(_tag, _pattern, _first)


def _joined(node: yaml.ScalarNode) -> str:
    """The scalar's text with surrogate pairs joined: PyYAML keeps JSON's "\\ud83d\\ude00" as two
    characters."""
    text = str(node.value)
    if text.isascii():
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise ReadError(position_of(node), "half of a surrogate pair is no character") from None


class _PurePython(Reader, Scanner, Parser, CoreComposer):
    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        CoreComposer.__init__(self)
