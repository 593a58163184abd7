"""What the page shows, in values that JSON has. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from streamwatch.config import Config
from streamwatch.history.visits import Step, Visit
from streamwatch.pipeline.camera import RunningCamera
from streamwatch.records import Event

ClipState = Literal["whole", "coming"]
"""Of an alert's video: it is there, or is being made."""
STATUS_KEYS = (
    *("version", "config", "uptime_s", "model", "broker", "outbox", "detector", "latency_ms"),
    *("rss_bytes", "problems", "notices", "second_looks"),
)
"""Of the status document, what the page shows as it is."""


def state(
    config: Config,
    status: Mapping[str, Any],
    running: Mapping[str, RunningCamera],
    newest: Event | None,
) -> dict[str, Any]:
    """How all is now, out of the document for `streamwatch status`, with the newest alert."""
    open_now: dict[str, list[str]] = {name: [] for name in config.cameras}
    for watch, found in status["watches"].items():
        for camera in found["open"]:
            open_now.setdefault(camera, []).append(watch)
    return {
        **{key: status[key] for key in STATUS_KEYS},
        "cameras": {
            name: {
                "title": camera.name or name,
                "status": status["cameras"][name]["status"],
                "problem": status["cameras"][name]["problem"],
                "age_s": status["cameras"][name].get("age_s"),
                "fps": status["cameras"][name].get("fps"),
                "wanted_fps": camera.fps,
                "awake": None if name not in running else awake(running[name]),
                "open": open_now[name],
            }
            for name, camera in config.cameras.items()
            if name in status["cameras"]
        },
        "newest": None
        if newest is None
        else {"id": newest.id, "camera": newest.camera, "watch": newest.watch},
        "watches": {
            name: {"title": watch.name or name, "enabled": watch.enabled}
            for name, watch in config.watches.items()
        },
    }


def awake(camera: RunningCamera) -> str:
    """What has the camera's frames analysed, or that they rest, in a few words."""
    if camera.settings.motion == "off":
        return "always awake: its motion gate is off"
    if camera.gate.restless is not None:
        x1, y1, x2, y2 = (round(edge * 100) for edge in camera.gate.restless)
        return f"awake: something always moves between {x1}, {y1} and {x2}, {y2} %"
    if camera.gate.moving:
        return "awake: something moves"
    if camera.watcher.engaged:
        return "awake: a watch follows something"
    if camera.gate.learning:
        return "awake: it was opened or changed a moment ago"
    return "asleep: nothing moves"


def camera(config: Config, name: str) -> dict[str, Any] | None:
    """A camera's areas, in shares, and its watches."""
    settings = config.cameras.get(name)
    if settings is None:
        return None
    return {
        "name": name,
        "title": settings.name or name,
        "zones": {zone: points(polygon) for zone, polygon in settings.zones.items()},
        "ignore": [points(polygon) for polygon in settings.ignore],
        "mask": [points(polygon) for polygon in settings.mask],
        "crop": None if settings.crop is None else list(settings.crop),
        "watches": [
            {"name": watch, "title": of_watch.name or watch}
            for watch, of_watch in config.watches_of(name).items()
        ],
    }


def points(polygon: Iterable[tuple[float, float]]) -> list[list[float]]:
    return [[x, y] for x, y in polygon]


def watches(config: Config, overview: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every watch with its settings and, where it is enabled, what is known of it."""
    found = []
    for name, watch in config.watches.items():
        known = overview["watches"].get(name, {})
        found.append(
            {
                "name": name,
                "title": watch.name or name,
                "enabled": watch.enabled,
                "prompts": list(watch.words),
                "pictures": [picture.file.name for picture in watch.pictures],
                "not": list(watch.not_),
                "confidence": watch.confidence,
                "needed": config.confidence_of(name),
                "cameras": list(config.cameras_of(name)),
                "suggested": known.get("suggested"),
                "by_camera": known.get("cameras", {}),
                "seen": _together(known.get("cameras", {}).values()),
            }
        )
    return found


def _together(cameras: Iterable[Mapping[str, Any]]) -> dict[str, list[int]]:
    """The histograms of all cameras in one."""
    cameras = tuple(cameras)
    return {
        kind: [sum(counts) for counts in zip(*(each[kind] for each in cameras), strict=True)]
        for kind in ("visits", "weak")
    }


def alert(
    config: Config,
    visit: Visit,
    taught: Mapping[str, bool],
    *,
    has_picture: bool,
    has_crop: bool,
    clip: ClipState | None,
) -> dict[str, Any]:
    """A visit with its steps. `taught` says of visits whether they were called right."""
    cameras, watches = config.cameras, config.watches
    camera, watch = cameras.get(visit.camera), watches.get(visit.watch)
    ended = visit.ended_at
    return {
        "id": visit.id,
        "camera": visit.camera,
        "camera_title": (camera and camera.name) or visit.camera,
        "watch": visit.watch,
        "watch_title": (watch and watch.name) or visit.watch,
        "prompt": visit.prompt,
        "state": visit.state,
        "started_at": moment(visit.started_at, config.zone),
        "ended_at": None if ended is None else moment(ended, config.zone),
        "seconds": None if ended is None else (ended - visit.started_at).total_seconds(),
        "confidence": visit.confidence,
        "zones": list(visit.zones),
        "has_picture": has_picture,
        "has_crop": has_crop,
        "clip": clip,
        "taught": {True: "right", False: "wrong", None: None}[taught.get(visit.id)],
        "steps": [_step(step, visit, config) for step in visit.steps],
    }


def _step(step: Step, visit: Visit, config: Config) -> dict[str, Any]:
    return {
        "type": step.type,
        "at": moment(step.at, config.zone),
        "after_seconds": (step.at - visit.started_at).total_seconds(),
        "prompt": step.prompt,
        "confidence": step.confidence,
        "zones": list(step.zones),
        "reason": step.reason,
        "note": step.note,
    }


def near_miss(config: Config, row: Mapping[str, Any]) -> dict[str, Any]:
    """A near miss that is kept."""
    camera = config.cameras.get(row["camera"])
    watch = config.watches.get(row["watch"])
    return {
        "camera": row["camera"],
        "camera_title": (camera and camera.name) or row["camera"],
        "watch": row["watch"],
        "watch_title": (watch and watch.name) or row["watch"],
        "prompt": row["prompt"],
        "confidence": row["confidence"],
        "needed": row["needed"],
        "reason": row["reason"],
        "at": moment(datetime.fromisoformat(row["captured_at"]), config.zone),
        "file": row["file"],
    }


def moment(at: datetime, zone: ZoneInfo | None) -> dict[str, str]:
    """A time for people and for machines."""
    local = at.astimezone(zone)
    return {"iso": local.isoformat(timespec="milliseconds"), "text": f"{local:%Y-%m-%d %H:%M:%S}"}
