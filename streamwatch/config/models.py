"""The settings of each stage, as frozen models: the configuration file's shape.

The docstring of a key is its description in the JSON Schema, which editors show. A key whose
behaviour does not exist yet is annotated `not_supported_yet` and accepts only its default.

What is checked here concerns one value, or two of the same section; `references.py` checks what
cameras and watches say of each other, so a `Config` made in code is not checked for that.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from streamwatch.catalogue import ENCODERS, FOLDERS, MODELS, RECOMMENDED
from streamwatch.config.addresses import (
    CameraKind,
    CameraUrl,
    Host,
    TopicPrefix,
    bracketed,
    camera_kind,
    holds_credentials,
)
from streamwatch.config.kinds import (
    Duration,
    FilePath,
    LastingDuration,
    Line,
    Name,
    Names,
    Number,
    OneOf,
    Prompts,
    Secret,
    Size,
    Switch,
    Times,
    absolute,
    folder_of,
    not_supported_yet,
    or_empty,
)
from streamwatch.config.phrases import folded
from streamwatch.config.shapes import Crop, Shape, Shapes
from streamwatch.config.wording import Wrong, did_you_mean, listing
from streamwatch.paths import state_dir
from streamwatch.tls import UnfitFile, check_certificates, client_context

PLAIN_PORT, TLS_PORT = 1883, 8883
"""Registered with IANA as mqtt and secure-mqtt."""
_LATER_DEVICES = ("mps", "xpu", "npu", "rocm", "intel")

_Credential = TypeVar("_Credential", str | None, SecretStr | None)


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_section(cls, value: object) -> object:
        return or_empty(value)


def _switch_or_settings(value: object) -> str:
    return "(settings)" if isinstance(value, (dict, BaseModel)) else "(switch)"


# --- mqtt ----------------------------------------------------------------------------------------


class TlsSettings(Settings):
    # The files are read as soon as the settings are made, so that a wrong one has a place.
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
            _fit(partial(check_certificates, path))
        return path

    @field_validator("key")
    @classmethod
    def _belongs(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if key is None or "certificate" not in info.data:  # which was wrong in itself
            return key
        certificate = info.data["certificate"]
        if certificate is None:
            raise Wrong("goes with a certificate; write certificate: FILE too")
        _fit(partial(client_context, certificate=certificate, key=key))
        return key

    @model_validator(mode="after")
    def _has_a_key(self) -> Self:
        if self.certificate is not None and self.key is None:
            try:
                client_context(certificate=self.certificate)
            except UnfitFile:
                raise Wrong(
                    "the certificate needs its key; write key: FILE too", subject=False
                ) from None
        return self


def _fit(read: Callable[[], object]) -> None:
    try:
        read()
    except UnfitFile as unfit:
        raise Wrong(unfit.predicate) from None


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
        Discriminator(_switch_or_settings),
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
        Discriminator(_switch_or_settings),
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
        """The files to speak TLS with, None where it is not spoken."""
        if isinstance(self.tls, TlsSettings):
            return self.tls
        return TlsSettings() if self.tls else None

    @property
    def discovery_prefix(self) -> str | None:
        """Where Home Assistant looks for devices, None where it is told of none."""
        return _discovery_prefix(self.homeassistant)

    @field_validator("tls")
    @classmethod
    def _no_tls_inside(cls, tls: bool | TlsSettings, info: ValidationInfo) -> bool | TlsSettings:
        if tls and info.data.get("embedded"):
            raise Wrong(
                "the embedded broker is reached from this machine only, and without TLS; leave "
                "it out",
                subject=False,
            )
        return tls

    @field_validator("homeassistant")
    @classmethod
    def _apart(
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
    def _any_port_only_embedded(cls, port: int, info: ValidationInfo) -> int:
        if port == 0 and not info.data.get("embedded", True):
            raise Wrong("means any free port, and goes only with embedded: true; write 1 to 65535")
        return port


# --- detector ------------------------------------------------------------------------------------


_A_MODEL = f"write toybox, {RECOMMENDED} or another of `streamwatch models`, or a .pt file"
_AN_ENCODER = f"write {listing(ENCODERS)}, or a folder, as ./my-clip"


def _model(value: str, info: ValidationInfo) -> str:
    """A name as it is, a path as an absolute one."""
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
    backend: Annotated[
        Literal["auto", "torch", "onnx", "openvino"], OneOf(), not_supported_yet("auto", "torch")
    ] = "auto"
    """`auto` or `torch`; `onnx` and `openvino` are not supported yet."""
    image_size: Annotated[int, Number(at_least=32, at_most=2048)] | None = None
    """Longer side of what the model sees, in pixels; where left out 640, with toybox 416."""
    confidence: Annotated[float, Number(above=0, at_most=1)] = 0.3
    """How sure it must be; the default of the watches."""
    template: Annotated[Line, AfterValidator(_template)] = "{}"
    """Text around each prompt when it is encoded, as `a photo of {}`; alerts never show it."""
    distractors: Switch = True
    """Let built-in prompts, which are never reported, compete with those of the watches."""

    @field_validator("text_encoder")
    @classmethod
    def _encoder_of_the_model(cls, encoder: str | None, info: ValidationInfo) -> str | None:
        model = info.data.get("model")  # absent where it is wrong in itself
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
            _goes_with(encoder, model)
        return encoder


def _goes_with(encoder: str, model: str) -> None:
    """That the named `model` was trained with `encoder`, or with one that a folder may hold."""
    trained_with = MODELS[model].encoder
    may_lie_in_a_folder = ENCODERS[trained_with].kind in FOLDERS.values()
    if encoder != trained_with and (encoder in ENCODERS or not may_lie_in_a_folder):
        raise Wrong(
            f"does not go with {model}, which was trained with {trained_with}; leave it out"
        )


# --- cameras -------------------------------------------------------------------------------------


class CameraSettings(Settings):
    url: CameraUrl
    """`rtsp(s)://…`, `http(s)://…`, a file, `/dev/video0` or its number, or `bundled:street`."""
    name: Line | None = None
    """What people call it; the key where left out."""
    enabled: Switch = True
    """Whether it is read at all."""
    username: Line | None = None
    """Name to log in with, in place of one in the URL."""
    password: Secret | None = None
    """Password to log in with, as it is: in the URL, some of its characters would need a %."""
    transport: Annotated[Literal["tcp", "udp"], OneOf()] = "tcp"
    """How RTSP travels: `tcp`, or `udp` for cameras that know no other way."""
    fps: Annotated[float, Number(above=0, at_most=120)] = 5.0
    """Frames analysed a second, at most."""
    loop: Switch = False
    """Files: start again at the end."""
    pace: Switch = True
    """Files: play in real time; `false` goes as fast as the detector and drops no due frame."""
    motion: Annotated[Literal["auto", "off"], OneOf(), not_supported_yet("auto")] = "auto"
    """Skip frames in which nothing moves: `auto`; `off` is not supported yet."""
    crop: Crop | None = None
    """`[x1, y1, x2, y2]` in shares of width and height: the part that is looked at."""
    mask: Shapes = ()
    """Polygons blacked out before anything sees them, for privacy."""
    ignore: Shapes = ()
    """Polygons in which nothing counts."""
    zones: Annotated[dict[Name, Shape], BeforeValidator(or_empty)] = {}
    """Named polygons, `steps: [[x, y], …]`, in shares of width and height."""

    @property
    def kind(self) -> CameraKind:
        return camera_kind(self.url)

    @field_validator("username", "password")
    @classmethod
    def _in_one_place(cls, value: _Credential, info: ValidationInfo) -> _Credential:
        url = info.data.get("url")
        if value is None or url is None:
            return value
        if camera_kind(url) not in ("rtsp", "http"):
            raise Wrong("only rtsp://… and http://… have a login; leave it out", subject=False)
        if holds_credentials(url):
            raise Wrong(
                "the url names a user too; keep to the one place or the other", subject=False
            )
        return value

    @field_validator("password")
    @classmethod
    def _of_somebody(cls, password: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if password is not None and info.data.get("username", "") is None:
            raise Wrong("a password goes with a username; write that too", subject=False)
        return password

    @field_validator("transport")
    @classmethod
    def _can_travel(cls, transport: str, info: ValidationInfo) -> str:
        url = info.data.get("url")
        if transport == "udp" and url is not None:
            if url.startswith("rtsps://"):
                raise Wrong("goes with rtsp:// only, since rtsps:// is TLS over TCP; leave it out")
            if camera_kind(url) != "rtsp":
                raise Wrong("goes with rtsp:// only; leave it out")
        return transport


# --- watches -------------------------------------------------------------------------------------


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
    confidence: Annotated[float, Number(above=0, at_most=1)] | None = None
    """How sure it must be; `detector.confidence` where left out."""
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
    snapshot: Switch = True
    """Publish and keep a picture of each visit."""

    @field_validator("not_")
    @classmethod
    def _something_else(cls, rivals: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
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
    def _room_between(cls, max_area: float, info: ValidationInfo) -> float:
        if max_area < info.data.get("min_area", 0.0):
            raise Wrong("is less than min_area; write that much or more")
        return max_area

    @property
    def companions(self) -> tuple[str, ...]:
        """The prompts that are looked for only to see what is near."""
        return (*self.with_, *self.without)


# --- the rest ------------------------------------------------------------------------------------


class SnapshotSettings(Settings):
    path: FilePath | None = None
    """Folder of the pictures; in the state folder where left out."""
    keep: LastingDuration = timedelta(days=7)
    """How long pictures stay."""
    max_size: Size = 1_000_000_000
    """Room for all of them; the oldest go first."""
    quality: Annotated[int, Number(at_least=1, at_most=100)] = 85
    """Quality of the JPEG pictures."""


def snapshot_folder(settings: SnapshotSettings) -> Path:
    """Where the pictures lie. Not created."""
    return settings.path or state_dir() / "snapshots"


class HttpSettings(Settings):
    host: Host = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Number(at_least=1, at_most=65535)] = 8080
    """Port to listen on."""
    token: Secret | None = None
    """What must be presented for the metrics, as `Authorization: Bearer …`."""


class LogSettings(Settings):
    level: Annotated[Literal["debug", "info", "warning", "error"], OneOf()] = "info"
    """`debug`, `info`, `warning` or `error`."""
    format: Annotated[Literal["auto", "text", "json"], OneOf()] = "auto"
    """`auto`, `text` or `json`."""


def _time_zone(value: str) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise Wrong("is not a time zone; write one such as Europe/Berlin") from None
    return value


def _some(cameras: dict[str, CameraSettings]) -> dict[str, CameraSettings]:
    if not cameras:
        raise Wrong("at least one camera is needed, as `porch: {url: …}`", subject=False)
    return cameras


class Config(Settings):
    """A whole file. Made by `load`; stages get their own section of it, never all of it."""

    mqtt: MqttSettings = MqttSettings()
    """The broker that alerts are published to."""
    detector: DetectorSettings
    """What looks at the pictures."""
    cameras: Annotated[
        dict[Name, CameraSettings],
        BeforeValidator(or_empty),
        AfterValidator(_some),
    ]
    """The cameras, by name."""
    watches: Annotated[dict[Name, WatchSettings], BeforeValidator(or_empty)] = {}
    """What to watch for, by name."""
    snapshots: SnapshotSettings = SnapshotSettings()
    """Pictures kept on disk."""
    http: HttpSettings | None = None
    """Health and metrics over HTTP: `{host, port, token}`; off where left out."""
    timezone: Annotated[Line, AfterValidator(_time_zone)] | None = None
    """Time zone of `active`, such as `Europe/Berlin`; the system's where left out."""
    log: LogSettings = LogSettings()
    """What the daemon says about itself."""

    @property
    def zone(self) -> zoneinfo.ZoneInfo | None:
        """The time zone of `active`; None for the system's."""
        return zoneinfo.ZoneInfo(self.timezone) if self.timezone else None

    def watches_of(self, camera: str) -> dict[str, WatchSettings]:
        """The enabled watches that apply to `camera`, enabled itself or not, by name."""
        return {
            name: watch
            for name, watch in self.watches.items()
            if watch.enabled and camera in self.cameras_of(name)
        }

    def cameras_of(self, watch: str) -> tuple[str, ...]:
        """The cameras a watch applies to: those it names that have one of its zones at least."""
        settings = self.watches[watch]
        return tuple(
            name
            for name, camera in self.cameras.items()
            if (settings.cameras is None or name in settings.cameras)
            and (settings.zones is None or not camera.zones.keys().isdisjoint(settings.zones))
        )
