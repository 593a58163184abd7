"""The section `watches`: one watch."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import (
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
)

from streamwatch.config.sections.base import Settings, switch_or_settings
from streamwatch.config.sections.second_look import Mode, SecondLookSettings
from streamwatch.config.values.hours import Times
from streamwatch.config.values.numbers import Number, OneOf, Switch
from streamwatch.config.values.phrases import folded
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


class WatchSettings(Settings):
    prompt: Prompts
    """What to find, in words; or a list, any of which will do."""
    name: Line | None = None
    """What people call it; the key where left out."""
    enabled: Switch = True
    """Whether it is watched for at all."""
    not_: Prompts = Field((), alias="not")
    """Prompts it must beat; never reported. What looks more like one of them does not count."""
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
        """All its prompts, below the key where they stand."""
        return {
            "prompt": self.prompt,
            "with": self.with_,
            "without": self.without,
            "not": self.not_,
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
