"""The kinds of value a configuration holds, each with its check, its words and its JSON Schema.

Validators accept what YAML gives (and strings, where `${NAME}` may have put a number there) as
well as the Python value itself, so that settings can also be made in code. They raise `Wrong`.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetCoreSchemaHandler,
    PlainSerializer,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from streamwatch.config import units
from streamwatch.config.hours import HOURS_PATTERN, Hours, hours
from streamwatch.config.phrases import folded, normalised
from streamwatch.config.wording import Wrong, did_you_mean, listing

NAME_PATTERN = "^[a-z0-9_-]{1,63}$"

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)


def or_empty(value: object) -> object:
    """For mappings whose keys are all commented out, which is null to YAML."""
    return {} if value is None else value


def folder_of(info: ValidationInfo) -> Path:
    """Where relative paths start: the configuration file's folder, which `load` passes along."""
    return info.context if isinstance(info.context, Path) else Path()


# --- texts ---------------------------------------------------------------------------------------


def _text(value: object) -> str:
    if value is None:
        raise Wrong("can't stand here; write a text")
    if isinstance(value, (bool, int, float)):
        raise Wrong("is not a text as it stands; put it in quotes")
    if not isinstance(value, str):
        raise Wrong("is not a text")
    return value


def line(value: object, longest: int = 200) -> str:
    """A text of one line that is not blank."""
    text = _text(value)
    if not text.strip():
        raise Wrong("is empty; write a text")
    if not _is_printed(text):
        raise Wrong("holds a line break or another control character")
    if len(text) > longest:
        raise Wrong(f"is too long; at most {longest} characters")
    return text


def _is_printed(text: str) -> bool:
    return not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text)


Line = Annotated[
    str,
    BeforeValidator(partial(line, longest=200)),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 200}),
]
"""Up to 200 characters in one line, not blank."""


def _secret(value: object) -> object:
    if isinstance(value, SecretStr):
        return value
    text = _text(value)
    if not text.isascii() and any(unicodedata.category(char) == "Cs" for char in text):
        raise Wrong("is not text in UTF-8")
    return text


Secret = Annotated[SecretStr, BeforeValidator(_secret), WithJsonSchema({"type": "string"})]


def _name(value: str) -> str:
    if not re.fullmatch(NAME_PATTERN, value):
        usable = re.sub(r"[ .]+", "-", value.lower()).strip("-")
        hint = f"; did you mean '{usable}'?" if re.fullmatch(NAME_PATTERN, usable) else ""
        raise Wrong(f"is not a name; use 1 to 63 of a-z, 0-9, _ and -{hint}")
    return value


Name = Annotated[
    str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": NAME_PATTERN})
]
"""A key of `cameras`, `watches` or `zones`."""


def _prompt(value: object) -> str:
    """What people wrote, trimmed: it is what they get to read again in every alert."""
    text = line(_text(value).strip())
    if not normalised(text):
        raise Wrong("holds nothing that can be seen; write a text")
    return text


def _different(prompts: tuple[str, ...]) -> tuple[str, ...]:
    if not prompts:
        raise Wrong("the list is empty; write at least one prompt", subject=False)
    if len({folded(prompt) for prompt in prompts}) < len(prompts):
        raise Wrong(
            "the list holds a prompt twice; upper case and spaces make no difference", subject=False
        )
    return prompts


def _as_list(value: object) -> object:
    """A single text where a list may stand."""
    return value if isinstance(value, (list, tuple)) else (value,)


Prompt = Annotated[
    str,
    BeforeValidator(_prompt),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 200}),
]


def _one_or_list(item: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}


Prompts = Annotated[
    tuple[Prompt, ...],
    BeforeValidator(_as_list),
    AfterValidator(_different),
    WithJsonSchema(_one_or_list({"type": "string", "minLength": 1, "maxLength": 200})),
]
"""A phrase or a list of them; always a tuple once loaded."""


def _hours(value: object) -> Hours:
    return value if isinstance(value, Hours) else hours(line(value))


def _any_hours(spans: tuple[Hours, ...]) -> tuple[Hours, ...]:
    if not spans:
        raise Wrong("the list is empty; leave the key out where always is meant", subject=False)
    return spans


Times = Annotated[
    tuple[
        Annotated[Hours, BeforeValidator(_hours), PlainSerializer(lambda span: span.text, str)], ...
    ],
    BeforeValidator(_as_list),
    AfterValidator(_any_hours),
    WithJsonSchema(_one_or_list({"type": "string", "pattern": HOURS_PATTERN})),
]
"""Times of the week, one or a list of them."""


def _listed(value: object) -> object:
    if not isinstance(value, (list, tuple)):
        raise Wrong("is not a list; write [one, another]")
    if not value:
        raise Wrong("the list is empty; leave the key out where all are meant", subject=False)
    return value


