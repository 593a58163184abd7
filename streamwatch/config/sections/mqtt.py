"""The section `mqtt`: the broker, the connection, and what is published."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from streamwatch.config.sections.base import Settings, switch_or_settings
from streamwatch.config.values.addresses import (
    Host,
    TopicPrefix,
    bracketed,
)
from streamwatch.config.values.numbers import Number, Switch
from streamwatch.config.values.paths import FilePath
from streamwatch.config.values.texts import Line, Secret
from streamwatch.config.values.units import LastingDuration, Size
from streamwatch.config.wording import Wrong
from streamwatch.tls import BadFile, check_certificates, client_context

PLAIN_PORT, TLS_PORT = 1883, 8883
"""IANA's ports for mqtt and secure-mqtt."""


class TlsSettings(Settings):
    # The files are read on validation, so that an error in one has a line and column.
    ca: FilePath | None = None
    """File with the certificates to trust, in PEM; the system's where left out."""
    certificate: FilePath | None = None
    """File with the client's own certificate, in PEM, for a broker that asks for one."""
    key: FilePath | None = None
    """File with the key of that certificate, in PEM, where it is not in the same file."""

    @field_validator("ca", "certificate")
    @classmethod
    def _holds_certificates(cls, path: Path | None) -> Path | None:
        if path is not None:
            _check_file(partial(check_certificates, path))
        return path

    @field_validator("key")
    @classmethod
    def _fits_certificate(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if key is None or "certificate" not in info.data:  # absent if invalid
            return key
        certificate = info.data["certificate"]
        if certificate is None:
            raise Wrong("goes with a certificate; write certificate: FILE too")
        _check_file(partial(client_context, certificate=certificate, key=key))
        return key

    @model_validator(mode="after")
    def _has_a_key(self) -> Self:
        if self.certificate is not None and self.key is None:
            try:
                client_context(certificate=self.certificate)
            except BadFile:
                raise Wrong(
                    "the certificate needs its key; write key: FILE too", subject=False
                ) from None
        return self


def _check_file(read: Callable[[], object]) -> None:
    """Call `read`, with its BadFile turned into Wrong."""
    try:
        read()
    except BadFile as error:
        raise Wrong(error.predicate) from None


class HomeAssistantSettings(Settings):
    discovery_prefix: TopicPrefix = "homeassistant"
    """Topic prefix under which Home Assistant looks for devices."""


def _discovery_prefix(homeassistant: bool | HomeAssistantSettings) -> str | None:
    if isinstance(homeassistant, HomeAssistantSettings):
        return homeassistant.discovery_prefix
    return HomeAssistantSettings().discovery_prefix if homeassistant else None


class OutboxSettings(Settings):
    max_size: Size = 256_000_000
    """Room for alerts that wait for the broker; updates go first, then the oldest visits."""
    max_age: LastingDuration = timedelta(days=7)
    """How long alerts wait for the broker."""


class MqttSettings(Settings):
    host: Host = "localhost"
    """Name or address of the broker."""
    embedded: Switch = False
    """Run a broker inside the daemon, on `port` of the loopback, for trying things out."""
    tls: Annotated[
        Annotated[Switch, Tag("(switch)")] | Annotated[TlsSettings, Tag("(settings)")],
        Discriminator(switch_or_settings),
    ] = False
    """`true`, or `{ca, certificate, key}`: encrypt, and verify the broker and its name."""
    port: Annotated[int, Number(at_least=0, at_most=65535)] = Field(
        default_factory=lambda before: TLS_PORT if before.get("tls") else PLAIN_PORT
    )
    """Port of the broker; 1883, or 8883 with `tls`. With `embedded: true`, 0 takes any free one."""
    topic_prefix: TopicPrefix = "streamwatch"
    """First part of every topic."""
    client_id: Line | None = None
    """Made from the host name and the prefix where left out; must differ between daemons."""
    username: Line | None = None
    """Name to log in with."""
    password: Secret | None = None
    """Password to log in with; better as `${NAME}`, `${file:PATH}` or `${credential:NAME}`."""
    commands: Switch = False
    """Accept commands at `<prefix>/command/#`; who may send them is for the broker to say."""
    homeassistant: Annotated[
        Annotated[Switch, Tag("(switch)")] | Annotated[HomeAssistantSettings, Tag("(settings)")],
        Discriminator(switch_or_settings),
    ] = False
    """`true`, or `{discovery_prefix}`: announce cameras and watches to Home Assistant."""
    outbox: OutboxSettings = OutboxSettings()
    """Alerts that wait for the broker, kept on the disk."""

    @property
    def address(self) -> str:
        """Host and port as people write them: `broker.local:1883`, `[::1]:1883`."""
        return f"{bracketed(self.host)}:{self.port}"

    @property
    def tls_files(self) -> TlsSettings | None:
        """The certificate files for TLS; None without TLS."""
        if isinstance(self.tls, TlsSettings):
            return self.tls
        return TlsSettings() if self.tls else None

    @property
    def discovery_prefix(self) -> str | None:
        """The topic prefix for Home Assistant's discovery; None if that is off."""
        return _discovery_prefix(self.homeassistant)

    @field_validator("tls")
    @classmethod
    def _not_embedded(cls, tls: bool | TlsSettings, info: ValidationInfo) -> bool | TlsSettings:
        if tls and info.data.get("embedded"):
            raise Wrong(
                "the embedded broker is reached from this machine only, and without TLS; leave "
                "it out",
                subject=False,
            )
        return tls

    @field_validator("homeassistant")
    @classmethod
    def _prefixes_differ(
        cls, homeassistant: bool | HomeAssistantSettings, info: ValidationInfo
    ) -> bool | HomeAssistantSettings:
        prefix = _discovery_prefix(homeassistant)
        if prefix is not None and prefix == info.data.get("topic_prefix"):
            raise Wrong(
                f"Home Assistant and streamwatch would both publish to {prefix}/status; write"
                " another topic_prefix",
                subject=False,
            )
        return homeassistant

    @field_validator("port")
    @classmethod
    def _port_0_only_embedded(cls, port: int, info: ValidationInfo) -> int:
        if port == 0 and not info.data.get("embedded", True):
            raise Wrong("means any free port, and goes only with embedded: true; write 1 to 65535")
        return port
