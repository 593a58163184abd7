"""Texts, names and prompts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    SecretStr,
    WithJsonSchema,
)

from streamwatch.config.values.phrases import folded, normalised
from streamwatch.config.wording import Wrong

NAME_PATTERN = "^[a-z0-9_-]{1,63}$"
PICTURE_PREFIX = "picture:"
"""What names of prompts that are pictures begin with, and no text does."""


def text_of_value(value: object) -> str:
    if value is None:
        raise Wrong("can't stand here; write a text")
    if isinstance(value, (bool, int, float)):
        raise Wrong("is not a text as it stands; put it in quotes")
    if not isinstance(value, str):
        raise Wrong("is not a text")
    return value


def line(value: object, longest: int = 200) -> str:
    """`value` if it is a text of one line, not blank and not too long. Raises `Wrong`."""
    text = text_of_value(value)
    if not text.strip():
        raise Wrong("is empty; write a text")
    if not _is_one_printable_line(text):
        raise Wrong("holds a line break or another control character")
    if len(text) > longest:
        raise Wrong(f"is too long; at most {longest} characters")
    return text


def _is_one_printable_line(text: str) -> bool:
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
    text = text_of_value(value)
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


def prompt_text(value: object) -> str:
    """The prompt as written, without outer spaces, since alerts show it; not normalised."""
    text = line(text_of_value(value).strip())
    if not normalised(text):
        raise Wrong("holds nothing that can be seen; write a text")
    if text.casefold().startswith(PICTURE_PREFIX):
        raise Wrong(f"begins with {PICTURE_PREFIX}, as only the names of pictures do")
    return text


def without_duplicates(prompts: tuple[str, ...]) -> tuple[str, ...]:
    if not prompts:
        raise Wrong("the list is empty; write at least one prompt", subject=False)
    if len({folded(prompt) for prompt in prompts}) < len(prompts):
        raise Wrong(
            "the list holds a prompt twice; upper case and spaces make no difference", subject=False
        )
    return prompts


def as_list(value: object) -> Sequence[object]:
    """`value`, with a single item made a list."""
    return value if isinstance(value, (list, tuple)) else (value,)


Prompt = Annotated[
    str,
    BeforeValidator(prompt_text),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 200}),
]


def one_or_list(item: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of an item or a list of them."""
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}


Prompts = Annotated[
    tuple[Prompt, ...],
    BeforeValidator(as_list),
    AfterValidator(without_duplicates),
    WithJsonSchema(one_or_list({"type": "string", "minLength": 1, "maxLength": 200})),
]
"""A phrase or a list of them; always a tuple once loaded."""


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
"""References to cameras or zones; `references.py` checks that they exist."""
