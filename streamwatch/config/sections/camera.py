"""The section `cameras`: one camera."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from streamwatch.config.sections.base import Settings, or_empty
from streamwatch.config.values.addresses import (
    CameraKind,
    CameraUrl,
    camera_kind,
    holds_credentials,
)
from streamwatch.config.values.numbers import Number, OneOf, Switch
from streamwatch.config.values.shapes import Crop, Shape, Shapes
from streamwatch.config.values.texts import Line, Name, Secret
from streamwatch.config.wording import Wrong

_Credential = TypeVar("_Credential", str | None, SecretStr | None)


class CameraSettings(Settings):
    url: CameraUrl = Field(repr=False)
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
    """Recordings: start again at the end."""
    pace: Switch = True
    """Files: play in real time; `false` goes as fast as the detector and drops no due frame."""
    motion: Annotated[Literal["auto", "off"], OneOf()] = "auto"
    """The motion gate: `auto` analyses no frames while nothing moves; `off` analyses all."""
    rotate: Annotated[Literal[0, 90, 180, 270], OneOf()] | None = None
    """Degrees to turn the picture clockwise, in place of what the stream itself says."""
    crop: Crop | None = None
    """`[x1, y1, x2, y2]` in shares of width and height: the part that is looked at."""
    mask: Shapes = ()
    """Polygons blacked out before anything sees them, for privacy."""
    ignore: Shapes = ()
    """Polygons in which nothing counts."""
    zones: Annotated[dict[Name, Shape], BeforeValidator(or_empty)] = Field({})
    """Named polygons, `steps: [[x, y], …]`, in shares of width and height."""

    @property
    def kind(self) -> CameraKind:
        return camera_kind(self.url)

    @field_validator("username", "password")
    @classmethod
    def _not_in_url_too(cls, value: _Credential, info: ValidationInfo) -> _Credential:
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
    def _with_username(cls, password: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if password is not None and info.data.get("username", "") is None:
            raise Wrong("a password goes with a username; write that too", subject=False)
        return password

    @field_validator("transport")
    @classmethod
    def _udp_only_with_rtsp(cls, transport: str, info: ValidationInfo) -> str:
        url = info.data.get("url")
        if transport == "udp" and url is not None:
            if url.startswith("rtsps://"):
                raise Wrong("goes with rtsp:// only, since rtsps:// is TLS over TCP; leave it out")
            if camera_kind(url) != "rtsp":
                raise Wrong("goes with rtsp:// only; leave it out")
        return transport
