"""How commands are parsed, and why some are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.config import Edit, Put, Remove, Switch
from streamwatch.daemon.commands.parsing import (
    DetectRequest,
    EditRequest,
    LearnRequest,
    Rejected,
    ReloadRequest,
    Request,
    SnapshotRequest,
    TeachRequest,
    id_of,
    parse,
)
from streamwatch.publisher import Command, Reply
from streamwatch.publisher.contract.payloads import encode


def read(verb: str, payload: bytes | str | dict[str, Any] = b"") -> Request | Rejected:
    if isinstance(payload, dict):
        payload = json.dumps(payload)
    return parse(
        Command(verb, payload if isinstance(payload, bytes) else payload.encode(), Reply())
    )


@pytest.mark.parametrize(
    ("verb", "payload", "request_"),
    [
        (
            "watch/set",
            {"id": "a", "name": "bag", "watch": {"prompt": "bag"}},
            EditRequest("a", Edit("watches", "bag", Put({"prompt": "bag"})), False),
        ),
        (
            "watch/add",
            {"name": "bag", "watch": {}, "persist": True},
            EditRequest(None, Edit("watches", "bag", Put({}, new=True)), True),
        ),
        (
            "watch/remove",
            {"name": "bag", "id": 7},
            EditRequest(7, Edit("watches", "bag", Remove()), False),
        ),
        ("watch/remove", " bag\n", EditRequest(None, Edit("watches", "bag", Remove()), False)),
        ("watch/enable", "1", EditRequest(None, Edit("watches", "1", Switch(True)), False)),
        ("watch/disable", "bag", EditRequest(None, Edit("watches", "bag", Switch(False)), False)),
        (
            "camera/enable",
            {"name": "porch", "persist": True},
            EditRequest(None, Edit("cameras", "porch", Switch(True)), True),
        ),
        (
            "camera/disable",
            "true",
            EditRequest(None, Edit("cameras", "true", Switch(False)), False),
        ),
        (
            "watch/switch",
            {"name": "bag", "enabled": True},
            EditRequest(None, Edit("watches", "bag", Switch(True)), False),
        ),
        (
            "camera/switch",
            {"name": "porch", "enabled": False, "persist": True},
            EditRequest(None, Edit("cameras", "porch", Switch(False)), True),
        ),
        ("reload", "", ReloadRequest(None)),
        ("reload", {"id": 1.5}, ReloadRequest(1.5)),
        ("snapshot", {"camera": "porch"}, SnapshotRequest(None, "porch", None)),
        ("snapshot", {"camera": "porch", "watch": "dog"}, SnapshotRequest(None, "porch", "dog")),
        ("detect", {"camera": "porch"}, DetectRequest(None, "porch", None, False)),
        (
            "detect",
            {"camera": "porch", "prompts": "cat"},
            DetectRequest(None, "porch", ("cat",), False),
        ),
        (
            "detect",
            {"camera": "porch", "prompts": ["a", " b ", "a"]},
            DetectRequest(None, "porch", ("a", "b"), False),
        ),
        ("detect", {"camera": "a", "look": True}, DetectRequest(None, "a", None, True)),
        ("teach", {"id": "01M", "is": "wrong"}, TeachRequest("01M", "01M", None, None, False)),
        (
            "learn",
            {"id": "01M", "name": "cat"},
            LearnRequest("01M", "cat", "01M", None, None, False),
        ),
        (
            "learn",
            {"name": "cat", "camera": "porch", "box": [1, 2, 30.5, 40], "persist": True},
            LearnRequest(None, "cat", None, "porch", (1.0, 2.0, 30.5, 40.0), True),
        ),
        ("teach", {"id": "01M", "is": "right"}, TeachRequest("01M", "01M", None, None, True)),
        (
            "teach",
            {"id": "01M", "is": "wrong", "camera": None, "watch": None},
            TeachRequest("01M", "01M", None, None, False),
        ),
        (
            "teach",
            {"camera": "porch", "watch": "dog", "is": "wrong"},
            TeachRequest(None, None, "porch", "dog", False),
        ),
        (
            "teach",
            {"id": 7, "camera": "porch", "watch": "dog", "is": "right"},
            TeachRequest(7, None, "porch", "dog", True),
        ),
    ],
)
def test_valid_commands_become_requests(verb: str, payload: Any, request_: Request) -> None:
    assert read(verb, payload) == request_


@pytest.mark.parametrize(
    ("verb", "payload", "refusal"),
    [
        ("watch/ad", {}, "'watch/ad' is not a command; did you mean 'watch/add'?"),
        ("watch/add", {"id": "a"}, "name is missing"),
        ("watch/add", {"id": "a", "name": "b"}, "watch is missing"),
        (
            "watch/set",
            {"id": "a", "name": "b", "watch": {}, "persits": True},
            "unknown key 'persits'; did you mean 'persist'?",
        ),
        (
            "watch/set",
            {"id": "a", "name": "b", "prompt": "x"},
            "unknown key 'prompt'; allowed are id, name, watch, persist",
        ),
        (
            "watch/set",
            {"id": "a", "name": "b", "watch": "x"},
            'watch must be a JSON object, as {"prompt": "red car"}',
        ),
        (
            "watch/set",
            {"id": "a", "name": "b", "watch": {}, "persist": "yes"},
            "persist must be true or false",
        ),
        ("watch/set", "bag", "the payload is not JSON (line 1, column 1)"),
        ("watch/set", "[]", 'the payload must be a JSON object, as {"name": …}'),
        ("watch/set", '{"name": "a", "name": "b"}', "the key 'name' is given twice"),
        ("watch/set", '{"name": NaN}', "NaN is not JSON"),
        ("watch/set", '{"id": ' + "9" * 5000 + "}", "the payload holds a number that is too long"),
        ("watch/set", b"\xff", "the payload is not text in UTF-8"),
        ("watch/set", '{"watch": ' + "[" * 60_000, "the payload is nested too deeply"),
        ("watch/remove", "", "name is missing"),
        ("watch/switch", {"name": "bag"}, "enabled is missing"),
        ("camera/switch", {"name": "porch", "enabled": "ON"}, "enabled must be true or false"),
        (
            "watch/remove",
            {"name": 7, "id": "a"},
            "name is not a text as it stands; put it in quotes",
        ),
        (
            "reload",
            {"id": [1]},
            "id must be a text of at most 200 characters, or a number",
        ),
        (
            "reload",
            {"id": True},
            "id must be a text of at most 200 characters, or a number",
        ),
        (
            "reload",
            '{"id": 1e999}',
            "id must be a text of at most 200 characters, or a number",
        ),
        (
            "reload",
            '{"id": "\\ud800"}',
            "id must be a text of at most 200 characters, or a number",
        ),
        ("snapshot", {"id": "a"}, "camera is missing"),
        ("snapshot", {"id": "a", "camera": " "}, "camera is empty; write a text"),
        (
            "detect",
            {"id": "a", "camera": "porch", "prompts": []},
            "prompts must be a text, or a list of 1 to 100",
        ),
        (
            "detect",
            {"id": "a", "camera": "porch", "prompts": ["a\nb"]},
            "a prompt holds a line break or another control character",
        ),
        *(
            (
                verb,
                {"name": "bag", "watch": watch},
                "a command names no files of pictures; learn makes such prompts",
            )
            for verb in ("watch/set", "watch/add")
            for watch in (
                {"pictures": ["/etc/passwd"]},
                {"prompt": "bag", "not": {"pictures": "/a.png"}},
                {"prompt": "bag", "not": ["box", {"pictures": ["/a.png"]}]},
            )
        ),
        ("learn", {"id": "a"}, "name is missing"),
        (
            "learn",
            {"name": "cat"},
            "id is missing; write that of an alert, or a camera and a box",
        ),
        (
            "learn",
            {"name": "cat", "camera": "porch"},
            "box is missing; write a camera and a box, or the id of an alert",
        ),
        (
            "learn",
            {"name": "cat", "box": [1, 2, 3, 4]},
            "camera is missing; write a camera and a box, or the id of an alert",
        ),
        (
            "learn",
            {"name": "cat", "camera": "porch", "box": [1, 2, 3, True]},
            "box must be [x1, y1, x2, y2], in pixels of the camera's frames",
        ),
        ("teach", {"id": "a"}, 'is must be "wrong" or "right"'),
        ("teach", {"id": "a", "is": "Wrong"}, 'is must be "wrong" or "right"'),
        ("teach", {"id": "a", "is": False}, 'is must be "wrong" or "right"'),
        ("teach", {"id": "a", "is": ["wrong"]}, 'is must be "wrong" or "right"'),
        (
            "teach",
            {"is": "wrong"},
            "id is missing; write that of an alert, or a camera and a watch",
        ),
        (
            "teach",
            {"id": 7, "is": "wrong"},
            "id is not a text as it stands; put it in quotes",
        ),
        ("teach", {"id": " ", "is": "wrong"}, "id is empty; write a text"),
        (
            "teach",
            {"id": "a", "is": "wrong", "camera": "porch"},
            "watch is missing; the newest alert is that of a camera and a watch",
        ),
        (
            "teach",
            {"id": "a", "is": "wrong", "watch": "dog"},
            "camera is missing; the newest alert is that of a camera and a watch",
        ),
        (
            "teach",
            {"id": "a", "is": "wrong", "camera": 7, "watch": "dog"},
            "camera is not a text as it stands; put it in quotes",
        ),
        (
            "teach",
            {"id": "a", "is": "wrong", "wach": "dog"},
            "unknown key 'wach'; did you mean 'watch'?",
        ),
        (
            "teach",
            {"id": "a", "is": "wrong", "visit": "b"},
            "unknown key 'visit'; allowed are id, is, camera, watch",
        ),
        ("teach", "wrong", "the payload is not JSON (line 1, column 1)"),
    ],
)
def test_invalid_commands_are_refused_with_a_reason(verb: str, payload: Any, refusal: str) -> None:
    id = payload.get("id") if isinstance(payload, dict) and verb != "watch/ad" else None
    repeated = id if isinstance(id, (str, int)) and not isinstance(id, bool) else None
    assert read(verb, payload) == Rejected(repeated, refusal)


@pytest.mark.parametrize(
    ("verb", "payload", "id"),
    [
        ("watch/enable", b'{"id": 7, "name": "dog"}', 7),
        ("watch/enable", b"dog", None),
        ("detect", b'{"id": "a", "unknown": []}', "a"),
        ("detect", b'{"id": []}', None),
        ("detect", b"\xff", None),
        ("no/such", b'{"id": 1.5}', 1.5),
    ],
)
def test_the_id_of_a_command_that_is_not_carried_out(verb: str, payload: bytes, id: object) -> None:
    assert id_of(Command(verb, payload, Reply())) == id


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec=None), max_size=5)
    | st.sampled_from(["wrong", "right"])
)


def test_an_unknown_verb_gets_the_list_of_commands() -> None:
    refusal = read("x" * 100)
    assert isinstance(refusal, Rejected)
    assert refusal.message.startswith(f"'{'x' * 59}…' is not a command; there is watch/set, watch/")


@given(
    st.sampled_from(["watch/set", "watch/remove", "reload", "detect", "teach", "", "\0"]),
    st.binary(),
)
def test_any_bytes_are_parsed_or_refused(verb: str, payload: bytes) -> None:
    assert read(verb, payload)


@given(
    st.sampled_from(["watch/set", "watch/remove", "reload", "snapshot", "detect", "teach"]),
    st.dictionaries(
        st.sampled_from(["id", "name", "watch", "persist", "camera", "prompts", "is", "x"]),
        VALUES | st.lists(VALUES, max_size=2) | st.dictionaries(st.text(max_size=3), VALUES),
    ),
)
def test_any_fields_are_parsed_or_refused(verb: str, fields: dict[str, Any]) -> None:
    answer = read(verb, fields)
    encode({"id": answer.id, "message": answer.message if isinstance(answer, Rejected) else ""})
