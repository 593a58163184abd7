"""Turns pydantic's validation errors into sentences about what the user wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from streamwatch.config.document.positions import Entry, Fault, Loc, Position, printable, subject
from streamwatch.config.sections.whole import Config
from streamwatch.config.wording import Wrong, did_you_mean
from streamwatch.masking import mask_url

_KEY = "[key]"
"""What pydantic appends to the loc of an invalid mapping key."""

_NO_DEFAULT = "default_factory_not_called"
"""Error type for a default that depends on another, invalid key, which has an error of its own."""

_MISSING: dict[str, str] = {
    "detector": "is missing; write detector: {model: toybox}",
    "model": "is missing; write model: toybox",
    "cameras": "is missing; write one below it, as `porch: {url: …}`, or `{}` to add them later",
    "url": "is missing; write where the camera is, as url: rtsp://…",
    "notify.url": "is missing; write where to, as url: ntfy://TOPIC",
    "prompt": "is missing; write what to find, as prompt: person",
}


def faults(error: ValidationError, entries: Mapping[Loc, Entry]) -> Iterator[Fault]:
    """All errors in `error`, with their line and column."""
    for details in error.errors(include_url=False, include_input=False):
        if details["type"] == _NO_DEFAULT:
            continue
        loc = _written_loc(details, entries)
        yield Fault(loc, _position(loc, details, entries), _message(loc, details, entries))


def first_mistake(error: ValidationError) -> str:
    """The first error in settings that stand in no file: `key: 'what was given' is not …`.

    A password in a URL is masked.
    """
    first = error.errors()[0]
    key = ".".join(str(step) for step in first["loc"])
    wrong = first.get("ctx", {}).get("error")
    if not isinstance(wrong, Wrong):
        return f"{key}: {first['msg']}"
    given = first["input"]
    shown = mask_url(given) if isinstance(given, str) else given
    return f"{key}: {f'{shown!r} ' if wrong.subject else ''}{wrong.predicate}"


def fault(loc: Loc, wrong: Wrong, entries: Mapping[Loc, Entry]) -> Fault:
    """`wrong` as an error at `loc`."""
    what = subject(loc, entries[loc]) if loc in entries else ""
    return Fault(loc, position_of(loc, entries), _sentence(what, wrong))


def position_of(loc: Loc, entries: Mapping[Loc, Entry]) -> Position:
    """Line and column of the value at `loc`; if it is not in the file, of the nearest key above."""
    if loc in entries:
        return entries[loc].value
    while loc and loc not in entries:
        loc = loc[:-1]
    entry = entries[loc]
    return entry.key or entry.value


def _written_loc(details: ErrorDetails, entries: Mapping[Loc, Entry]) -> Loc:
    """pydantic's loc without the steps that it adds itself: branches of unions, `[key]`."""
    found = details["loc"]
    loc: Loc = ()
    for step in found:
        if (*loc, step) in entries:
            loc = (*loc, step)
    return (*loc, found[-1]) if details["type"] == "missing" else loc


def _is_about_key(loc: Loc, details: ErrorDetails) -> bool:
    return details["loc"][-1:] == (_KEY,) and len(loc) < len(details["loc"])


def _position(loc: Loc, details: ErrorDetails, entries: Mapping[Loc, Entry]) -> Position:
    unknown = details["type"] == "extra_forbidden"
    if (unknown or _is_about_key(loc, details)) and (key := entries[loc].key):
        return key
    return position_of(loc, entries)


def _message(loc: Loc, details: ErrorDetails, entries: Mapping[Loc, Entry]) -> str:
    if _is_about_key(loc, details):
        return _about(f"'{printable(str(loc[-1]))}'", details)
    kind = details["type"]
    if kind == "missing":
        keys = [str(step) for step in loc if not isinstance(step, int)]
        return _MISSING.get(".".join(keys)) or _MISSING.get(keys[-1], "is missing")
    if kind == "extra_forbidden":
        known = _keys_at(loc[:-1])
        hint = did_you_mean(str(loc[-1]), known) or _allowed(known)
        own = "" if loc[:-1] or "mean" in hint else "; one of your own starts with x-"
        return f"unknown key{hint}{own}"
    return _about(subject(loc, entries[loc]), details, loc)


def _about(what: str, details: ErrorDetails, loc: Loc = ()) -> str:
    kind = details["type"]
    wrong = details.get("ctx", {}).get("error")
    if isinstance(wrong, Wrong):
        return _sentence(what, wrong)
    if kind in ("model_type", "model_attributes_type"):
        known = _keys_at(loc)
        return f"{what} can't stand here; write `key: value` below it{_allowed(known)}"
    if kind == "dict_type":
        return f"{what} can't stand here; write a name for each below it, as `porch:`"
    return f"{what} can't stand here"


def _sentence(what: str, wrong: Wrong) -> str:
    return f"{what} {wrong.predicate}" if wrong.subject else wrong.predicate


def _allowed(known: list[str]) -> str:
    return f"; allowed are {', '.join(known)}"


def _keys_at(loc: Loc) -> list[str]:
    """The keys that are allowed in the mapping at `loc`."""
    kinds: list[Any] = [Config]
    for step in loc:
        if isinstance(step, int):  # of a list of mappings
            continue
        kinds = [inner for kind in kinds for inner in _inside(kind, step)]
    return [field.alias or key for kind in kinds for key, field in kind.model_fields.items()]


def _inside(kind: type[BaseModel] | Any, step: str | int) -> Iterator[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for key, field in kind.model_fields.items():
            if (field.alias or key) == step:
                yield from _mappings(field.annotation)
    elif get_origin(kind) is dict:
        yield from _mappings(get_args(kind)[1])


def _mappings(annotation: Any) -> Iterator[Any]:
    """The models and dicts in an annotation."""
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    if is_model or get_origin(annotation) is dict:
        yield annotation
    else:
        for argument in get_args(annotation):
            yield from _mappings(argument)
