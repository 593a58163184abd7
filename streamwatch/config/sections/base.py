"""What all sections of the configuration have in common."""

from __future__ import annotations

from pydantic import (
    BaseModel,
    ConfigDict,
    model_validator,
)


def or_empty(value: object) -> object:
    """For mappings whose keys are all commented out, which is null to YAML."""
    return {} if value is None else value


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_section(cls, value: object) -> object:
        return or_empty(value)


def switch_or_settings(value: object) -> str:
    return "(settings)" if isinstance(value, (dict, BaseModel)) else "(switch)"
