"""Sends one notice through Apprise, and tells in plain words why that failed."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import unquote

from pydantic import SecretStr

from streamwatch.masking import MASK, mask_secrets_in
from streamwatch.publisher.notices.queue import Notice

ANSWER_SECONDS = 10.0
"""How long a service may take to answer, unless its URL says otherwise (`rto=`)."""
_STATUS = re.compile(r"error=([1-5]\d\d)")
"""In what Apprise logs of an answer. ntfy's own numbers have two digits more behind them."""
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a notice was not taken; `for_good` if another try will fare no better."""

    reason: str
    for_good: bool = False


Send = Callable[[SecretStr, Notice], Failure | None]
"""Sends a notice to a URL, and returns why it failed; None if the service took it."""


def send(url: SecretStr, notice: Notice) -> Failure | None:
    """See `Send`. Blocks, for some tens of seconds at most."""
    # Imported here since only a daemon with notices needs it.
    from apprise import Apprise, AppriseAsset, AppriseAttachment, NotifyFormat
    from apprise.attachment.memory import AttachMemory

    logging.getLogger("apprise").propagate = False  # its lines hold the URL
    asset = AppriseAsset(
        async_mode=False,
        service_timeout=0,
        app_id="streamwatch",
        app_desc="streamwatch",
        app_url="",
        image_url_mask="",
        image_url_logo="",
    )
    service = Apprise.instantiate(url.get_secret_value().strip(), asset=asset)
    if service is None:
        return Failure("its URL is not understood")
    if service.socket_read_timeout == type(service).socket_read_timeout:
        service.socket_read_timeout = ANSWER_SECONDS
    door = Apprise(asset=asset)
    door.add(service)
    attached = None
    if notice.picture is not None:
        attached = AppriseAttachment()
        attached.add(
            AttachMemory(  # type: ignore[no-untyped-call]
                content=notice.picture, name="snapshot.jpg", mimetype="image/jpeg"
            )
        )
    title, body = title_and_body(notice.text, mail=hasattr(service, "default_empty_subject"))
    result = door.notify(body=body, title=title, attach=attached, body_format=NotifyFormat.TEXT)
    if result:
        return None
    said = [
        entry.message
        for outcome in result.results
        for attempt in outcome.attempts
        for entry in attempt.logs
    ]
    return failure_of(said, url)


def title_and_body(text: str, *, mail: bool) -> tuple[str, str]:
    """The first of several lines is the title; mail always has one."""
    title, _, body = text.strip().partition("\n")
    if body.strip():
        return title, body
    return (title if mail else ""), title


def failure_of(said: list[str], url: SecretStr) -> Failure:
    """What Apprise has logged, as a failure."""
    for sentence in said:
        if found := _STATUS.search(sentence):
            status = int(found[1])
            refused = 400 <= status < 500 and status not in _PASSING
            return Failure(f"it answers {status}{_phrase(status)}", refused)
    return Failure(without_secrets(said[-1], url) if said else "it gives no reason")


def without_secrets(text: str, url: SecretStr) -> str:
    """`text` on one line, with every part of the URL masked, host and topic included."""
    _, _, rest = url.get_secret_value().partition("://")
    parts = {part for part in re.split(r"[/:@?&=#,\s]", rest) if len(part) > 2}
    for part in sorted(parts | {unquote(part) for part in parts}, key=len, reverse=True):
        text = text.replace(part, MASK)
    return " ".join(mask_secrets_in(text).split())[:200]


def _phrase(status: int) -> str:
    try:
        return f" ({HTTPStatus(status).phrase})"
    except ValueError:
        return ""
