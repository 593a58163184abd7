"""The section `notify`: notices through Apprise, beside MQTT."""

from __future__ import annotations

import logging
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, SecretStr, WithJsonSchema

from streamwatch.config.sections.base import Settings
from streamwatch.config.values.numbers import OneOf
from streamwatch.config.values.templates import Template
from streamwatch.config.values.texts import Names, Secret, as_list
from streamwatch.config.wording import Wrong, did_you_mean

_Step = Annotated[Literal["new", "update", "end"], OneOf()]


def scheme_of(url: SecretStr) -> str:
    """What stands before `://`, the only part of the URL that may be shown."""
    return url.get_secret_value().partition("://")[0].lower()


def _apprise_url(url: SecretStr) -> SecretStr:
    # Imported here since only a configuration with notices needs it.
    from apprise import Apprise
    from apprise.manager_plugins import NotificationManager

    # Its own lines hold the URL.
    logging.getLogger("apprise").propagate = False
    text = url.get_secret_value()
    if any(char.isspace() for char in text.strip()) or "://" not in text:
        raise Wrong("the value is not a URL of Apprise; write such as ntfy://TOPIC", subject=False)
    scheme, known = scheme_of(url), NotificationManager().schemas()  # type: ignore[no-untyped-call]
    if scheme not in known:
        hint = did_you_mean(scheme, known) or "; see https://appriseit.com/services"
        raise Wrong(f"the value begins with no service that Apprise knows{hint}", subject=False)
    try:
        made = Apprise.instantiate(text.strip(), suppress_exceptions=True)
    except Exception:  # what a plugin says may hold the secret
        made = None
    if made is None:
        raise Wrong(
            f"the value is not a whole {scheme}:// URL; see https://appriseit.com/services",
            subject=False,
        )
    return url


def _at_least_one(steps: tuple[str, ...]) -> tuple[str, ...]:
    if not steps:
        raise Wrong("the list is empty; write new, update or end", subject=False)
    return tuple(dict.fromkeys(steps))


class NotifySettings(Settings):
    url: Annotated[Secret, AfterValidator(_apprise_url)]
    """Where to, as a URL of Apprise, such as `ntfy://TOPIC`; it is never shown."""
    watches: Names | None = None
    """Watches whose alerts are told; all where left out."""
    cameras: Names | None = None
    """Cameras whose alerts are told; all where left out."""
    on: Annotated[
        tuple[_Step, ...],
        BeforeValidator(as_list),
        AfterValidator(_at_least_one),
        WithJsonSchema(
            {
                "type": "array",
                "items": {"type": "string", "enum": ["new", "update", "end"]},
                "minItems": 1,
            }
        ),
    ] = ("new",)
    """Which alerts are told: `new`, `update`, `end`."""
    template: Template | None = None
    """The text, with `{camera}`, `{watch}` and others; a sentence where left out."""

    @property
    def scheme(self) -> str:
        """The service, such as `ntfy`: all of the URL that may be shown."""
        return scheme_of(self.url)
