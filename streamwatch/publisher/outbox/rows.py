"""What is told as it is stored, and read again by this or another version of streamwatch."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from streamwatch.config import NAME_PATTERN
from streamwatch.records import (
    AlertType,
    Clip,
    Decided,
    EndReason,
    Event,
    LookedBy,
    SecondLook,
    Told,
)

FORMAT = 1
"""Raised when a field changes its meaning, so that an older version leaves the row alone."""

_FIELDS = tuple(field.name for field in fields(Event) if field.name != "picture")
_ADDED: Mapping[str, object] = {"second_look": None, "clip_path": None, "clip_url": None}
"""What earlier versions did not write, and what it stands for there."""
_ADDED_TO_LOOKS: Mapping[str, object] = {"taught_by": None}
_TUPLES = ("box", "frame_size", "zones")


class NotUnderstood(ValueError):  # noqa: N818 - reads as what happened
    """A row that is nothing of this version: broken, or of another version."""


def row_of(told: Told) -> bytes:
    """An event without its picture, or a clip."""
    if isinstance(told, Clip):
        values = {"type": told.type, **asdict(told)}
    else:
        values = {name: getattr(told, name) for name in _FIELDS}
    return json.dumps(values, default=_json_value, separators=(",", ":")).encode()


def _json_value(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    assert isinstance(value, SecondLook)
    return asdict(value)


def told_of(row: object) -> Told:
    """Raises NotUnderstood."""
    values = _values(row)
    return _clip(values) if values.get("type") == Clip.type else _event(values)


def event_of(row: object) -> Event:
    """Of a row that must be an event. Raises NotUnderstood."""
    return _event(_values(row))


def _values(row: object) -> dict[str, Any]:
    try:
        values = json.loads(row) if isinstance(row, bytes | str) else None
    except (ValueError, RecursionError):
        raise NotUnderstood("it is no JSON") from None
    if not isinstance(values, dict):
        raise NotUnderstood("it is no JSON object")
    return values


def _demand(values: Mapping[str, Any], checks: Mapping[str, Callable[[object], bool]]) -> None:
    if values.keys() != checks.keys():
        odd = sorted(values.keys() ^ checks.keys())
        raise NotUnderstood(f"it has other fields ({', '.join(odd)})")
    for name, is_fit in checks.items():
        if not is_fit(values[name]):
            raise NotUnderstood(f"its {name} is wrong")


def _event(values: Mapping[str, Any]) -> Event:
    values = {**_ADDED, **values}
    _demand(values, _CHECKS)
    typed = _typed(values, ("captured_at", "started_at", "ended_at"), "clip_path")
    for name in _TUPLES:
        typed[name] = tuple(typed[name])
    look = typed["second_look"]
    typed["second_look"] = look and SecondLook(**{**_ADDED_TO_LOOKS, **look})
    return Event(**typed)


def _clip(values: Mapping[str, Any]) -> Clip:
    _demand(values, _CLIP_CHECKS)
    typed = _typed(values, ("started_at",), "path")
    del typed["type"]
    return Clip(**typed)


def _typed(values: Mapping[str, Any], moments: tuple[str, ...], path: str) -> dict[str, Any]:
    typed = dict(values)
    for name in moments:
        typed[name] = typed[name] and datetime.fromisoformat(typed[name])
    typed[path] = None if typed[path] is None else Path(typed[path])
    return typed


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(NAME_PATTERN, value) is not None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond what a float can be
        return False


def _is_moment(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _all_of(is_fit: Callable[[object], bool], count: int | None = None) -> Callable[[object], bool]:
    return lambda value: (
        isinstance(value, list) and count in (None, len(value)) and all(map(is_fit, value))
    )


def _or_none(is_fit: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or is_fit(value)


def _is_second_look(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    look = {**_ADDED_TO_LOOKS, **value}
    return look.keys() == _LOOK_CHECKS.keys() and all(
        is_fit(look[name]) for name, is_fit in _LOOK_CHECKS.items()
    )


_LOOK_CHECKS: dict[str, Callable[[object], bool]] = {
    "by": lambda value: value in get_args(LookedBy),
    "score": _or_none(_is_number),
    "answer": _or_none(_is_text),
    "beaten_by": _or_none(_is_text),
    "looks": _is_count,
    "decided": lambda value: value in get_args(Decided),
    "ms": _or_none(_is_number),
    "taught_by": _or_none(_is_text),
}
_CHECKS: dict[str, Callable[[object], bool]] = {
    "id": _is_text,
    "type": lambda value: value in get_args(AlertType),
    "camera": _is_name,
    "watch": _is_name,
    "prompt": _is_text,
    "track": _is_count,
    "confidence": _is_number,
    "best_confidence": _is_number,
    "box": _all_of(_is_number, 4),
    "frame_size": _all_of(_is_count, 2),
    "zones": _all_of(_is_text),
    "captured_at": _is_moment,
    "started_at": _is_moment,
    "ended_at": _or_none(_is_moment),
    "position": _or_none(_is_number),
    "sequence": _is_count,
    "reason": _or_none(lambda value: value in get_args(EndReason)),
    "snapshot": lambda value: isinstance(value, bool),
    "continues": _or_none(_is_text),
    "second_look": _or_none(_is_second_look),
    "clip_path": _or_none(_is_text),
    "clip_url": _or_none(_is_text),
}
_CLIP_CHECKS: dict[str, Callable[[object], bool]] = {
    "type": lambda value: value == Clip.type,
    "id": _is_text,
    "camera": _is_name,
    "watch": _is_name,
    "path": _or_none(_is_text),
    "started_at": _or_none(_is_moment),
    "seconds": _is_number,
    "bytes": _is_count,
    "codec": _or_none(_is_text),
    "complete": lambda value: isinstance(value, bool),
    "reason": _or_none(_is_text),
}
