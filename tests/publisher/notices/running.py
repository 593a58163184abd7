"""Notices with what they tell of themselves, for tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from streamwatch.config import NotifySettings, OutboxSettings
from streamwatch.publisher.notices.notices import Notices
from streamwatch.publisher.notices.sending import Send, send
from streamwatch.publisher.notices.wording import Names
from tests.publisher.events import new_event

NAMES = Names({"porch": "Front porch"}, {"car": None})
LIMITS = OutboxSettings()
WAIT_SECONDS = 0.02
"""After the first failure, doubled with each."""


@dataclass
class Said:
    """What was told of the services, and of notices that are lost."""

    problems: list[str | None] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)


def notify(*urls: str, **keys: Any) -> tuple[NotifySettings, ...]:
    template = keys.pop("template", "{id}")
    return tuple(
        NotifySettings.model_validate({"url": url, "template": template, **keys}) for url in urls
    )


@contextmanager
def running(
    file: Path | None,
    settings: Sequence[NotifySettings],
    said: Said | None = None,
    *,
    max_size: int = 256_000_000,
    send: Send = send,
    stop_seconds: float = 10.0,
) -> Iterator[Notices]:
    said = said or Said()
    notices = Notices(
        file,
        settings,
        NAMES,
        OutboxSettings.model_construct(max_size=max_size, max_age=timedelta(days=7)),
        tell=lambda _, sentence: said.problems.append(sentence),
        complain=said.losses.append,
        send=send,
        wait_seconds=WAIT_SECONDS,
    )
    try:
        yield notices
    finally:
        notices.stop(stop_seconds)


def tell(notices: Notices, *ids: str, picture: bytes | None = None) -> None:
    for each in ids:
        notices.take(new_event(id=each), picture)