Names = Annotated[
    tuple[Line, ...],
    BeforeValidator(_listed),
    WithJsonSchema(
        {"type": "array", "items": {"type": "string", "pattern": NAME_PATTERN}, "minItems": 1}
    ),
]
"""References to cameras or zones; whether they exist is for `references.py` to say."""


# --- switches, choices, numbers ------------------------------------------------------------------


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return value.lower() == "true"
    raise Wrong("is neither true nor false; write true or false")


Switch = Annotated[bool, BeforeValidator(_switch)]


@dataclass(frozen=True, slots=True)
class OneOf:
    """Annotates a `Literal`: says what is allowed in our words."""

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        options: tuple[str, ...] = get_args(source)

        def check(value: object) -> object:
            if value not in options:
                hint = did_you_mean(value, options) if isinstance(value, str) else ""
                raise Wrong(f"is not allowed; write {listing(options)}{hint}")
            return value

        return core_schema.no_info_before_validator_function(check, handler(source))


@dataclass(frozen=True, slots=True)
class Number:
    """Annotates `int` or `float` with its range. Numbers in strings are numbers."""

    at_most: float
    at_least: float | None = None
    above: float | None = None
    remark: str = ""

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        whole = source is int
        schema = handler(source)

        def check(value: object) -> object:
            number = _number(value, whole)
            if number is None or not self._holds(number):
                raise Wrong(f"is not {self._wanted(whole)}{self.remark}")
            return number

        return core_schema.no_info_before_validator_function(check, schema)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: Callable[[CoreSchema], dict[str, Any]]
    ) -> dict[str, Any]:
        limits = {
            "minimum": self.at_least,
            "exclusiveMinimum": self.above,
            "maximum": self.at_most,
        }
        return handler(schema) | {key: limit for key, limit in limits.items() if limit is not None}

    def _holds(self, number: float) -> bool:
        return (
            number <= self.at_most
            and (self.at_least is None or number >= self.at_least)
            and (self.above is None or number > self.above)
        )

    def _wanted(self, whole: bool) -> str:
        kind = "a whole number" if whole else "a number"
        if self.above is not None:
            return f"{kind} above {self.above:g} and at most {self.at_most:g}"
        return f"{kind} from {self.at_least:g} to {self.at_most:g}"


def _number(value: object, whole: bool) -> int | float | None:
    """The number in `value`, or None where there is none, or none that is finite."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if _INTEGER.fullmatch(value):
            value = int(value)
        elif _DECIMAL.fullmatch(value):
            value = float(value)
    if isinstance(value, float) and math.isfinite(value):
        return int(value) if whole and value.is_integer() else None if whole else value
    return value if isinstance(value, int) else None


@dataclass(frozen=True, slots=True)
class NotSupportedYet:
    """Annotates a key whose behaviour does not exist yet: only `accepted` values pass.

    The check comes last, so a value that would never be right gets its usual message.
    """

    accepted: tuple[object, ...]

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, value: object) -> object:
        if value in self.accepted:
            return value
        if len(self.accepted) > 1:
            raise Wrong(f"is not supported yet; write {listing(self.accepted)}")
        raise Wrong("not supported yet; leave it out", subject=False)


def not_supported_yet(*accepted: object) -> NotSupportedYet:
    return NotSupportedYet(accepted)


# --- durations, sizes, paths ---------------------------------------------------------------------


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, int) and 0 <= value < 1000:
            raise Wrong(f"lacks a unit; write {value}s, or ms, m, h or d in place of s")
        raise Wrong("lacks a unit; write it as 500ms, 3s, 1m30s or 7d")
    if not isinstance(value, str):
        raise Wrong("is not a duration; write one such as 500ms, 3s, 1m30s or 7d")
    return units.duration(value)


def _lasting(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise Wrong("is too short; write a duration above 0s")
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": units.DURATION_PATTERN}),
]
LastingDuration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    AfterValidator(_lasting),
    WithJsonSchema({"type": "string", "pattern": units.DURATION_PATTERN}),
]
"""A duration above zero."""


def _size(value: object, info: ValidationInfo) -> int:
    if isinstance(value, str):
        return units.size(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if info.context is None:  # made in code, in bytes
            return value
        raise Wrong("lacks a unit; write it as 500KB, 10MB or 1GB")
    raise Wrong("is not a size; write one such as 500KB, 10MB or 1GB")


Size = Annotated[
    int, BeforeValidator(_size), WithJsonSchema({"type": "string", "pattern": units.SIZE_PATTERN})
]
"""Bytes, once loaded."""


def absolute(text: str, folder: Path) -> Path:
    """`text` as a path that starts at `folder`, unless it says otherwise; `~` is one's home."""
    try:
        return folder / Path(text).expanduser()
    except RuntimeError:
        raise Wrong("names the home of somebody unknown") from None


def _path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    return absolute(line(value), folder_of(info))


FilePath = Annotated[Path, BeforeValidator(_path), WithJsonSchema({"type": "string"})]
