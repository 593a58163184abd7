"""What a fleet says about itself: `P/info`, `P/stats` and the status document, of all workers."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from streamwatch import __version__
from streamwatch.config import Config, config_hash
from streamwatch.publisher import ErrorReport
from streamwatch.status.report import watch_fields

_SUMS = {
    "detector": ("batches", "frames"),
    "second_looks": ("looks", "confirmed", "failed", "held_back"),
}
_WORST = {
    "detector": ("ms_p50", "ms_p95"),
    "second_looks": ("ms_p50", "ms_p95"),
    "latency_ms": ("p50", "p95"),
}
"""Percentiles have no sum: the worst worker's are told."""


def is_stats(fields: Any) -> bool:
    """Whether these are the statistics of a worker, as far as `summed` reads them: anybody may have
    written them."""
    try:
        numbers = [fields[section][key] for section, keys in _SUMS.items() for key in keys]
        numbers += [fields["outbox"], fields["rss_bytes"]]
        perhaps = [fields[section][key] for section, keys in _WORST.items() for key in keys]
        perhaps.append(fields["detector"].get("share"))
        cameras = [*fields["cameras"].values()]
    except (KeyError, TypeError, AttributeError):
        return False
    numbers += [number for number in perhaps if number is not None]
    return all(map(_is_number, numbers)) and all(isinstance(camera, dict) for camera in cameras)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def summed(
    stats: Iterable[Mapping[str, Any]], instance: str, uptime_seconds: float
) -> dict[str, Any]:
    """`P/stats` of the fleet from those of its workers."""
    stats = list(stats)
    found: dict[str, Any] = {
        "instance": instance,
        "uptime_s": round(uptime_seconds, 1),
        "cameras": {name: of for each in stats for name, of in each["cameras"].items()},
        "detector": {},
        "second_looks": {},
        "latency_ms": {},
    }
    for section, keys in _SUMS.items():
        found[section] |= {key: sum(each[section][key] for each in stats) for key in keys}
    for section, keys in _WORST.items():
        for key in keys:
            found[section][key] = _worst(each[section][key] for each in stats)
    shares = [s for each in stats if (s := each["detector"].get("share")) is not None]
    found["detector"]["share"] = min(shares, default=None)
    found["outbox"] = sum(each["outbox"] for each in stats)
    found["rss_bytes"] = sum(each["rss_bytes"] for each in stats) + own_bytes()
    return found


def own_bytes() -> int:
    """The memory of this process."""
    return psutil.Process(os.getpid()).memory_info().rss


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def status_document(
    config: Config,
    path: Path,
    connected: bool,
    workers: Mapping[str, Mapping[str, Any]],
    at: Mapping[str, str],
    statuses: Mapping[str, str],
    open_visits: Mapping[tuple[str, str], int],
    stats: Mapping[str, Any],
    problems: Sequence[ErrorReport],
    nowhere: Collection[str],
) -> dict[str, Any]:
    """The document for `streamwatch status`: that of a daemon, and `workers`."""
    cameras = {}
    for name, camera in config.cameras.items():
        status = statuses.get(name, "offline") if camera.enabled else "disabled"
        problem = None
        if status == "offline":
            problem = "no worker can read it" if name in nowhere else f"see worker {at.get(name)}"
            if name not in at and name not in nowhere:
                problem = "no worker has it yet"
        cameras[name] = {
            "status": status,
            "problem": problem,
            "worker": at.get(name),
            **stats["cameras"].get(name, {}),
        }
    return {
        "version": __version__,
        "config": str(path.absolute()),
        "config_hash": config_hash(config),
        "uptime_s": stats["uptime_s"],
        "model": config.detector.model,
        "broker": {"address": config.mqtt.address, "connected": connected},
        "outbox": stats["outbox"],
        "notices": [],
        "detector": stats["detector"],
        "second_looks": stats["second_looks"],
        "latency_ms": stats["latency_ms"],
        "rss_bytes": stats["rss_bytes"],
        "workers": workers,
        "cameras": cameras,
        "watches": {
            name: {
                **watch_fields(config, name, open_visits),
                "confidence_by_camera": {},
                "suggested_confidence": None,
                "seen": {},
            }
            for name in config.watches
        },
        "together": [],
        "problems": [problem.message for problem in problems],
    }
