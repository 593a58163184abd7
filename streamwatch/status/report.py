"""What the daemon says about itself: `P/info`, `P/stats`, metrics, and the status document."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from streamwatch import __version__
from streamwatch.config import Config, config_hash
from streamwatch.detector.protocol import Running
from streamwatch.learning.learning import Learning
from streamwatch.learning.pairs import pairs, shown
from streamwatch.pipeline.counts import Counts
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.publisher import (
    AnnouncedCamera,
    DetectorStats,
    ErrorReport,
    Info,
    LatencyStats,
    Publisher,
    Roster,
    SecondLookStats,
    Stats,
    WatchInfo,
)
from streamwatch.publisher.notices.notices import Notices
from streamwatch.records import CameraCounts
from streamwatch.status.liveness import Pulse
from streamwatch.status.metrics import Metrics


def info(
    config: Config,
    instance: str,
    running: Running | None,
    started_at: datetime,
    problems: Sequence[ErrorReport],
    learning: Learning | None = None,
) -> Info:
    """`P/info`, with the present problems; `running` and `learning` are None while the detector is
    loaded."""
    suggestions = {} if learning is None else learning.suggestions()
    return Info(
        version=__version__,
        instance=instance,
        model=config.detector.model,
        backend=running.backend if running else config.detector.backend,
        precision=running.precision if running else config.detector.precision,
        device=running.device if running else config.detector.device,
        config_hash=config_hash(config),
        started_at=started_at,
        cameras=list(config.cameras),
        watches={
            name: WatchInfo(
                prompts=watch.prompt,
                rivals=watch.not_,
                cameras=config.cameras_of(name),
                confidence=config.confidence_of(name),
                suggested_confidence=suggestions.get(name),
                by_camera={} if learning is None else learning.in_force(name),
                pictures=watch.pictures,
            )
            for name, watch in config.watches.items()
            if watch.enabled
        },
        problems=problems,
    )


def roster(config: Config) -> Roster:
    """All cameras and watches for Home Assistant, disabled ones too."""
    watches = config.watches_by_camera(disabled=True)
    cameras = {
        name: AnnouncedCamera(camera.name, list(watches[name]))
        for name, camera in config.cameras.items()
    }
    return Roster(
        __version__, cameras, {name: watch.name for name, watch in config.watches.items()}
    )


def stats(pipeline: Pipeline, publisher: Publisher, instance: str, started: float) -> Stats:
    """Counters since `started`, in monotonic seconds."""
    cameras = pipeline.camera_counts(time.monotonic())
    return _stats(cameras, pipeline.counts, publisher, instance, started)


def starting_stats(publisher: Publisher, instance: str, started: float) -> Stats:
    """Those of a daemon whose cameras don't run yet."""
    return _stats({}, Counts(), publisher, instance, started)


def _stats(
    cameras: Mapping[str, CameraCounts],
    counts: Counts,
    publisher: Publisher,
    instance: str,
    started: float,
) -> Stats:
    return Stats(
        instance=instance,
        uptime_s=round(time.monotonic() - started, 1),
        cameras=cameras,
        detector=DetectorStats(
            counts.batches, counts.analysed.total(), *counts.inference.percentiles_ms()
        ),
        second_looks=SecondLookStats(
            counts.look.count,
            counts.looks_confirmed,
            counts.looks_failed,
            sum(count for (_, _, kind), count in [*counts.events.items()] if kind == "rejected"),
            *counts.look.percentiles_ms(),
        ),
        latency_ms=LatencyStats(*counts.latency.percentiles_ms()),
        outbox=publisher.waiting,
        rss_bytes=psutil.Process().memory_info().rss,
    )


def pulse(pipeline: Pipeline, publisher: Publisher, reload_at: float | None, now: float) -> Pulse:
    """When each thread turned last; times in monotonic seconds."""
    return Pulse(pipeline.turned_at, publisher.turned_at, pipeline.camera_counts(now), reload_at)


