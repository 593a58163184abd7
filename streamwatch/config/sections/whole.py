"""The structure of the configuration file, as frozen pydantic models.

The docstring of a key is its description in the JSON Schema, which editors show.

Validators here check one value, or two of the same section. What several sections say together is
checked by `references.py` on loading, so not in a `Config` made in code.
"""

from __future__ import annotations

import zoneinfo
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from streamwatch.config.sections.base import Settings, or_empty
from streamwatch.config.sections.camera import CameraSettings
from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.config.sections.http import HttpSettings
from streamwatch.config.sections.mqtt import MqttSettings
from streamwatch.config.sections.notify import NotifySettings
from streamwatch.config.sections.watch import WatchSettings
from streamwatch.config.values.numbers import Number, OneOf, Switch
from streamwatch.config.values.paths import FilePath
from streamwatch.config.values.texts import Line, Name
from streamwatch.config.values.units import Duration, LastingDuration, Size, duration_text
from streamwatch.config.wording import Wrong
from streamwatch.paths import state_dir


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
    """The folder of the snapshots; it is not created here."""
    return settings.path or state_dir() / "snapshots"


class NearMissSettings(Settings):
    path: FilePath | None = None
    """Folder of the pictures; in the state folder where left out."""
    a_day: Annotated[int, Number(at_least=0, at_most=1000)] = 20
    """How many are kept a day, per camera and watch; 0 keeps none."""
    keep: LastingDuration = timedelta(days=3)
    """How long pictures stay."""
    max_size: Size = 200_000_000
    """Room for all of them; the oldest go first."""


def near_miss_folder(settings: NearMissSettings) -> Path:
    """The folder of the near misses; it is not created here."""
    return settings.path or state_dir() / "near-misses"


class ClipSettings(Settings):
    path: FilePath | None = None
    """Folder of the clips; in the state folder where left out."""
    keep: LastingDuration = timedelta(days=7)
    """How long clips stay."""
    max_size: Size = 5_000_000_000
    """Room for all of them; the oldest go first."""
    before: Duration = timedelta(seconds=5)
    """How much of what went before a visit is in its clip."""
    after: Duration = timedelta(seconds=5)
    """How much of what came after it."""
    longest: LastingDuration = timedelta(seconds=60)
    """A clip ends after so long, though the visit goes on."""
    memory: Size = 64_000_000
    """Room in memory for the last seconds of all cameras together."""
    unmasked: Switch = False
    """Keep video as cameras send it, also where a camera has a `mask`: its clips show all."""
    encode: Switch = False
    """Encode the video of cameras with a `mask`, or that send pictures alone."""

    @model_validator(mode="after")
    def _longer_than_its_edges(self) -> Self:
        edges = self.before + self.after
        if self.longest <= edges:
            raise Wrong(
                f"longest: {duration_text(self.longest)} leaves nothing for the visit between"
                f" before and after; write more than {duration_text(edges)}",
                subject=False,
            )
        return self


def clip_folder(settings: ClipSettings) -> Path:
    """The folder of the clips; it is not created here."""
    return settings.path or state_dir() / "clips"


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


def _notices(value: object) -> object:
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise Wrong("is written as a list; write `- url: …` below it", subject=False)
    return value


class Config(Settings):
    """A whole file. Made by `load`; stages get their own section of it, never all of it."""

    mqtt: MqttSettings = MqttSettings()
    """The broker that alerts are published to."""
    detector: DetectorSettings
    """What looks at the pictures."""
    cameras: Annotated[dict[Name, CameraSettings], BeforeValidator(or_empty)]
    """The cameras, by name; without any the daemon waits for the first."""
    watches: Annotated[dict[Name, WatchSettings], BeforeValidator(or_empty)] = Field({})
    """What to watch for, by name."""
    snapshots: SnapshotSettings = SnapshotSettings()
    """Pictures kept on disk."""
    clips: ClipSettings = ClipSettings()
    """Video of the visits to watches with `clip: true`."""
    near_misses: NearMissSettings = NearMissSettings()
    """What did not alert, and why: the best few pictures a day, kept on disk."""
    notify: Annotated[tuple[NotifySettings, ...], BeforeValidator(_notices)] = ()
    """Notices through Apprise (ntfy, Telegram, e-mail, …): a list of `{url, watches, …}`."""
    http: HttpSettings | None = None
    """Health, metrics and a page over HTTP: `{host, port, token, …}`; off where left out."""
    timezone: Annotated[Line, AfterValidator(_time_zone)] | None = None
    """Time zone of `active`, such as `Europe/Berlin`; the system's where left out."""
    log: LogSettings = LogSettings()
    """What the daemon says about itself."""

    @field_validator("watches", mode="after")
    @classmethod
    def _named(cls, watches: dict[str, WatchSettings]) -> dict[str, WatchSettings]:
        """Each knows the names of its prompts that are pictures."""
        return {name: watch.named(name) for name, watch in watches.items()}

    @property
    def zone(self) -> zoneinfo.ZoneInfo | None:
        """The time zone of `active`; None for the system's."""
        return zoneinfo.ZoneInfo(self.timezone) if self.timezone else None

    def confidence_of(self, watch: str) -> float:
        """How sure a watch must be; where it learns that, the confidence it starts from."""
        own = self.watches[watch].confidence
        if own == "auto":
            return self.detector.usual_confidence
        return self.detector.threshold if own is None else own

    def watches_of(self, camera: str) -> dict[str, WatchSettings]:
        """The enabled watches that apply to `camera` (even if that is disabled), by name."""
        return {
            name: watch
            for name, watch in self.watches.items()
            if watch.enabled
            and (watch.cameras is None or camera in watch.cameras)
            and self._has_its_zone(camera, watch)
        }

    def watches_by_camera(self, *, disabled: bool = False) -> dict[str, dict[str, WatchSettings]]:
        """The same of every camera, in time that grows with what it gives; perhaps with the
        `disabled` watches too."""
        found: dict[str, dict[str, WatchSettings]] = {camera: {} for camera in self.cameras}
        for name, watch in self.watches.items():
            if watch.enabled or disabled:
                for camera in self.cameras if watch.cameras is None else watch.cameras:
                    if self._has_its_zone(camera, watch):
                        found[camera][name] = watch
        return found

    @property
    def pairs(self) -> set[tuple[str, str]]:
        """Every camera with each enabled watch that applies to it: what has a state."""
        by_camera = self.watches_by_camera()
        return {(camera, watch) for camera, watches in by_camera.items() for watch in watches}

    def cameras_of(self, watch: str) -> tuple[str, ...]:
        """The cameras a watch applies to: those of its `cameras` that have one of its `zones`."""
        settings = self.watches[watch]
        named = self.cameras.keys() if settings.cameras is None else {*settings.cameras}
        return tuple(
            name for name in self.cameras if name in named and self._has_its_zone(name, settings)
        )

    def _has_its_zone(self, camera: str, watch: WatchSettings) -> bool:
        """Whether there is this camera, with one of the watch's zones where it names any."""
        settings = self.cameras.get(camera)
        if settings is None or watch.zones is None:
            return settings is not None
        return not settings.zones.keys().isdisjoint(watch.zones)
