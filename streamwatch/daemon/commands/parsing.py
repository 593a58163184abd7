"""Parses commands that arrive over MQTT.

The settings of a watch in a command are not checked here: `load` does that when the edit is
applied, with the same messages as for the file.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from streamwatch.config import (
    Edit,
    Put,
    Remove,
    Section,
    Switch,
    Wrong,
    did_you_mean,
    holds_pictures,
    line,
    listing,
    printable,
)
from streamwatch.geometry import Box
from streamwatch.publisher import Command

LONGEST_ID = 200
MOST_PROMPTS = 100

Id = str | int | float | None
"""What a requester matches its answers by."""


@dataclass(frozen=True, slots=True)
class EditRequest:
    """Change an entry; with `persist` in the file too, else until the daemon ends."""

    id: Id
    edit: Edit
    persist: bool


@dataclass(frozen=True, slots=True)
class ReloadRequest:
    """Read the file again."""

    id: Id


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """Return a picture of a camera as it is now, with the boxes of a watch if one is named."""

    id: Id
    camera: str
    watch: str | None


@dataclass(frozen=True, slots=True)
class DetectRequest:
    """Return what is found in a camera's next frame; `prompts` None means those of its watches.

    With `look`, what a second look at each finds, too.
    """

    id: Id
    camera: str
    prompts: tuple[str, ...] | None
    look: bool


@dataclass(frozen=True, slots=True)
class TeachRequest:
    """Say of a visit whether its alert was right.

    Either `visit` names it, or `camera` and `watch` do: then it is the newest of these.
    """

    id: Id
    visit: str | None
    camera: str | None
    watch: str | None
    right: bool


@dataclass(frozen=True, slots=True)
class LearnRequest:
    """Make a picture prompt of what is in a box of a camera's next frame, or was in an alert.

    Either `visit` names the alert, or there are `camera` and `box`, in pixels of its frames.
    """

    id: Id
    watch: str
    visit: str | None
    camera: str | None
    box: Box | None
    persist: bool


CameraRequest = SnapshotRequest | DetectRequest | TeachRequest | LearnRequest
"""What concerns the cameras of one pipeline."""
Request = EditRequest | ReloadRequest | CameraRequest


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a command is refused, in one sentence for the requester."""

    id: Id
    message: str


class _Rejection(Exception):  # noqa: N818 - reads as what happened
    """Says why."""


def parse(command: Command) -> Request | Rejected:
    """Any payload gives a request or a refusal; never raises."""
    try:
        verb = _VERBS.get(command.verb)
        if verb is None:
            known = did_you_mean(command.verb, _VERBS) or f"; there is {listing(_VERBS, 'and')}"
            raise _Rejection(f"'{printable(command.verb)}' is not a command{known}")
        fields = _fields(command.payload, plain=verb.plain)
        id = _id(fields.get("id"))
    except _Rejection as rejection:
        return Rejected(None, str(rejection))
    try:
        _check_keys(fields, verb)
        return verb.build(_Fields(id, fields))
    except _Rejection as rejection:
        return Rejected(id, str(rejection))


def id_of(command: Command) -> Id:
    """The id of a command that is not carried out; None where it can't be read."""
    verb = _VERBS.get(command.verb)
    try:
        return _id(_fields(command.payload, plain=verb is not None and verb.plain).get("id"))
    except _Rejection:
        return None


# --- payloads ------------------------------------------------------------------------------------


def _fields(payload: bytes, *, plain: bool) -> dict[str, object]:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        raise _Rejection("the payload is not text in UTF-8") from None
    if not text.strip():
        return {}
    if plain and not text.lstrip().startswith("{"):
        return {"name": text.strip()}
    try:
        fields = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _Rejection(f"the payload is not JSON ({place})") from None
    except ValueError:  # int() of thousands of digits
        raise _Rejection("the payload holds a number that is too long") from None
    except RecursionError:
        raise _Rejection("the payload is nested too deeply") from None
    if not isinstance(fields, dict):
        raise _Rejection('the payload must be a JSON object, as {"name": …}')
    return fields


