"""Parses and formats durations (`1m30s`) and sizes (`10MB`)."""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, WithJsonSchema

from streamwatch.config.wording import Wrong

_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
_MICROSECONDS = {
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
}
_BYTES = {
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "tb": 1000**4,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
    "tib": 1024**4,
}
LONGEST = timedelta(days=3650)
LARGEST = 10**15
DURATION_PATTERN = "^(?=.)" + "".join(f"(?:{_NUMBER}{unit})?" for unit in _MICROSECONDS) + "$"
SIZE_PATTERN = f"^{_NUMBER} ?(?:[Bb]|[KkMmGgTt][Ii]?[Bb])$"

_DURATION = re.compile(
    "".join(rf"(?:(?P<{unit}>{_NUMBER}){unit})?" for unit in _MICROSECONDS), re.ASCII
)
_SIZE = re.compile(rf"({_NUMBER}) ?([kmgt]?i?b)", re.ASCII | re.IGNORECASE)


def duration(text: str) -> timedelta:
    """Parse `500ms`, `2s`, `1m30s`, `7d`: each unit once, longest first. Raises `Wrong`."""
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise Wrong("is not a duration; write a number with a unit, such as 500ms, 3s, 1m30s or 7d")
    parts = [
        Fraction(number) * _MICROSECONDS[unit] for unit, number in match.groupdict("0").items()
    ]
    microseconds = sum(parts)
    if microseconds > LONGEST // timedelta(microseconds=1):
        raise Wrong(f"is too long; at most {duration_text(LONGEST)}")
    return timedelta(microseconds=round(microseconds))


def duration_text(value: timedelta) -> str:
    """The shortest text that `duration` parses to the same whole milliseconds."""
    rest = value // timedelta(microseconds=1)
    parts = []
    for unit, microseconds in _MICROSECONDS.items():
        number, rest = divmod(rest, microseconds)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


def size(text: str) -> int:
    """Parse `10MB` (decimal) or `10MiB` (binary), in any case, to bytes. Raises `Wrong`."""
    match = _SIZE.fullmatch(text)
    if match is None or match[2].lower() not in _BYTES:
        raise Wrong("is not a size; write a number with a unit, such as 500KB, 10MB or 1GB")
    number = int(Fraction(match[1]) * _BYTES[match[2].lower()])
    if not 0 < number <= LARGEST:
        raise Wrong(f"is out of range; a size lies between 1B and {size_text(LARGEST)}")
    return number


def size_text(value: int) -> str:
    """The shortest exact text in decimal units."""
    for unit in ("TB", "GB", "MB", "KB"):
        if value and value % _BYTES[unit.lower()] == 0:
            return f"{value // _BYTES[unit.lower()]}{unit}"
    return f"{value}B"


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, int) and 0 <= value < 1000:
            raise Wrong(f"lacks a unit; write {value}s, or ms, m, h or d in place of s")
        raise Wrong("lacks a unit; write it as 500ms, 3s, 1m30s or 7d")
    if not isinstance(value, str):
        raise Wrong("is not a duration; write one such as 500ms, 3s, 1m30s or 7d")
    return duration(value)


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise Wrong("is too short; write a duration above 0s")
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
]
LastingDuration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    AfterValidator(_positive),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
]
"""A duration above zero."""


def _size(value: object, info: ValidationInfo) -> int:
    if isinstance(value, str):
        return size(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if info.context is None:  # made in code, in bytes
            return value
        raise Wrong("lacks a unit; write it as 500KB, 10MB or 1GB")
    raise Wrong("is not a size; write one such as 500KB, 10MB or 1GB")


Size = Annotated[
    int, BeforeValidator(_size), WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN})
]
"""A size in bytes."""
