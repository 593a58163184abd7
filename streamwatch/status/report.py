"""What the daemon tells about itself: `P/info`, `P/stats`, and what there is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from streamwatch import __version__
from streamwatch.config import Config, config_hash
from streamwatch.pipeline.counts import Counts
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.publisher import (
    AnnouncedCamera,
    CameraStats,
    DetectorStats,
    ErrorReport,
    Info,
    LatencyStats,
    Publisher,
    Roster,
    Stats,
    WatchInfo,
)
from streamwatch.source import Capture
from streamwatch.status.liveness import CameraPulse, Pulse
from streamwatch.status.metrics import CameraMetrics, Metrics


def info(
    config: Config, device: str, started_at: datetime, problems: Sequence[ErrorReport]
) -> Info:
    """What runs, with the problems that last."""
    return Info(
        version=__version__,
        model=config.detector.model,
        backend="torch",
        device=device,
        config_hash=config_hash(config),
        started_at=started_at,
        cameras=list(config.cameras),
        watches={
            name: WatchInfo(
                prompts=watch.prompt,
                rivals=watch.not_,
                cameras=config.cameras_of(name),
                confidence=watch.confidence or config.detector.confidence,
            )
            for name, watch in config.watches.items()
            if watch.enabled
        },
        problems=problems,
    )


def roster(config: Config) -> Roster:
    """Cameras and watches that are disabled too: they are not gone."""
    cameras = {
        name: AnnouncedCamera(
            camera.name, [watch for watch in config.watches if name in config.cameras_of(watch)]
        )
        for name, camera in config.cameras.items()
    }
    return Roster(
        __version__, cameras, {name: watch.name for name, watch in config.watches.items()}
    )


def stats(started: float, captures: Mapping[str, Capture], counts: Counts, waiting: int) -> Stats:
    """Counters since `started`, in monotonic seconds; `waiting` is the outbox' length."""
    now = time.monotonic()
    return Stats(
        uptime_s=round(now - started, 1),
        cameras={
            name: CameraStats(
                frames=c.frames,
                analysed=counts.frames[name],
                gated=0,
                dropped=c.dropped,
                age_s=None if c.age_seconds is None else round(c.age_seconds, 3),
                reconnects=c.reconnects,
            )
            for name, c in ((n, capture.counts(now)) for n, capture in captures.items())
        },
        detector=DetectorStats(
            counts.batches,
            sum(counts.frames.values()),
            *_percentiles_ms(tuple(counts.batch_seconds)),
        ),
        latency_ms=LatencyStats(*_percentiles_ms(tuple(counts.latency_seconds))),
        outbox=waiting,
        rss_bytes=psutil.Process().memory_info().rss,
    )


def pulse(pipeline: Pipeline, publisher: Publisher, now: float) -> Pulse:
    """The signs of life of all parts; `now` in monotonic seconds."""
    return Pulse(
        pipeline.turned_at,
        publisher.turned_at,
        {
            name: CameraPulse(
                capture.online(now), capture.counts(now).offered, pipeline.counts.frames[name]
            )
            for name, capture in pipeline.current.captures.items()
        },
    )


def status_line(
    config: Config,
    captures: Mapping[str, Capture],
    waiting: int,
    stuck: Sequence[str],
    now: float,
) -> str:
    """How it goes in one line, as for `systemctl status`."""
    offline = [
        f"{name} is offline ({capture.problem or 'no frame yet'})"
        for name, capture in captures.items()
        if not capture.online(now)
    ]
    watches = sum(watch.enabled for watch in config.watches.values())
    parts = [*stuck, f"cameras: {len(captures)}", *offline, f"watches: {watches}"]
    if waiting:
        parts.append(f"alerts waiting: {waiting}")
    return "; ".join(parts)


def metrics(
    config: Config,
    device: str,
    captures: Mapping[str, Capture],
    counts: Counts,
    publisher: Publisher,
    *,
    healthy: bool,
) -> Metrics:
    now = time.monotonic()
    return Metrics(
        {"version": __version__, "model": config.detector.model, "device": device},
        {
            name: CameraMetrics(
                online=capture.online(now),
                frames=c.frames,
                analysed=counts.frames[name],
                gated=0,
                dropped=c.dropped,
                corrupt=c.corrupt,
                reconnects=c.reconnects,
                age_seconds=c.age_seconds,
            )
            for name, capture, c in ((n, each, each.counts(now)) for n, each in captures.items())
        },
        dict(counts.events),
        counts.batches_by_seconds,
        counts.latencies_by_seconds,
        publisher.waiting,
        publisher.connected,
        healthy,
    )


def status_document(
    config: Config,
    path: Path,
    before: Stats | None,
    now: Stats,
    captures: Mapping[str, Capture],
    publisher: Publisher,
    problems: Sequence[ErrorReport],
    stuck: Sequence[str],
) -> dict[str, Any]:
    """How it goes, for `streamwatch status`; frames a second are since `before`."""
    told = now.fields(before)
    moment = time.monotonic()
    visits = publisher.open_visits
    cameras = {}
    for name in config.cameras:
        capture = captures.get(name)
        state = "disabled"
        if capture is not None:
            state = "online" if capture.online(moment) else "offline"
        cameras[name] = {
            "status": state,
            "problem": capture.problem if capture is not None else None,
            **told["cameras"].get(name, {}),
        }
    return {
        "version": __version__,
        "config": str(path.absolute()),
        "config_hash": config_hash(config),
        "uptime_s": told["uptime_s"],
        "model": config.detector.model,
        "broker": {"address": config.mqtt.address, "connected": publisher.connected},
        "outbox": told["outbox"],
        "detector": told["detector"],
        "latency_ms": told["latency_ms"],
        "rss_bytes": told["rss_bytes"],
        "cameras": cameras,
        "watches": {
            name: {
                "prompts": list(watch.prompt),
                "enabled": watch.enabled,
                "open": {
                    camera: visits[camera, name]
                    for camera in config.cameras_of(name)
                    if visits.get((camera, name))
                },
            }
            for name, watch in config.watches.items()
        },
        "problems": [*stuck, *(problem.message for problem in problems)],
    }


def _percentiles_ms(seconds: tuple[float, ...]) -> tuple[float | None, float | None]:
    """Median and 95th percentile in milliseconds; None where nothing was measured yet."""
    if not seconds:
        return None, None
    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
    return round(float(p50), 1), round(float(p95), 1)
