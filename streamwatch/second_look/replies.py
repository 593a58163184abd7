"""What the reply of a language model's server says, in each of the forms that are in use."""

from __future__ import annotations

import json
import re
from typing import Any, Literal, cast

Answer = Literal["yes", "no"]

_THOUGHTS = re.compile(r"\A.*?</think>", re.DOTALL)
"""Without their beginning too: with some models that is the end of the request."""
_FENCED = re.compile(r"```(?:json)?\s(.*)```", re.DOTALL)
_QUOTE = r"""["'\u2018-\u201d]"""
_WORD = re.compile(rf"{_QUOTE}?(yes|no)(?:\.{_QUOTE}?|{_QUOTE}\.?)?")


def parsed(body: bytes) -> Any:
    """The JSON; None if it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def content_of(reply: Any) -> str | None:
    """What the model wrote; None if that is not where it should be."""
    match reply:
        case {"choices": [{"message": {"content": str(said)}}, *_]}:
            return said
        case {"choices": [{"message": {"content": [*parts]}}, *_]}:
            return "".join(_text(part) for part in parts)
    return None


def _text(part: Any) -> str:
    match part:
        case {"type": "text", "text": str(said)}:
            return said
    return ""


def error_message(reply: Any) -> str:
    """What a server says of an error; empty if nothing."""
    match reply:
        case {"error": {"message": str(said)}} | {"error": str(said)}:
            return said
        case {"message": str(said)} | {"detail": str(said)}:
            return said
    return ""


def yes_or_no(said: str) -> Answer | None:
    """The answer that a model wrote: one word or our JSON, and nothing beside its thoughts."""
    text = _THOUGHTS.sub("", said).strip()
    if word := _WORD.fullmatch(text.lower()):
        return cast(Answer, word[1])
    fenced = _FENCED.fullmatch(text)
    try:
        # As pairs, since of a key that stands there twice the last one would count.
        found = json.loads(fenced[1] if fenced else text, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return None
    answers: tuple[Answer, ...] = ("yes", "no")
    return next((answer for answer in answers if found == (("answer", answer),)), None)
