"""Edits of the configuration file that the page may make. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from streamwatch.config import Amend, Edit, Put, Remove, Section, did_you_mean, holds_pictures
from streamwatch.errors import StreamwatchError

ALLOWED: Mapping[str, frozenset[str]] = {
    "cameras": frozenset({"zones", "ignore", "mask", "crop", "enabled", "name"}),
    "watches": frozenset(
        {
            *("prompt", "not", "name", "enabled", "confidence", "min_area", "max_area"),
            *("cameras", "zones", "dwell", "leave", "cooldown", "active", "snapshot"),
        }
    ),
}
"""By section: neither addresses nor files are among them."""


def parsed(body: bytes) -> tuple[Edit, str]:
    """An edit, and the fingerprint of the file that was seen, from a JSON object.

    `{"section", "name", "set": {key: value or null}}`, or `"add": {…}` for a new watch, or
    `"remove": true`. Raises StreamwatchError.
    """
    fields = _object(body)
    section, name, seen = (fields.get(key, "") for key in ("section", "name", "seen"))
    texts = all(isinstance(each, str) for each in (section, name, seen))
    if not texts or section not in ALLOWED or not name:
        raise StreamwatchError("an edit names a section, watches or cameras, and an entry of it")
    of = cast(Section, section)
    changes = [key for key in ("set", "add", "remove") if key in fields]
    if len(changes) != 1:
        raise StreamwatchError("an edit has one of set, add and remove")
    if of == "cameras" and changes != ["set"]:
        raise StreamwatchError("cameras are added and removed in the file")
    if changes == ["remove"]:
        if fields["remove"] is not True:
            raise StreamwatchError("what removes is true")
        return Edit(of, name, Remove()), seen
    values = fields[changes[0]]
    if not isinstance(values, dict):
        raise StreamwatchError("what an edit sets is an object")
    for key in values:
        if key not in ALLOWED[of]:
            hint = did_you_mean(str(key), ALLOWED[of])
            raise StreamwatchError(f"{key} is changed in the file alone{hint}")
    if of == "watches" and holds_pictures(values.get("not")):
        raise StreamwatchError("files of pictures are named in the file alone")
    if changes == ["add"]:
        return Edit(of, name, Put(values, new=True)), seen
    return Edit(of, name, Amend(values)), seen


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
        # Raises ValueError for NaN and for halves of surrogate pairs, which no answer can hold.
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise StreamwatchError("this is not JSON") from None
    if not isinstance(found, dict):
        raise StreamwatchError("this is not a JSON object")
    return found
