"""Switches, enums and numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import (
    BeforeValidator,
    GetCoreSchemaHandler,
)
from pydantic_core import CoreSchema, core_schema

from streamwatch.config.wording import Wrong, did_you_mean, listing

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return value.lower() == "true"
    raise Wrong("is neither true nor false; write true or false")


Switch = Annotated[bool, BeforeValidator(_switch)]


@dataclass(frozen=True, slots=True)
class OneOf:
    """Annotates a `Literal` of texts or whole numbers, for our error message."""

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        options: dict[str, object] = {str(option): option for option in get_args(source)}

        def check(value: object) -> object:
            # A number from an environment variable is a text; True would equal 1.
            if isinstance(value, bool) or str(value) not in options:
                raise Wrong(f"is not allowed; write {listing(options)}{_meant(value, options)}")
            return options[str(value)]

        return core_schema.no_info_before_validator_function(check, handler(source))


def _meant(value: object, options: Collection[str]) -> str:
    """A question whether another word was meant; empty if none is near."""
    if "off" in options and str(value).lower() in ("no", "false"):
        return "; did you mean 'off'?"
    return did_you_mean(value, options) if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class Number:
    """Annotates `int` or `float` with its range. Accepts numbers as strings."""

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
            if number is None or not self._in_range(number):
                raise Wrong(f"is not {self._expected(whole)}{self.remark}")
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

    def _in_range(self, number: float) -> bool:
        return (
            number <= self.at_most
            and (self.at_least is None or number >= self.at_least)
            and (self.above is None or number > self.above)
        )

    def _expected(self, whole: bool) -> str:
        kind = "a whole number" if whole else "a number"
        if self.above is not None:
            return f"{kind} above {self.above:g} and at most {self.at_most:g}"
        return f"{kind} from {self.at_least:g} to {self.at_most:g}"


def _number(value: object, whole: bool) -> int | float | None:
    """`value` as a number; None if it is none, not finite, or not an integer where `whole`."""
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
