"""The section `detector`: model, text encoder, device, image size, confidence, template."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from streamwatch.config.catalogue import (
    ENCODERS,
    FOLDERS,
    MODELS,
    OFFICIAL_CONFIDENCE,
    OFFICIAL_FLOOR,
    RECOMMENDED,
)
from streamwatch.config.sections.base import Settings
from streamwatch.config.values.numbers import Number, OneOf, Switch
from streamwatch.config.values.paths import absolute, folder_of
from streamwatch.config.values.texts import Line
from streamwatch.config.wording import Wrong, did_you_mean, listing

_LATER_DEVICES = ("mps", "xpu", "npu", "rocm", "intel")
_A_MODEL = f"write toybox, {RECOMMENDED} or another of `streamwatch models`, or a .pt file"
_AN_ENCODER = f"write {listing(ENCODERS)}, or a folder, as ./my-clip"


def _model(value: str, info: ValidationInfo) -> str:
    """A catalogue name unchanged, or the absolute path of a `.pt` file."""
    if value in MODELS:
        return value
    if value.endswith(".pt"):
        return str(absolute(value, folder_of(info)))
    raise Wrong(f"is not a model{did_you_mean(value, MODELS) or f'; {_A_MODEL}'}")


def _text_encoder(value: str, info: ValidationInfo) -> str:
    if value in ENCODERS:
        return value
    if value.startswith((".", "~")) or "/" in value:
        return str(absolute(value, folder_of(info)))
    raise Wrong(f"is not a text encoder{did_you_mean(value, ENCODERS) or f'; {_AN_ENCODER}'}")


def _device(value: str) -> str:
    if re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,2})?", value):
        return value
    if value.split(":")[0] in _LATER_DEVICES:
        raise Wrong("is not supported yet; write auto, cpu, cuda or cuda:1")
    hint = did_you_mean(value, ("auto", "cpu", "cuda", "cuda:0"))
    raise Wrong(f"is not a device; write auto, cpu, cuda or cuda:1{hint}")


def _template(value: str) -> str:
    if value.count("{}") != 1:
        raise Wrong("needs {} once, where the prompt goes")
    return value


class DetectorSettings(Settings):
    model: Annotated[
        Line,
        AfterValidator(_model),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string", "enum": list(MODELS)},
                    {"type": "string", "pattern": r"\.pt$"},
                ]
            }
        ),
    ]
    """Name of a model (`streamwatch models` lists them), or path of a YOLO-World or YOLOE `.pt`."""
    text_encoder: (
        Annotated[
            Line,
            AfterValidator(_text_encoder),
            WithJsonSchema(
                {
                    "anyOf": [
                        {"type": "string", "enum": list(ENCODERS)},
                        {"type": "string", "pattern": "^[.~]|/"},
                    ]
                }
            ),
        ]
        | None
    ) = Field(None, validate_default=True)
    """`clip`, `minilm`, `mobileclip`, `mobileclip2` or a folder; needed with a path."""
    offline: Switch = False
    """Never fetch a model; what is not here by `streamwatch models pull` is an error."""
    device: Annotated[
        Line,
        AfterValidator(_device),
        WithJsonSchema({"type": "string", "pattern": "^(?:auto|cpu|cuda(?::[0-9]{1,2})?)$"}),
    ] = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:1`."""
    backend: Annotated[Literal["auto", "torch", "openvino"], OneOf()] = "auto"
    """`auto`, `torch` or `openvino`, which is for a CPU; `auto` takes that there, else `torch`."""
    precision: Annotated[Literal["auto", "full", "half", "int8"], OneOf()] = "auto"
    """`full` (32 bits), `half` (16), `auto`, the faster of these two, or `int8` (8 bits)."""
    image_size: Annotated[int, Number(at_least=32, at_most=2048)] | None = None
    """Longer side of what the model sees, in pixels; where left out 640, with toybox 416."""
    confidence: Annotated[float, Number(above=0, at_most=1)] | None = None
    """How sure it must be, the default of the watches; where left out 0.1, with toybox 0.3."""
    template: Annotated[Line, AfterValidator(_template)] = "{}"
    """Text around each prompt when it is encoded, as `a photo of {}`; alerts never show it."""
    distractors: Switch = True
    """Let built-in prompts, which are never reported, compete with those of the watches."""

    @property
    def encoder_name(self) -> str:
        """A key of `catalogue.ENCODERS`, or the path of a folder."""
        return self.text_encoder or MODELS[self.model].encoder

    @field_validator("text_encoder")
    @classmethod
    def _encoder_of_the_model(cls, encoder: str | None, info: ValidationInfo) -> str | None:
        model = info.data.get("model")  # absent if invalid
        if model is None:
            return encoder
        if model not in MODELS and encoder is None:
            name = Path(model).stem
            hint = f"; the model of that name is written {name}" if name in MODELS else ""
            raise Wrong(
                f"a model by its path needs text_encoder: {listing(ENCODERS)}, or a folder{hint}",
                subject=False,
            )
        if model in MODELS and encoder is not None:
            _check_pair(encoder, model)
        return encoder

    @property
    def threshold(self) -> float:
        """`confidence`, or where that is left out the model's own."""
        return self.usual_confidence if self.confidence is None else self.confidence

    @property
    def usual_confidence(self) -> float:
        """The model's own threshold, whatever `confidence` says."""
        return MODELS[self.model].confidence if self.model in MODELS else OFFICIAL_CONFIDENCE

    @property
    def floor(self) -> float:
        """The confidence from which a sighting below the threshold keeps a track alive."""
        return MODELS[self.model].floor if self.model in MODELS else OFFICIAL_FLOOR


def _check_pair(encoder: str, model: str) -> None:
    """Raise Wrong unless `model` was trained with `encoder`, or with one that a folder may hold."""
    trained_with = MODELS[model].encoder
    may_be_a_folder = ENCODERS[trained_with].kind in FOLDERS.values()
    if encoder != trained_with and (encoder in ENCODERS or not may_be_a_folder):
        raise Wrong(
            f"does not go with {model}, which was trained with {trained_with}; leave it out"
        )
