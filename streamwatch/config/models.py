"""The settings of each stage, as frozen models: the configuration file's shape.

The table in README.md and the JSON Schema are the same promise. A key whose behaviour does not
exist yet is wrapped in `not_supported_yet` and accepts only its default.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, SecretStr

from streamwatch.geometry import Polygon


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OutboxSettings(Settings):
    max_size: int = 256_000_000
    max_age: timedelta = timedelta(days=7)


class MqttSettings(Settings):
    host: str = "localhost"
    port: int = 1883
    embedded: bool = False
    topic_prefix: str = "streamwatch"
    client_id: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    tls: bool = False
    commands: bool = False
    homeassistant: bool = False
    outbox: OutboxSettings = OutboxSettings()


class DetectorSettings(Settings):
    model: str
    text_encoder: str | None = None
    offline: bool = False
    device: str = "auto"
    backend: str = "auto"
    image_size: int | None = None
    confidence: float = 0.3
    template: str = "{}"
    distractors: bool = True


class CameraSettings(Settings):
    url: str
    """An absolute path, a device, a number or a URL, after loading. May hold a password."""
    name: str | None = None
    enabled: bool = True
    username: str | None = None
    password: SecretStr | None = None
    transport: Literal["tcp"] = "tcp"
    fps: float = 5.0
    loop: bool = False
    pace: bool = True
    motion: str = "auto"
    crop: tuple[float, float, float, float] | None = None
    mask: tuple[Polygon, ...] = ()
    ignore: tuple[Polygon, ...] = ()
    zones: dict[str, Polygon] = {}


class AppearSettings(Settings):
    hits: int = 3
    within: timedelta = timedelta(seconds=2)


class WatchSettings(Settings):
    prompt: tuple[str, ...]
    name: str | None = None
    enabled: bool = True
    cameras: tuple[str, ...] | None = None
    zones: tuple[str, ...] | None = None
    confidence: float | None = None
    min_area: float = 0.0
    max_area: float = 1.0
    appear: AppearSettings = AppearSettings()
    dwell: timedelta = timedelta(0)
    leave: timedelta = timedelta(seconds=3)
    cooldown: timedelta = timedelta(0)
    snapshot: bool = True


class SnapshotSettings(Settings):
    path: Path | None = None
    keep: timedelta = timedelta(days=7)
    max_size: int = 1_000_000_000
    quality: int = 85


class LogSettings(Settings):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"


class Config(Settings):
    mqtt: MqttSettings = MqttSettings()
    detector: DetectorSettings
    cameras: dict[str, CameraSettings]
    watches: dict[str, WatchSettings]
    snapshots: SnapshotSettings = SnapshotSettings()
    timezone: str | None = None
    log: LogSettings = LogSettings()
