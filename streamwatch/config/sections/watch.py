"""The section `watches`: one watch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    WrapValidator,
    field_validator,
    model_validator,
)

from streamwatch.config.sections.base import Settings, switch_or_settings
from streamwatch.config.sections.second_look import Mode, SecondLookSettings
from streamwatch.config.values.hours import Times
from streamwatch.config.values.numbers import Number, OneOf, Switch
from streamwatch.config.values.phrases import folded
from streamwatch.config.values.pictures import (
    PicturePrompt,
    Pictures,
    WordsOrPictures,
    texts_among,
)
from streamwatch.config.values.texts import Line, Names, Prompts
from streamwatch.config.values.units import Duration, LastingDuration
from streamwatch.config.wording import Wrong


def _learnt_or_number(value: object) -> str:
    """Discriminator of `confidence`, so that a wrong value is one error and not one a branch."""
    return "(learnt)" if value == "auto" else "(number)"


class AppearSettings(Settings):
    hits: Annotated[int, Number(at_least=1, at_most=1000)] = 3
    """Frames of one thing that must count."""
    within: LastingDuration = timedelta(seconds=2)
    """The time in which they must fall."""


_LEFT_OUT = object()


def _perhaps_left_out(value: object, validate: Callable[[object], tuple[str, ...]]) -> object:
    return () if value is _LEFT_OUT else validate(value)


def _words_or_pictures(schema: dict[str, Any]) -> None:
    """One of them is required."""
    schema["required"] = [key for key in schema.get("required", ()) if key != "prompt"]
    schema["anyOf"] = [{"required": ["prompt"]}, {"required": ["pictures"]}]


class WatchSettings(Settings):
    model_config = ConfigDict(json_schema_extra=_words_or_pictures)

    prompt: Annotated[Prompts, WrapValidator(_perhaps_left_out)]
    """What to find, in words; or a list, any of which will do."""
    pictures: Pictures = ()
    """What to find, in pictures: files such as `cats/*.jpg`, or `{file, box: [x1, y1, x2, y2]}`."""
    name: Line | None = None
    """What people call it; the key where left out."""
    enabled: Switch = True
    """Whether it is watched for at all."""
    not_: WordsOrPictures = Field((), alias="not")
    """Prompts it must beat, or `{pictures: …}`; what looks more like one of them does not count."""
    with_: Prompts = Field((), alias="with")
    """Prompts of which one must be near; never reported."""
    without: Prompts = ()
    """Prompts of which none may be near; never reported."""
    near: Annotated[float, Number(at_least=0, at_most=1)] = 0.1
    """How near: between the boxes' edges, as a share of the frame's diagonal; 0 is touching."""
    cameras: Names | None = None
    """Cameras to watch; all where left out."""
    zones: Names | None = None
    """Zones in which it counts; anywhere where left out. Cameras without them are skipped."""
    confidence: (
        Annotated[
            Annotated[Literal["auto"], Tag("(learnt)")]
            | Annotated[
                float, Number(above=0, at_most=1, remark="; write one, or auto"), Tag("(number)")
            ],
            Discriminator(_learnt_or_number),
        ]
        | None
    ) = None
    """How sure it must be, or `auto`: learnt by camera; `detector.confidence` where left out."""
    picture_confidence: Annotated[float, Number(above=0, at_most=1)] | None = None
    """How sure it must be of what its pictures show; as of its words where left out."""
    min_area: Annotated[float, Number(at_least=0, at_most=1)] = 0.0
    """Smallest size, as a share of the frame."""
    max_area: Annotated[float, Number(at_least=0, at_most=1)] = 1.0
    """Largest size, as a share of the frame."""
    appear: AppearSettings = AppearSettings()
    """When it counts as there."""
    dwell: Duration = timedelta(0)
    """How long it must stay before it is reported."""
    leave: Duration = timedelta(seconds=3)
    """How long it must be unseen to count as gone."""
    cooldown: Duration = timedelta(0)
    """Quiet time after a visit, per camera."""
    active: Times = ()
    """When alerts may begin, such as `mon-fri 22:00-06:00`, or a list; always where left out."""
    second_look: Annotated[
        Annotated[Mode, OneOf(), Tag("(switch)")]
        | Annotated[SecondLookSettings, Tag("(settings)")],
        Discriminator(switch_or_settings),
    ] = "off"
    """Look again at the thing alone: `off`, `note`, `require`, or `{mode, against, ask, …}`."""
    snapshot: Switch = True
    """Publish and keep a picture of each visit."""
    clip: Switch = False
    """Keep the video of each visit, with what went before and after: see `clips`."""

    @model_validator(mode="before")
    @classmethod
    def _pictures_alone(cls, value: object) -> object:
        if isinstance(value, dict) and value.get("pictures") and "prompt" not in value:
            return {**value, "prompt": _LEFT_OUT}
        return value

    def named(self, name: str) -> WatchSettings:
        """With its pictures among its prompts, as the prompts of the watch of this name."""
        if not self.pictures and not any(isinstance(each, PicturePrompt) for each in self.not_):
            return self
        words = texts_among(self.prompt)
        own = (PicturePrompt(name, self.pictures),) if self.pictures else ()
        rivals = tuple(
            PicturePrompt(f"{name}:not{number}", each.pictures)
            if isinstance(each, PicturePrompt)
            else each
            for number, each in enumerate(self.not_, 1)
        )
        return self.model_copy(update={"prompt": (*words, *own), "not_": rivals})

    @property
    def words(self) -> tuple[str, ...]:
        """Its prompts that are words."""
        return texts_among(self.prompt)

    @field_validator("not_")
    @classmethod
    def _no_own_prompt(cls, rivals: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        own = {folded(prompt) for prompt in info.data.get("prompt", ())}
        if any(folded(rival) in own for rival in rivals):
            raise Wrong(
                "names a prompt of the watch itself, which can't beat itself; leave that out "
                "(upper case and spaces make no difference)",
                subject=False,
            )
        return rivals

    @field_validator("max_area")
    @classmethod
    def _at_least_min_area(cls, max_area: float, info: ValidationInfo) -> float:
        if max_area < info.data.get("min_area", 0.0):
            raise Wrong("is less than min_area; write that much or more")
        return max_area

    @property
    def prompts_by_key(self) -> dict[str, tuple[str, ...]]:
        """All its prompts that are words, below the key where they stand."""
        return {
            "prompt": self.words,
            "with": self.with_,
            "without": self.without,
            "not": texts_among(self.not_),
        }

    @property
    def words_by_key(self) -> dict[str, tuple[str, ...]]:
        """The same, with the words of its second look, which the detector is not searched for."""
        against = () if self.look is None else self.look.against
        return {**self.prompts_by_key, "second_look.against": against}

    @property
    def look(self) -> SecondLookSettings | None:
        """How to look again; None where it is off."""
        if isinstance(self.second_look, SecondLookSettings):
            return self.second_look if self.second_look.mode != "off" else None
        return SecondLookSettings(mode=self.second_look) if self.second_look != "off" else None

    @property
    def companions(self) -> tuple[str, ...]:
        """The prompts of `with` and `without`."""
        return (*self.with_, *self.without)
