"""The key `second_look` of a watch."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from streamwatch.config.sections.base import Settings
from streamwatch.config.values.addresses import ServerUrl, on_own_network
from streamwatch.config.values.numbers import Number, OneOf, Switch
from streamwatch.config.values.texts import Line, Prompts, Secret
from streamwatch.config.wording import Wrong, listing

Mode = Literal["off", "note", "require"]
_OF_A_QUESTION = ("remote", "url", "model", "expect", "token")
_OF_WORDS = ("against", "at_least")


class SecondLookSettings(Settings):
    mode: Annotated[Mode, OneOf()] = "require"
    """`require`: alert only if it confirms; `note`: alert at once, and tell what it says; `off`."""
    looks: Annotated[int, Number(at_least=1, at_most=20)] = 3
    """How often it looks at one visit, at most, each time at a better frame."""
    on_failure: Annotated[Literal["alert", "hold"], OneOf()] = "alert"
    """Where it can't look: `alert` without, or `hold` the alert and try again until it leaves."""
    ask: Line | None = None
    """A question that a language model answers with yes or no, in place of comparing words."""
    against: Prompts = ()
    """Words that it must look less like, beside `not` and common things; never reported."""
    at_least: Annotated[float, Number(above=0, at_most=1)] = 0.5
    """The share that the watch's prompts must have among all words, to be confirmed."""
    remote: Switch = False
    """Allow a `url` outside of the own network, to which pictures are sent then."""
    url: ServerUrl | None = Field(None, repr=False)
    """Where the language model is: an OpenAI-compatible server, as `http://127.0.0.1:11434/v1`."""
    model: Line | None = None
    """The language model's name on that server."""
    expect: Annotated[Literal["yes", "no"], OneOf()] = "yes"
    """The answer that confirms."""
    token: Secret | None = None
    """Token of the server, if it asks for one; better as `${NAME}` or `${credential:NAME}`."""

    @field_validator(*_OF_WORDS)
    @classmethod
    def _without_a_question(cls, value: Any, info: ValidationInfo) -> Any:
        if info.data.get("ask") is not None:
            raise Wrong(
                "is for comparing words, and ask is for a question; leave one out", subject=False
            )
        return value

    @field_validator(*_OF_A_QUESTION)
    @classmethod
    def _with_a_question(cls, value: Any, info: ValidationInfo) -> Any:
        if info.data.get("ask", "") is None:
            raise Wrong("goes with a question to a language model; write ask: too", subject=False)
        return value

    @field_validator("url")
    @classmethod
    def _on_own_network(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is not None and not info.data.get("remote", True) and not on_own_network(url):
            raise Wrong(
                "is outside of the own network, and pictures would be sent there; write remote: "
                "true if that is meant"
            )
        return url

    @model_validator(mode="after")
    def _has_a_server(self) -> Self:
        lacks = [
            text
            for value, text in (
                (self.url, "url: http://127.0.0.1:11434/v1"),
                (self.model, "model: NAME"),
            )
            if value is None
        ]
        if self.ask is not None and lacks:
            raise Wrong(
                f"a question needs who answers it; write {listing(lacks, 'and')} too",
                subject=False,
            )
        return self

    @property
    def by_words(self) -> bool:
        """Whether it compares words, so that the text encoder must have an image tower."""
        return self.ask is None
