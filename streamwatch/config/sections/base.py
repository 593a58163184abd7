"""The base class of all sections of the configuration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from pydantic import (
    BaseModel,
    ConfigDict,
    model_validator,
)


def or_empty(value: object) -> object:
    """`{}` for null, which is YAML's value for a mapping whose keys are all commented out."""
    return {} if value is None else value


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_section(cls, value: object) -> object:
        return or_empty(value)

    def differs(self, other: Self, keys: Iterable[str]) -> bool:
        """Whether any of these keys has another value in `other`."""
        return any(getattr(self, key) != getattr(other, key) for key in keys)


def switch_or_settings(value: object) -> str:
    """Discriminator for a key that takes true or false, or settings of its own."""
    return "(settings)" if isinstance(value, (dict, BaseModel)) else "(switch)"
