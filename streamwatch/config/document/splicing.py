"""Applies edits to the text of a configuration file; all other text stays the same.

YAML libraries that round-trip a file keep comments, but reformat indentation, spaces in lists and
long lines. Here only the text at the positions that PyYAML reports is changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import yaml

from streamwatch.config.document.composing import compose, core_resolvers
from streamwatch.config.document.edits import Amend, Edit, Put, Remove, Switch
from streamwatch.config.document.reading import read

_COLON = re.compile(r"[ \t]*:")
_ALIAS = re.compile(r"[ \t]*(\*[^\s,\[\]{}]+)")
_COMMENT = re.compile(r"[ \t]+#[^\r\n]*")
_ONLY_COMMENT = re.compile(r"[ \t]*(?:#.*)?\r?\n?")
_STEP = 2
"""Columns of indentation, where the file has no example."""
_SECTION_LEVELS = 2
"""Levels in block style below a section (entries and their keys); deeper ones are in flow style."""


class Unspliceable(Exception):  # noqa: N818 - reads as what happened
    """The text has a form into which the edit can't be written."""


def spliced(text: str, edits: Iterable[Edit]) -> str:
    """`text` with the edits applied, each of which must be valid. Raises Unspliceable.

    The caller must verify the result: a value shared by an anchor (&) changes everywhere.
    """
    try:
        for edit in edits:
            text = _with(text, edit)
    finally:
        _root.cache_clear()
    return text


def _with(text: str, edit: Edit) -> str:
    match edit.change:
        case Remove():
            return _removed(text, (edit.section,), edit.name)
        case Switch(on):
            return _switched(text, edit, on)
        case Put(value):
            return _put(text, edit, value)
        case Amend(values):
            return _amended(text, edit, values)


def _switched(text: str, edit: Edit, on: bool) -> str:
    before = _values(text, edit.section).get(edit.name)
    if not isinstance(before, dict) or before.get("enabled", True) is on:
        return text
    return _set(text, (edit.section, edit.name), "enabled", on)


def _put(text: str, edit: Edit, value: object) -> str:
    """Write only the keys of the entry that change; the others keep their lines."""
    before = _values(text, edit.section).get(edit.name)
    if not isinstance(before, dict) or not isinstance(value, dict):
        return _set(text, (edit.section,), edit.name, value)
    return _overwritten(text, (edit.section, edit.name), before, value)


def _overwritten(
    text: str, at: tuple[str, ...], before: Mapping[str, object], now: Mapping[str, object]
) -> str:
    """Write only the keys of the mapping at `at` that change."""
    for key, item in now.items():
        if key not in before or before[key] != item:
            text = _set(text, at, key, item)
    for key in before.keys() - now.keys():
        text = _removed(text, at, key)
    return text


def _amended(text: str, edit: Edit, values: Mapping[str, object]) -> str:
    """Write only what is another value, of mappings within the entry too."""
    at = (edit.section, edit.name)
    for key, value in values.items():
        before = _values(text, edit.section).get(edit.name)
        if not isinstance(before, dict):
            raise Unspliceable
        if key not in before and value is None:
            continue
        if value is None:
            text = _removed(text, at, key)
        elif before.get(key) != value:
            text = _set_within(text, (*at, key), before.get(key), value)
    return text


def _set_within(text: str, at: tuple[str, str, str], before: object, value: object) -> str:
    """Set a key of an entry; of a mapping only the keys of it that change."""
    if not (isinstance(before, dict) and before and isinstance(value, dict) and value):
        return _set(text, at[:2], at[2], value, levels=1)
    try:
        whole = _mapping(text, at)
    except Unspliceable:  # shared with another place
        whole = None
    if whole is None:
        return _set(text, at[:2], at[2], value, levels=1)
    return _overwritten(text, at, before, value)


def _values(text: str, section: str) -> Mapping[str, object]:
    content = read(text, "").content
    values = content.get(section) if isinstance(content, dict) else None
    return values if isinstance(values, dict) else {}


# --- positions -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Pair:
    """A key and its value, by their indices in the text; `column` is the key's, from 0.

    `end` is the end of the value, or for a block value that of its last line.
    """

    key: str
    start: int
    column: int
    colon_end: int
    value: yaml.Node
    value_start: int
    end: int
    is_alias: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """A mapping in the text. `step` is its indentation; `is_json` if all its keys are in double
    quotes."""

    pairs: tuple[_Pair, ...]
    is_flow: bool
    is_json: bool
    start: int
    step: int

    def pair(self, key: str) -> _Pair | None:
        return next((pair for pair in self.pairs if pair.key == key), None)


