"""The JSON Schema of the configuration file, for editors."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from streamwatch.config.sections.whole import Config
from streamwatch.config.values.texts import NAME_PATTERN
from streamwatch.config.values.units import SIZE_PATTERN, duration_text, size_text

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_OF_A_KEY = {"title", "description", "default"}
_MAPPING_OR_EMPTY = ["object", "null"]
_REFERENCE = {"$ref": "#/$defs/Reference"}
_OWN_KEYS = {
    "^x-": {"description": "Your own: for anchors (&) to be merged with <<, or for other programs."}
}
_REFERENCE_DEFINITION = {
    "type": "string",
    "pattern": r"\$\{[^}]+\}",
    "description": "Taken from elsewhere: ${NAME}, ${file:PATH} or ${credential:NAME}.",
}


def schema() -> dict[str, Any]:
    """Draft 2020-12. Beyond it, `load` accepts numbers and switches given as strings."""
    made = Config.model_json_schema(by_alias=True, schema_generator=_Generator)
    definitions = made.pop("$defs")
    for model in (made, *definitions.values()):
        model.pop("title", None)
        model["properties"] = {key: _property(form) for key, form in model["properties"].items()}
        if "required" not in model:
            model["type"] = _MAPPING_OR_EMPTY
    return {
        "$schema": DIALECT,
        "title": "streamwatch configuration",
        **made,
        "patternProperties": _OWN_KEYS,
        "description": "Cameras, what to watch for in words, and the MQTT broker to tell.",
        "$defs": {**definitions, "Reference": _REFERENCE_DEFINITION},
    }


class _Generator(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        return duration_text(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def _property(form: JsonSchemaValue) -> JsonSchemaValue:
    """The schema of one key as users write it: default with a unit, no null, title or empty
    default."""
    described = {"description": form["description"]}
    default = form.get("default")
    if form.get("pattern") == SIZE_PATTERN:
        default = size_text(form["default"])
    if default not in (None, [], {}) and "$ref" not in form:
        described["default"] = default
    alone = {key: value for key, value in form.items() if key not in _OF_A_KEY}
    options = form.get("anyOf") or form.get("oneOf") or [alone]
    # Of a choice that may be left out, pydantic makes a choice within a choice.
    options = [inner for option in options for inner in option.get("oneOf", [option])]
    forms = [_named(option) for option in options if option != {"type": "null"}]
    if any(map(_wants_reference, forms)) and not any(map(_is_free_text, forms)):
        forms.append(_REFERENCE)
    return described | (forms[0] if len(forms) == 1 else {"anyOf": forms})


def _named(form: JsonSchemaValue) -> JsonSchemaValue:
    """Restrict the keys of a mapping with user-chosen names; other schemas unchanged."""
    if "patternProperties" not in form:
        return form
    names = {"propertyNames": {"pattern": NAME_PATTERN}, "additionalProperties": False}
    return form | names | {"type": _MAPPING_OR_EMPTY}


def _wants_reference(form: JsonSchemaValue) -> bool:
    """Whether `${…}` is allowed but wouldn't match `form`: numbers, switches, enums, patterns."""
    is_word = form.get("type") == "string" and not _is_free_text(form)
    return is_word or form.get("type") in ("boolean", "integer", "number")


def _is_free_text(form: JsonSchemaValue) -> bool:
    return form.get("type") == "string" and not {"pattern", "enum", "const"} & form.keys()