def _once(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for key, value in pairs:
        if key in fields:
            raise _Rejection(f"the key '{printable(key)}' is given twice")
        fields[key] = value
    return fields


def _no_number(constant: str) -> None:
    raise _Rejection(f"{constant} is not JSON")


def _id(value: object) -> Id:
    """An id that can be repeated unchanged."""
    match value:
        case bool():
            pass
        case None | int():
            return value
        case float() if math.isfinite(value):
            return value
        case str() if len(value) <= LONGEST_ID and _is_utf8(value):
            return value
    raise _Rejection(f"id must be a text of at most {LONGEST_ID} characters, or a number")


def _is_utf8(text: str) -> bool:
    """False for lone surrogates, which JSON can contain."""
    return not any(unicodedata.category(char) == "Cs" for char in text)


def _check_keys(fields: Collection[str], verb: _Verb) -> None:
    known = ("id", *verb.needed, *verb.optional)
    for key in fields:
        if key not in known:
            hint = did_you_mean(key, known) or f"; allowed are {', '.join(known)}"
            raise _Rejection(f"unknown key '{printable(key)}'{hint}")
    for key in verb.needed:
        if key not in fields:
            raise _Rejection(f"{key} is missing")


@dataclass(frozen=True, slots=True)
class _Fields:
    """A payload's fields; the required ones exist."""

    id: Id
    fields: dict[str, object]

    def switch(self, key: str, *, default: bool | None = None) -> bool:
        value = self.fields.get(key, default)
        if not isinstance(value, bool):
            raise _Rejection(f"{key} must be true or false")
        return value

    @property
    def persist(self) -> bool:
        return self.switch("persist", default=False)

    @property
    def watch_settings(self) -> dict[str, object]:
        value = self.fields["watch"]
        if not isinstance(value, dict):
            raise _Rejection('watch must be a JSON object, as {"prompt": "red car"}')
        if "pictures" in value or holds_pictures(value.get("not")):
            # Answers would tell which files there are, and P/info what is in them.
            raise _Rejection("a command names no files of pictures; learn makes such prompts")
        return value

    @property
    def prompts(self) -> tuple[str, ...] | None:
        value = self.fields.get("prompts")
        if value is None:
            return None
        prompts = value if isinstance(value, list) else [value]
        if not 0 < len(prompts) <= MOST_PROMPTS:
            raise _Rejection(f"prompts must be a text, or a list of 1 to {MOST_PROMPTS}")
        return tuple(dict.fromkeys(_line(prompt, "a prompt").strip() for prompt in prompts))

    @property
    def right(self) -> bool:
        """Checked here also for being there: "is is missing" can't be read."""
        value = self.fields.get("is")
        if value not in ("wrong", "right"):
            raise _Rejection('is must be "wrong" or "right"')
        return value == "right"

    @property
    def box(self) -> Box | None:
        value = self.fields.get("box")
        if value is None:
            return None
        if (
            not isinstance(value, list)
            or len(value) != 4
            or not all(isinstance(x, int | float) and not isinstance(x, bool) for x in value)
            or not all(map(math.isfinite, value))
        ):
            raise _Rejection("box must be [x1, y1, x2, y2], in pixels of the camera's frames")
        x1, y1, x2, y2 = map(float, value)
        return x1, y1, x2, y2

    def text(self, key: str) -> str:
        return _line(self.fields[key], key)

    def optional_text(self, key: str) -> str | None:
        return None if self.fields.get(key) is None else self.text(key)


def _line(value: object, what: str) -> str:
    try:
        return line(value)
    except Wrong as wrong:
        raise _Rejection(f"{what} {wrong.predicate}") from None


# --- verbs ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Verb:
    """With `plain`, the payload may also be just the name."""

    build: Callable[[_Fields], Request]
    needed: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    plain: bool = False


def _put(*, new: bool) -> _Verb:
    def build(fields: _Fields) -> EditRequest:
        edit = Edit("watches", fields.text("name"), Put(fields.watch_settings, new))
        return EditRequest(fields.id, edit, fields.persist)

    return _Verb(build, ("name", "watch"), ("persist",))


def _changed(section: Section, change: Remove | Switch) -> _Verb:
    def build(fields: _Fields) -> EditRequest:
        edit = Edit(section, fields.text("name"), change)
        return EditRequest(fields.id, edit, fields.persist)

    return _Verb(build, ("name",), ("persist",), plain=True)


def _switched(section: Section) -> _Verb:
    """One verb for on and off, since Home Assistant's switch has one command topic."""

    def build(fields: _Fields) -> EditRequest:
        edit = Edit(section, fields.text("name"), Switch(fields.switch("enabled")))
        return EditRequest(fields.id, edit, fields.persist)

    return _Verb(build, ("name", "enabled"), ("persist",))


def _reload(fields: _Fields) -> ReloadRequest:
    return ReloadRequest(fields.id)


def _snapshot(fields: _Fields) -> SnapshotRequest:
    return SnapshotRequest(fields.id, fields.text("camera"), fields.optional_text("watch"))


def _detect(fields: _Fields) -> DetectRequest:
    look = fields.switch("look", default=False)
    return DetectRequest(fields.id, fields.text("camera"), fields.prompts, look)


def _teach(fields: _Fields) -> TeachRequest:
    """Buttons know no visit, only a camera and a watch. Elsewhere the id is the visit's, and the
    answer repeats it as it does any other."""
    right = fields.right
    camera, watch = fields.optional_text("camera"), fields.optional_text("watch")
    if (camera is None) != (watch is None):
        missing = "camera" if camera is None else "watch"
        raise _Rejection(f"{missing} is missing; the newest alert is that of a camera and a watch")
    if camera is not None:
        return TeachRequest(fields.id, None, camera, watch, right)
    if fields.id is None:
        raise _Rejection("id is missing; write that of an alert, or a camera and a watch")
    return TeachRequest(fields.id, fields.text("id"), None, None, right)


def _learn(fields: _Fields) -> LearnRequest:
    """Without a camera the id is the alert's, as with `teach`."""
    name, box, camera = fields.text("name"), fields.box, fields.optional_text("camera")
    if (camera is None) != (box is None):
        missing = "camera" if camera is None else "box"
        raise _Rejection(f"{missing} is missing; write a camera and a box, or the id of an alert")
    if camera is not None:
        return LearnRequest(fields.id, name, None, camera, box, fields.persist)
    if fields.id is None:
        raise _Rejection("id is missing; write that of an alert, or a camera and a box")
    return LearnRequest(fields.id, name, fields.text("id"), None, None, fields.persist)


_VERBS = {
    "watch/set": _put(new=False),
    "watch/add": _put(new=True),
    "watch/remove": _changed("watches", Remove()),
    "watch/enable": _changed("watches", Switch(True)),
    "watch/disable": _changed("watches", Switch(False)),
    "watch/switch": _switched("watches"),
    "camera/switch": _switched("cameras"),
    "camera/enable": _changed("cameras", Switch(True)),
    "camera/disable": _changed("cameras", Switch(False)),
    "reload": _Verb(_reload),
    "snapshot": _Verb(_snapshot, ("camera",), ("watch",)),
    "detect": _Verb(_detect, ("camera",), ("prompts", "look")),
    "teach": _Verb(_teach, optional=("is", "camera", "watch")),
    "learn": _Verb(_learn, ("name",), ("camera", "box", "persist")),
}
