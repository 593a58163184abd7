"""Texts with placeholders such as `{camera}`, and nothing else in braces."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from streamwatch.config.values.texts import text_of_value
from streamwatch.config.wording import Wrong, did_you_mean, listing

PLACEHOLDERS = (
    *("camera", "watch", "prompt", "confidence", "zones", "time", "type", "reason", "id"),
)
"""What may stand in braces in a notice's template."""
LONGEST = 1000


def _template(value: object) -> str:
    found = text_of_value(value)
    if not found.strip():
        raise Wrong("is empty; write a text")
    if len(found) > LONGEST:
        raise Wrong(f"is too long; at most {LONGEST:,} characters")
    return found


def _known_placeholders(template: str) -> str:
    try:
        parts = [*string.Formatter().parse(template)]
    except ValueError:
        raise Wrong(
            "holds a brace without its other; write {{ and }} for braces of your own",
            subject=False,
        ) from None
    for _, name, form, conversion in parts:
        if name is None:
            continue
        known = f"; there is {listing((f'{{{word}}}' for word in PLACEHOLDERS), 'and')}"
        if name not in PLACEHOLDERS:
            raise Wrong(
                f"holds a placeholder that does not exist{did_you_mean(name, PLACEHOLDERS)}{known}",
                subject=False,
            )
        if form or conversion:
            raise Wrong(f"holds a placeholder with more than its name{known}", subject=False)
    return template


def filled(template: str, values: Mapping[str, str]) -> str:
    """A valid template with its placeholders replaced; each of these must be in `values`."""
    return "".join(
        literal + ("" if name is None else values[name])
        for literal, name, _, _ in string.Formatter().parse(template)
    )


Template = Annotated[
    str,
    BeforeValidator(_template),
    AfterValidator(_known_placeholders),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": LONGEST}),
]
"""Up to 1,000 characters, in several lines if need be."""