@lru_cache(maxsize=1)  # every step of one edit asks for the same
def _root(text: str) -> _Found:
    try:
        node = compose(text)
    except yaml.YAMLError:  # an earlier edit made it invalid
        raise Unspliceable from None
    if not isinstance(node, yaml.MappingNode):
        raise Unspliceable
    return _found(text, node, _STEP)


def _found(text: str, node: yaml.MappingNode, step: int) -> _Found:
    pairs = tuple(_pair(text, key, value) for key, value in node.value)
    inner = (pair for pair in pairs if _is_block_mapping(pair))
    steps = [pair.value.value[0][0].start_mark.column - pair.column for pair in inner]
    return _Found(
        pairs,
        _is_flow(node),
        bool(pairs) and all(key.style == '"' for key, _ in node.value),
        node.start_mark.index,
        steps[0] if steps else step,
    )


def _is_block_mapping(pair: _Pair) -> bool:
    value = pair.value
    return isinstance(value, yaml.MappingNode) and not _is_flow(value) and not pair.is_alias


def _pair(text: str, key: yaml.Node, value: yaml.Node) -> _Pair:
    colon = _COLON.match(text, key.end_mark.index)
    if not isinstance(key, yaml.ScalarNode) or colon is None:
        raise Unspliceable
    start, column = key.start_mark.index, key.start_mark.column
    if value.start_mark.index >= colon.end():
        ends = value.start_mark.index, _end(text, value)
        return _Pair(key.value, start, column, colon.end(), value, *ends, is_alias=False)
    alias = _ALIAS.match(text, colon.end())
    if alias is None:
        raise Unspliceable
    return _Pair(
        key.value, start, column, colon.end(), value, alias.start(1), alias.end(1), is_alias=True
    )


def _end(text: str, node: yaml.Node) -> int:
    end: int = node.end_mark.index
    if isinstance(node, yaml.ScalarNode):
        return len(text[:end].rstrip()) if _is_block_scalar(node) else end
    if _is_flow(node):
        return end
    # PyYAML's end mark of a block is the start of the next token, after any comments between.
    end = _line_start(text, end) if end < len(text) else end
    while end > node.start_mark.index:
        last = _line_start(text, end - 1)
        if not _ONLY_COMMENT.fullmatch(text, last, end):
            break
        end = last
    return len(text[:end].rstrip("\r\n"))


def _is_block_scalar(node: yaml.ScalarNode) -> bool:
    """Whether it is a `|` or `>` scalar, whose text starts on the next line."""
    return node.style in ("|", ">")


