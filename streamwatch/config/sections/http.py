"""The section `http`: health, metrics and the page."""

from __future__ import annotations

import re
import socket
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from streamwatch.config.sections.base import Settings
from streamwatch.config.values.addresses import Host, bracketed
from streamwatch.config.values.numbers import Number, Switch
from streamwatch.config.values.texts import Line, Secret, as_list
from streamwatch.config.wording import Wrong

_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


def _host_name(value: str) -> str:
    if "://" in value or "/" in value:
        raise Wrong("is a URL; write the name alone, such as cams.example.org")
    if re.fullmatch(r".*:[0-9]+", value):
        raise Wrong("holds a port; write the name alone, such as cams.example.org")
    if not _HOST_NAME.fullmatch(value):
        raise Wrong("is not a host; write a name such as cams.example.org")
    return value.lower()


def _prefix(value: object) -> str:
    if value is None or value in ("", "/"):
        return ""
    if not isinstance(value, str):
        raise Wrong("is not a path; write one such as /streamwatch")
    path = value.rstrip("/")
    if not path.startswith("/") or not _PATH.fullmatch(path) or ".." in path:
        raise Wrong("is not a path; write one such as /streamwatch")
    return path


def _origin(value: str) -> str:
    """`https://ha.local:8123`, as a Content-Security-Policy takes it."""
    parts = urlsplit(value)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    rest = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in ("http", "https") or not host or rest:
        raise Wrong("is not an origin; write scheme, host and port, as http://ha.local:8123")
    if not (":" in host or _HOST_NAME.fullmatch(host)):
        raise Wrong("is not an origin; write scheme, host and port, as http://ha.local:8123")
    return f"{parts.scheme}://{bracketed(host)}" + (f":{port}" if port else "")


def _address(value: str) -> str:
    """`https://cams.example.org/streamwatch`, without a slash at its end."""
    parts = urlsplit(value)
    try:
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        host = None
    if parts.scheme not in ("http", "https") or not host:
        raise Wrong("is not an address; write one such as https://cams.example.org/streamwatch")
    if (
        parts.query
        or parts.fragment
        or parts.username
        or not _PATH.fullmatch(parts.path.rstrip("/"))
    ):
        raise Wrong("holds more than host and path; write https://cams.example.org/streamwatch")
    return value.rstrip("/")


_TEXT = {"type": "string", "minLength": 1, "maxLength": 200}
_TEXTS = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}], "default": []}


def _none_or_list(value: object) -> object:
    return () if value is None else as_list(value)


class HttpSettings(Settings):
    host: Host = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Number(at_least=1, at_most=65535)] = 8080
    """Port to listen on."""
    token: Secret | None = None
    """What must be presented for the page, and as `Authorization: Bearer …` for the metrics."""
    page: Switch | None = None
    """Whether there is a page to look at; where left out, if there is a `token`."""
    edits: Switch = True
    """Whether the page may change watches and zones, and teach; else it only shows."""
    hosts: Annotated[
        tuple[Annotated[Line, AfterValidator(_host_name)], ...],
        BeforeValidator(_none_or_list),
        WithJsonSchema(_TEXTS),
    ] = ()
    """Names by which the page is reached, such as `cams.example.org`; addresses always work."""
    root_path: Annotated[str, BeforeValidator(_prefix), WithJsonSchema({"type": "string"})] = ""
    """Path under which a reverse proxy serves the page, such as `/streamwatch`."""
    url: Annotated[Line, AfterValidator(_address)] | None = None
    """Where people open the page, for links in alerts; where left out, by where it listens."""
    frame_ancestors: Annotated[
        tuple[Annotated[Line, AfterValidator(_origin)], ...],
        BeforeValidator(_none_or_list),
        WithJsonSchema(_TEXTS),
    ] = ()
    """Pages that may show this one in a frame, such as `http://homeassistant.local:8123`."""

    @field_validator("token")
    @classmethod
    def _not_empty(cls, token: Secret | None) -> Secret | None:
        if token is not None and not token.get_secret_value():
            raise Wrong("the value is empty; write a long secret, or leave it out", subject=False)
        return token

    @field_validator("page")
    @classmethod
    def _only_with_token(cls, page: bool | None, info: ValidationInfo) -> bool | None:
        if page and info.data.get("token", "") is None:
            raise Wrong("the page needs a token; write http.token too", subject=False)
        return page

    @property
    def address(self) -> str:
        """Where the page is opened; without a `url`, as far as that can be known here."""
        if self.url is not None:
            return self.url
        everywhere = self.host in ("0.0.0.0", "::")
        names = (*self.hosts, socket.gethostname()) if everywhere else (self.host,)
        return f"http://{bracketed(names[0])}:{self.port}{self.root_path}"

    @property
    def has_page(self) -> bool:
        return self.token is not None and self.page is not False