def status_line(pipeline: Pipeline, publisher: Publisher, stuck: Sequence[str], now: float) -> str:
    """The state in one line, for `systemctl status`."""
    setup = pipeline.current
    offline = [
        f"{name} is offline ({capture.problem or 'no frame yet'})"
        for name, capture in setup.captures.items()
        if not capture.online(now)
    ]
    watches = sum(watch.enabled for watch in setup.config.watches.values())
    parts = [*stuck, f"cameras: {len(setup.cameras)}", *offline, f"watches: {watches}"]
    if publisher.waiting:
        parts.append(f"alerts waiting: {publisher.waiting}")
    return "; ".join(parts)


def metrics(
    pipeline: Pipeline,
    publisher: Publisher,
    *,
    short: Collection[str],
    healthy: bool,
    config_taken_over: bool,
) -> Metrics:
    """`short` are the cameras that are short of detector time."""
    setup, counts = pipeline.current, pipeline.counts
    return Metrics(
        {
            "version": __version__,
            "model": setup.config.detector.model,
            "device": setup.detector.running.device,
            "backend": setup.detector.running.backend,
            "precision": setup.detector.running.precision,
        },
        pipeline.camera_counts(time.monotonic()),
        short,
        dict(counts.events),
        counts.inference,
        counts.look,
        counts.looks_confirmed,
        counts.looks_failed,
        counts.latency,
        publisher.waiting,
        publisher.dropped,
        publisher.expired,
        publisher.connected,
        healthy,
        config_taken_over,
    )


def watch_fields(
    config: Config, name: str, open_visits: Mapping[tuple[str, str], int]
) -> dict[str, Any]:
    """Of a watch in the status document: its settings, and how many visits of it are open."""
    watch = config.watches[name]
    return {
        "prompts": list(watch.prompt),
        "enabled": watch.enabled,
        "open": {
            camera: open_visits[camera, name]
            for camera in config.cameras_of(name)
            if open_visits.get((camera, name))
        },
        "confidence": config.confidence_of(name),
    }


def status_document(
    pipeline: Pipeline,
    publisher: Publisher,
    path: Path,
    broker: str,
    before: Stats | None,
    now: Stats,
    problems: Sequence[ErrorReport],
    stuck: Sequence[str],
    learning: Learning,
    notices: Notices,
) -> dict[str, Any]:
    """The document for `streamwatch status`; frames per second are measured since `before`.

    `broker` is the address where it really is, with the embedded one too.
    """
    config, captures = pipeline.current.config, pipeline.current.captures
    fields = now.fields(before)
    moment = time.monotonic()
    visits = publisher.open_visits
    suggestions, learnt = learning.suggestions(), learning.learnt()
    cameras = {}
    for name in config.cameras:
        capture = captures.get(name)
        state = "disabled"
        if capture is not None:
            state = "online" if capture.online(moment) else "offline"
        cameras[name] = {
            "status": state,
            "problem": capture.problem if capture is not None else None,
            **fields["cameras"].get(name, {}),
        }
    return {
        "version": __version__,
        "config": str(path.absolute()),
        "config_hash": config_hash(config),
        "uptime_s": fields["uptime_s"],
        "model": config.detector.model,
        "broker": {"address": broker, "connected": publisher.connected},
        "outbox": fields["outbox"],
        "notices": [asdict(state) for state in notices.states],
        "detector": fields["detector"],
        "second_looks": fields["second_looks"],
        "latency_ms": fields["latency_ms"],
        "rss_bytes": fields["rss_bytes"],
        "cameras": cameras,
        "watches": {
            name: {
                **watch_fields(config, name, visits),
                "confidence_by_camera": learning.in_force(name),
                "suggested_confidence": suggestions.get(name),
                "seen": {
                    subject.camera: {"alerts": sum(it.visits), "weak": sum(it.weak)}
                    for subject, it in learnt.items()
                    if subject.watch == name
                },
            }
            for name in config.watches
        },
        "together": [shown(pair) for pair in pairs(config, learnt)],
        "problems": [*stuck, *(problem.message for problem in problems)],
    }
