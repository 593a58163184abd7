"""The summary of a valid configuration that `check` prints."""

from __future__ import annotations

from collections.abc import Sequence

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.config.sections.mqtt import MqttSettings
from streamwatch.config.sections.notify import NotifySettings
from streamwatch.config.sections.watch import WatchSettings
from streamwatch.config.sections.whole import Config, snapshot_folder
from streamwatch.config.values.units import duration_text, size_text
from streamwatch.config.wording import listing
from streamwatch.errors import StreamwatchError
from streamwatch.masking import MASK, mask_url


def describe(config: Config, models: Sequence[str] = ()) -> list[str]:
    """The summary's lines, without secrets. `models` is appended to the model's line."""
    lines = [_broker(config.mqtt), "; ".join([_model(config), *models])]
    lines += [f"snapshots  {_snapshots(config)}"]
    lines += [f"notices    {_notice(notice)}" for notice in config.notify]
    watches = config.watches_by_camera()
    for name, camera in config.cameras.items():
        lines += ["", f"camera {name}  {mask_url(camera.url)}, {_pace(camera)}"]
        if camera.enabled:
            lines += [
                f"    watch {watch_name}  {_watch_line(config, watch_name)}"
                for watch_name in watches[name]
            ] or ["    nothing is watched for"]
    return lines


def _broker(mqtt: MqttSettings) -> str:
    if mqtt.embedded:
        where = f"embedded, {f'port {mqtt.port}' if mqtt.port else 'any free port'}"
    else:
        user = f"{mqtt.username}@" if mqtt.username else ""
        where = f"mqtt{'s' if mqtt.tls else ''}://{user}{mqtt.address}"
    return f"broker     {where}, topics {mqtt.topic_prefix}/…"


def _model(config: Config) -> str:
    size = f", {config.detector.image_size} px" if config.detector.image_size else ""
    template = config.detector.template
    within = "" if template == "{}" else f', prompts as "{template}"'
    return f"model      {config.detector.model}, device {config.detector.device}{size}{within}"


def _snapshots(config: Config) -> str:
    try:
        folder = str(snapshot_folder(config.snapshots))
    except StreamwatchError as error:
        return str(error)
    keep, room = duration_text(config.snapshots.keep), size_text(config.snapshots.max_size)
    return f"{folder}, for {keep}, at most {room}"


def _notice(notice: NotifySettings) -> str:
    watches = f" of {listing(notice.watches, 'and')}" if notice.watches else ""
    cameras = f" on {listing(notice.cameras, 'and')}" if notice.cameras else ""
    return f"{notice.scheme}://{MASK}, {listing(notice.on, 'and')}{watches}{cameras}"


def _pace(camera: CameraSettings) -> str:
    if not camera.enabled:
        return "disabled"
    if camera.kind == "file" and not camera.pace:
        return f"{camera.fps:g} fps of the file's own time, as fast as it goes"
    return f"{camera.fps:g} fps"


def _watch_line(config: Config, name: str) -> str:
    watch = config.watches[name]
    prompts = listing([*(f'"{prompt}"' for prompt in watch.words), *_pictures(watch)])
    zones = f" in {listing(watch.zones)}" if watch.zones else ""
    company = "".join(
        f" {word} {listing(wanted)} within {watch.near:g}"
        for word, wanted in (("with", watch.with_), ("without", watch.without))
        if wanted
    )
    dwell = f", there for {duration_text(watch.dwell)}" if watch.dwell else ""
    active = _hours(watch, config.timezone) if watch.active else ""
    learnt = "learnt, starting at " if watch.confidence == "auto" else ""
    confidence = f"{learnt}{config.confidence_of(name):g}"
    look = _second_look(watch)
    clip = ", with clips" if watch.clip else ""
    return f"{prompts}{zones}{company}{dwell}{active}, confidence {confidence}{look}{clip}"


def _pictures(watch: WatchSettings) -> list[str]:
    if not watch.pictures:
        return []
    count = f"{len(watch.pictures)} picture{'s' if len(watch.pictures) > 1 else ''}"
    sure = watch.picture_confidence
    return [f"what {count} show{'' if len(watch.pictures) > 1 else 's'}"
            + ("" if sure is None else f" ({sure:g})")]  # fmt: skip


def _second_look(watch: WatchSettings) -> str:
    look = watch.look
    if look is None:
        return ""
    by = "" if look.ask is None else f" by {look.model}"
    return f", a second look{by} {'required' if look.mode == 'require' else 'noted'}"


def _hours(watch: WatchSettings, timezone: str | None) -> str:
    hours = listing(span.text for span in watch.active)
    return f", {hours} ({timezone or 'the system'}'s time)"