def _is_flow(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and bool(node.flow_style)


def _line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def _line_end(text: str, index: int) -> int:
    """The index after the line break."""
    return text.find("\n", index) + 1 or len(text)


def _lines_end(text: str, pair: _Pair) -> int:
    """The index after the last line of a block-style pair, comments indented below it included."""
    end = probe = _line_end(text, pair.end)
    while probe < len(text):
        line = text[probe : _line_end(text, probe)]
        bare = line.lstrip(" \t")
        if bare.startswith("#") and len(line) - len(bare) > pair.column:
            end = probe + len(line)
        elif bare.strip():
            break
        probe += len(line)
    return end


def _mapping(text: str, at: tuple[str, ...]) -> _Found | None:
    """The mapping at `at`; None if it is null or absent. Raises Unspliceable."""
    found = _root(text)
    for key in at:
        pair = found.pair(key)
        if pair is None or (not pair.is_alias and _is_nothing(pair)):
            return None
        if pair.is_alias or not isinstance(pair.value, yaml.MappingNode):
            raise Unspliceable
        found = _found(text, pair.value, found.step)
    return found


def _is_nothing(pair: _Pair) -> bool:
    return isinstance(pair.value, yaml.ScalarNode) and pair.value.tag.endswith(":null")


# --- changes -------------------------------------------------------------------------------------


def _set(text: str, at: tuple[str, ...], key: str, value: object, levels: int | None = None) -> str:
    """Set `key` in the mapping at `at` to `value`: replaced, or appended at the end.

    `levels` of an appended value get their own lines in block style: by its depth where left out.
    """
    above = _root(text).pair(at[0])
    if len(at) > 1 and (shared := _shared_entry(text, at)) is not None:
        return _set(text, at[:-1], at[-1], shared | {key: value})
    found = _mapping(text, at)
    if found is None:
        if above is None:
            return _appended(text, _root(text), at[0], {key: value}, _SECTION_LEVELS)
        return _filled(text, above, key, value)
    pair = found.pair(key)
    if pair is None:
        depth = max(0, _SECTION_LEVELS - len(at)) if levels is None else levels
        return _appended(text, found, key, value, depth)
    return _replaced(text, pair, _flow(value, is_json=found.is_json))


def _shared_entry(text: str, at: tuple[str, ...]) -> dict[str, object] | None:
    """The content of an entry that is an alias (*) or merged (<<) into its section, to be written
    out; None if it has lines of its own, or there is none."""
    section = _mapping(text, at[:-1])
    pair = section.pair(at[-1]) if section else None
    values = _values(text, at[0])
    if section is None or at[-1] not in values or (pair is not None and not pair.is_alias):
        return None
    value = values[at[-1]]
    if not isinstance(value, dict):
        raise Unspliceable
    return dict(value)


def _filled(text: str, above: _Pair, key: str, value: object) -> str:
    """Write the first entry of an empty section."""
    root = _root(text)
    if root.is_flow:
        return _replaced(text, above, _flow({key: value}, is_json=root.is_json))
    text = text[: above.colon_end] + text[max(above.end, above.colon_end) :]
    at = _line_end(text, above.colon_end)
    lines = _block(key, value, _SECTION_LEVELS - 1, above.column + root.step, root.step)
    return _inserted(text, at, lines)


def _appended(text: str, found: _Found, key: str, value: object, levels: int) -> str:
    """Append a pair to a mapping; in block style, `levels` of its value get their own lines."""
    if found.is_flow:
        put = _flow({key: value}, is_json=found.is_json)[1:-1]
        if not found.pairs:
            return text[: found.start + 1] + put + text[found.start + 1 :]
        end = found.pairs[-1].end
        return f"{text[:end]}, {put}{text[end:]}"
    last = found.pairs[-1]
    lines = _block(key, value, levels, last.column, found.step)
    return _inserted(text, _lines_end(text, last), lines)


def _inserted(text: str, at: int, lines: list[str]) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    before = text[:at]
    if before and not before.endswith("\n"):
        before += newline
    return before + "".join(line + newline for line in lines) + text[at:]


def _replaced(text: str, pair: _Pair, new: str) -> str:
    several_lines = "\n" in text[pair.colon_end : pair.end] and not _is_inline(pair)
    if pair.value_start == pair.end or several_lines:
        key_line = text[pair.colon_end : _line_end(text, pair.colon_end)]
        comment = _COMMENT.search(key_line) if several_lines else None
        return f"{text[: pair.colon_end]} {new}{comment[0] if comment else ''}{text[pair.end :]}"
    return text[: pair.value_start] + new + text[pair.end :]


def _is_inline(pair: _Pair) -> bool:
    if pair.is_alias:
        return True
    if isinstance(pair.value, yaml.ScalarNode):
        return not _is_block_scalar(pair.value)
    return _is_flow(pair.value)


def _removed(text: str, at: tuple[str, ...], key: str) -> str:
    found = _mapping(text, at)
    pair = found.pair(key) if found else None
    if found is None or pair is None:
        raise Unspliceable
    if not found.is_flow:
        start = _line_start(text, pair.start)
        if text[start : pair.start].strip(" "):
            raise Unspliceable
        return text[:start] + text[_lines_end(text, pair) :]
    index = found.pairs.index(pair)
    if index + 1 < len(found.pairs):
        return text[: pair.start] + text[found.pairs[index + 1].start :]
    if index:
        return text[: found.pairs[index - 1].end] + text[pair.end :]
    return text[: pair.start] + re.sub(r"\A\s*,", "", text[pair.end :])


# --- new text ------------------------------------------------------------------------------------


class _Dumper(yaml.SafeDumper):
    """Also quotes texts that YAML 1.2, unlike 1.1, reads as numbers or other types."""


for _tag, _pattern, _first in core_resolvers():
    _Dumper.add_implicit_resolver(_tag, _pattern, _first)


def _flow(value: object, *, is_json: bool) -> str:
    """`value` in flow style, in one line."""
    if is_json:
        return json.dumps(value, ensure_ascii=False)
    written: str = yaml.dump(
        [value],
        Dumper=_Dumper,
        default_flow_style=True,
        allow_unicode=True,
        sort_keys=False,
        width=float("inf"),
    )
    return written.strip()[1:-1]


def _block(key: str, value: object, levels: int, column: int, step: int) -> list[str]:
    """The lines of a pair, with `levels` levels of its value in block style."""
    start = f"{' ' * column}{_flow(key, is_json=False)}:"
    if not levels or not isinstance(value, dict) or not value:
        return [f"{start} {_flow(value, is_json=False)}"]
    below = (
        _block(inner_key, inner, levels - 1, column + step, step)
        for inner_key, inner in value.items()
    )
    return [start, *(line for lines in below for line in lines)]
