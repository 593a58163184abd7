"""The JSON Schema that editors use, and that it agrees with the loader."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from streamwatch.config import schema
from streamwatch.config.catalogue import MODELS
from streamwatch.config.document.reading import read
from streamwatch.paths import shipped, starter
from tests.config import test_broken
from tests.config.test_loading import ALL, RIGHT

SCHEMA = schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def errors(text: str) -> list[str]:
    return [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in VALIDATOR.iter_errors(read(text, "c.yaml").content)
    ]


def test_the_shipped_schema_is_up_to_date() -> None:
    """Written by `streamwatch check --schema > config.schema.json`."""
    expected = json.dumps(SCHEMA, indent=2, ensure_ascii=False) + "\n"
    assert shipped("config.schema.json").read_text(encoding="utf-8") == expected


def test_the_schema_is_valid_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["title"]


@pytest.mark.parametrize("text", [RIGHT, ALL, starter()])
def test_valid_files_match_the_schema(text: str) -> None:
    assert errors(text.replace('port: "1884"', "port: 1884")) == []


def test_the_shipped_configuration_matches_the_schema() -> None:
    assert errors(shipped("config.yaml").read_text(encoding="utf-8")) == []


def uncommented() -> str:
    """The starter with every key that it shows in comments."""
    text = starter().replace("# password: ${MQTT_PASSWORD}", '# password: "x"')
    return re.sub(r"^(\s*)# (?=( *)(\w+:|- \[\[))", r"\1\2", text, flags=re.MULTILINE)


def test_the_commented_keys_of_the_starter_match_the_schema() -> None:
    shown = uncommented()
    assert shown.count("\n  embedded: true") == 1
    assert errors(shown) == []


@pytest.mark.parametrize("text", [starter(), shipped("config.yaml").read_text(encoding="utf-8")])
def test_the_threshold_shown_in_a_comment_is_the_models_own(text: str) -> None:
    written: Any = read(text, "c.yaml").content
    assert "confidence" not in written["detector"]
    shown = re.search(r"^  # confidence: ([0-9.]+) ", text, flags=re.MULTILINE)
    assert shown is not None
    assert float(shown[1]) == MODELS[written["detector"]["model"]].confidence


@pytest.mark.parametrize(
    "section",
    [
        "mqtt: {port: '${PORT}', embedded: '${EMBEDDED}'}",
        "watches: {w: {prompt: '${A}', dwell: '${B}', confidence: '${C}'}}",
        "watches: {w: {prompt: dog, confidence: auto}}",
        "snapshots: {max_size: '${file:size}'}",
        "log: {level: '${LEVEL}'}",
        "near_misses: {a_day: '${A_DAY}', max_size: '${file:size}'}",
        "clips: {keep: '${DAYS}', max_size: '${file:size}', memory: '${M}', encode: '${E}'}",
        "watches:",
        "mqtt:",
        "near_misses:",
        "clips:",
    ],
)
def test_references_and_empty_sections_match_the_schema(section: str) -> None:
    assert errors(RIGHT + section) == []


def test_own_keys_match_the_schema() -> None:
    assert errors(RIGHT + "x-mine: [1, {a: b}]\nx-: 1\n") == []
    assert len(errors(RIGHT + "mine: 1\n")) == 1


BROKEN = [
    case
    for case in (
        *test_broken.MQTT,
        *test_broken.DETECTOR,
        *test_broken.CAMERAS,
        *test_broken.WATCHES,
        *test_broken.SECOND_LOOK,
    )
    if "not supported yet" not in str(case.values[1])
]
BEYOND_A_SCHEMA = {
    *("homeassistant wildcard", "homeassistant in our own topics", "our topics in homeassistant"),
    *("host url", "host port", "host odd", "port 0", "prefix wildcard", "prefix slash"),
    *("prefix dollar", "prefix nul", "template without"),
    *("url scheme", "url password", "url slash", "url host", "url port", "url space", "url bare"),
    *("url without scheme", "url of another program", "url braces"),
    *("zone in reading order", "mask crosses", "ignore crosses", "zone of 13 points crosses"),
    *("bundled", "crop order", "mask line", "prompt empty", "prompt same", "prompt line"),
    *("camera unknown", "zone unknown", "zone none", "areas", "appear slow", "appear hits"),
    *("within 0", "cooldown long", "confidence nan", "active empty span"),
    *("not itself", "not twice"),
    *("host ipv6 port", "tls files", "tls content", "tls key alone", "tls embedded", "tls null"),
    *("url ipv6 bare", "url ipv6 open", "username file", "camera password device"),
    *("camera password alone", "credentials twice", "udp file", "udp http", "udp rtsps"),
    *("model path", "model name as a path", "text_encoder of another"),
    *("text_encoder of another YOLOE", "text_encoder in a folder with YOLOE"),
    *(
        f"second look: {what}"
        for what in (
            *("null", "against twice", "against itself", "off against itself"),
            *("question of nobody", "question without model", "question without url"),
            *("server without question", "expect without question", "token without question"),
            *("remote without question", "share of a question", "words of a question"),
            *("url without scheme", "url with another scheme", "url with a query"),
            *("url outside", "url outside not meant"),
            *("no image tower", "no image tower for settings"),
        )
    ),
}


@pytest.mark.parametrize(
    ("text", "within_reach"),
    [
        pytest.param(str(case.values[0]), case.id not in BEYOND_A_SCHEMA, id=str(case.id))
        for case in BROKEN
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(text: str, within_reach: bool) -> None:
    assert bool(errors(text)) == within_reach


def keys(form: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in form.get("properties", {}).items():
        yield f"{path}{key}", value
    for name, definition in form.get("$defs", {}).items():
        yield from keys(definition, f"{name}.")


@pytest.mark.parametrize(("path", "form"), list(keys(SCHEMA)), ids=lambda value: str(value)[:40])
def test_every_key_is_described(path: str, form: dict[str, Any]) -> None:
    assert re.fullmatch(r"[A-Z`].{10,}\.", form["description"])
    assert "title" not in form
    assert len(form) > 1


def test_wrong_names_and_unknown_keys_do_not_match() -> None:
    for form in (SCHEMA, *SCHEMA["$defs"].values()):
        if "properties" in form:
            assert form["additionalProperties"] is False
    cameras = SCHEMA["properties"]["cameras"]
    assert cameras["propertyNames"] == {"pattern": "^[a-z0-9_-]{1,63}$"}
    assert cameras["additionalProperties"] is False


def test_defaults_are_written_as_people_write_them() -> None:
    definitions = SCHEMA["$defs"]
    assert definitions["WatchSettings"]["properties"]["leave"]["default"] == "3s"
    assert definitions["SnapshotSettings"]["properties"]["max_size"]["default"] == "1GB"
    assert definitions["SnapshotSettings"]["properties"]["keep"]["default"] == "7d"
    assert definitions["NearMissSettings"]["properties"]["max_size"]["default"] == "200MB"
    assert definitions["OutboxSettings"]["properties"]["max_size"]["default"] == "256MB"
    assert definitions["CameraSettings"]["properties"]["fps"]["default"] == 5.0
    assert {"not", "with", "without"} <= definitions["WatchSettings"]["properties"].keys()
