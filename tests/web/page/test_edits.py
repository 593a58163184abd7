"""Edits that the page asks for: what each form gives, and what is refused with which words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamwatch.config import Amend, Edit, Put, Remove, Section
from streamwatch.errors import StreamwatchError
from streamwatch.web.page.edits import ALLOWED, parsed

WHERE = "an edit names a section, watches or cameras, and an entry of it"
WHICH = "an edit has one of set, add and remove"


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def watch(**fields: Any) -> bytes:
    return body(section="watches", name="dog", **fields)


def camera(**fields: Any) -> bytes:
    return body(section="cameras", name="porch", **fields)


def refusal(content: bytes) -> str:
    with pytest.raises(StreamwatchError) as caught:
        parsed(content)
    return str(caught.value)


@pytest.mark.parametrize(
    ("section", "name", "asked", "change"),
    [
        ("watches", "dog", {"set": {"enabled": False}}, Amend({"enabled": False})),
        ("watches", "dog", {"set": {"zones": None, "not": ["cat"]}},
         Amend({"zones": None, "not": ["cat"]})),
        ("watches", "dog", {"set": {}}, Amend({})),
        ("watches", "dog", {"add": {"prompt": "a dog"}}, Put({"prompt": "a dog"}, new=True)),
        ("watches", "dog", {"remove": True}, Remove()),
        ("cameras", "porch", {"set": {"crop": [0, 0, 1, 0.5], "name": "Tür"}},
         Amend({"crop": [0, 0, 1, 0.5], "name": "Tür"})),
    ],
)  # fmt: skip
def test_each_form_gives_its_edit(
    section: Section, name: str, asked: dict[str, Any], change: Amend | Put | Remove
) -> None:
    found = parsed(body(section=section, name=name, seen="0123abcd", **asked))
    assert found == (Edit(section, name, change), "0123abcd")


@pytest.mark.parametrize(
    "asked",
    [
        {"set": {"not": {"pictures": "/a.png"}}},
        {"set": {"not": ["cat", {"pictures": ["/a.png"]}]}},
        {"add": {"prompt": "dog", "not": [{"pictures": ["/a.png"]}]}},
    ],
)
def test_files_of_pictures_are_refused(asked: dict[str, Any]) -> None:
    assert refusal(watch(**asked)) == "files of pictures are named in the file alone"


def test_the_fingerprint_may_be_left_out() -> None:
    assert parsed(watch(remove=True)) == (Edit("watches", "dog", Remove()), "")


@pytest.mark.parametrize("section", ["watches", "cameras"])
def test_all_that_is_allowed_can_be_set_at_once(section: Section) -> None:
    values = dict.fromkeys(ALLOWED[section])
    edit, _ = parsed(body(section=section, name="a", set=values))
    assert edit == Edit(section, "a", Amend(values))


def test_what_else_is_sent_does_not_matter() -> None:
    edit, _ = parsed(watch(set={"name": "Dog"}, url="rtsp://10.0.0.2/", change="all"))
    assert edit == Edit("watches", "dog", Amend({"name": "Dog"}))


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"set", b"\xff\xfe\xfd", b"{'section': 'watches'}"),
        pytest.param(b"[" * 100_000, id="too deep"),
        pytest.param(b"1" * 10_000, id="too long a number"),
        b'{"section": "watches", "name": "dog", "set": {"confidence": NaN}}',
        b'{"section": "watches", "name": "dog", "set": {"min_area": -Infinity}}',
        b'{"section": "watches", "name": "dog", "set": {"confidence": 1e999}}',
        b'{"section": "watches", "name": "\\ud800", "remove": true}',
        b'{"section": "watches", "name": "dog", "set": {"prompt": ["\\udc00"]}}',
        b'{"section": "watches", "name": "dog", "set": {"\\ud83d": 1}}',
    ],
)  # fmt: skip
def test_what_is_not_json_is_refused(content: bytes) -> None:
    """Neither are numbers that JSON has not, nor texts that UTF-8 has not."""
    assert refusal(content) == "this is not JSON"


@pytest.mark.parametrize("content", [b"[]", b"null", b'"set"', b"1", b"true"])
def test_what_is_no_object_is_refused(content: bytes) -> None:
    assert refusal(content) == "this is not a JSON object"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{}", WHERE),
        (body(section="mqtt", name="host", set={}), WHERE),
        (body(section="http", name="token", remove=True), WHERE),
        (body(section="Watches", name="dog", remove=True), WHERE),
        (body(section="", name="dog", remove=True), WHERE),
        (body(section=None, name="dog", remove=True), WHERE),
        (body(section=["watches"], name="dog", remove=True), WHERE),
        (body(section={"watches": 1}, name="dog", remove=True), WHERE),
        (body(section="watches", name=None, remove=True), WHERE),
        (body(section="watches", name=["dog"], remove=True), WHERE),
        (body(section="watches", name="", remove=True), WHERE),
        (body(section="watches", remove=True), WHERE),
        (watch(remove=True, seen=3), WHERE),
        (watch(remove=True, seen=None), WHERE),
        (watch(), WHICH),
        (watch(put={"prompt": "dog"}), WHICH),
        (watch(set={}, add={}), WHICH),
        (watch(set={"prompt": "dog"}, remove=True), WHICH),
        (watch(set={}, add={}, remove=True), WHICH),
        (camera(set={}, remove=True), WHICH),
        (camera(add={"name": "Porch"}), "cameras are added and removed in the file"),
        (camera(add={"url": "rtsp://x/"}), "cameras are added and removed in the file"),
        (camera(remove=True), "cameras are added and removed in the file"),
    ],
)
def test_what_does_not_say_what_to_change_is_refused(content: bytes, sentence: str) -> None:
    assert refusal(content) == sentence


@pytest.mark.parametrize("said", [False, None, 0, 1, "true", {}])
def test_nothing_is_removed_but_where_it_is_said(said: object) -> None:
    assert refusal(watch(remove=said)) == "what removes is true"


@pytest.mark.parametrize("values", [None, [], "enabled", 3, True, [["enabled", False]]])
def test_what_is_set_or_added_has_keys(values: object) -> None:
    assert refusal(watch(set=values)) == "what an edit sets is an object"
    assert refusal(watch(add=values)) == "what an edit sets is an object"
    assert refusal(camera(set=values)) == "what an edit sets is an object"


@pytest.mark.parametrize(
    ("content", "key", "hint"),
    [
        *((camera(set={key: "x"}), key, "") for key in ("url", "password", "fps")),
        (camera(set={"username": "x"}), "username", "; did you mean 'name'?"),
        (camera(set={"name": "Porch", "url": "file:///etc/passwd"}), "url", ""),
        (camera(set={"url": None}), "url", ""),
        (camera(set={"zone": {}}), "zone", "; did you mean 'zones'?"),
        (camera(set={"Crop": None}), "Crop", "; did you mean 'crop'?"),
        (camera(set={"prompt": "dog"}), "prompt", "; did you mean 'crop'?"),
        (watch(set={"promt": "dog"}), "promt", "; did you mean 'prompt'?"),
        (watch(add={"prompt": "dog", "cammeras": ["a"]}), "cammeras",
         "; did you mean 'cameras'?"),
        (watch(set={"notify": []}), "notify", "; did you mean 'not'?"),
        (watch(set={"url": "x"}), "url", ""),
        (watch(set={"": 1}), "", ""),
    ],
)  # fmt: skip
def test_other_keys_are_refused(content: bytes, key: str, hint: str) -> None:
    """Neither an address nor a password nor a file can be changed from the page."""
    assert refusal(content) == f"{key} is changed in the file alone{hint}"
