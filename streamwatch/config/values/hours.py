"""Parses times of the week, such as `mon-fri 22:00-06:00`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from streamwatch.config.values.texts import as_list, line, one_or_list
from streamwatch.config.wording import Wrong, did_you_mean

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""In the order of `datetime.weekday()`."""

_DAY = "(?:" + "|".join("".join(f"[{c.upper()}{c}]" for c in day) for day in DAYS) + ")"
_FROM = r"(?:[01]?[0-9]|2[0-3]):[0-5][0-9]"
_TIMES = f"{_FROM} *- *(?:{_FROM}|24:00)"
_DAYS = f"{_DAY}(?: *- *{_DAY})?(?: *, *{_DAY}(?: *- *{_DAY})?)*"
HOURS_PATTERN = f"^ *(?:{_DAYS}|{_TIMES}|{_DAYS} +{_TIMES}) *$"
"""What `hours` accepts, except that start and end must differ."""


@dataclass(frozen=True, slots=True)
class Hours:
    """Some hours of some weekdays, in local time.

    `days` are the weekdays on which the hours begin, Monday 0. `start` and `end` are minutes of the
    day, `end` excluded; an `end` before `start` is on the next day. `text` is the normalised text.
    """

    days: frozenset[int]
    start: int
    end: int
    text: str


def hours(text: str) -> Hours:
    """Days (`sat`, `mon-fri`, `fri-mon,wed`), times (`22:00-06:00`) or both. Raises `Wrong`."""
    if re.fullmatch(HOURS_PATTERN, text) is None:
        raise Wrong(_mistake(text))
    words = re.sub(r" *([-,]) *", r"\1", text.casefold()).split()
    written = " ".join(words)
    *named, last = words
    if ":" not in last:
        return Hours(frozenset(_weekdays(last)), 0, 24 * 60, written)
    start, end = (_minute(time) for time in last.split("-"))
    if start == end:
        raise Wrong("begins and ends at the same time; leave the times out for whole days")
    return Hours(frozenset(_weekdays("".join(named) or "mon-sun")), start, end, written)


def _weekdays(text: str) -> Iterator[int]:
    for span in text.split(","):
        first, _, last = span.partition("-")
        day, until = DAYS.index(first), DAYS.index(last or first)
        yield day
        while day != until:
            day = (day + 1) % 7
            yield day


def _minute(text: str) -> int:
    hour, _, minute = text.partition(":")
    return int(hour) * 60 + int(minute)


def _mistake(text: str) -> str:
    """The error message for an invalid text, which it doesn't quote."""
    words = [word.casefold() for word in re.findall(r"[^\W\d_]+", text)]
    unknown = next((word for word in words if word not in DAYS), None)
    if words and unknown is not None:
        return f"names a day that is not one of {', '.join(DAYS)}{did_you_mean(unknown, DAYS)}"
    times = re.findall(r"[0-9]+:[0-9]+", text)
    if not all(re.fullmatch(f"{_FROM}|24:00", time) for time in times):
        return "has a time that is not on the clock; times go from 00:00 to 24:00"
    if len(times) > 2:
        return "has several times in one text; write a list, as [08:00-12:00, 13:00-17:00]"
    return (
        "is not a time of the week; write one such as mon-fri 22:00-06:00, 22:00-06:00 or sat,sun"
    )


def _hours(value: object) -> Hours:
    return value if isinstance(value, Hours) else hours(line(value))


def _not_empty(spans: tuple[Hours, ...]) -> tuple[Hours, ...]:
    if not spans:
        raise Wrong("the list is empty; leave the key out where always is meant", subject=False)
    return spans


Times = Annotated[
    tuple[
        Annotated[Hours, BeforeValidator(_hours), PlainSerializer(lambda span: span.text, str)], ...
    ],
    BeforeValidator(as_list),
    AfterValidator(_not_empty),
    WithJsonSchema(one_or_list({"type": "string", "pattern": HOURS_PATTERN})),
]
"""Times of the week, one or a list of them."""
