"""The payloads of the MQTT contract."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from streamwatch.config import PromptPicture
from streamwatch.errors import Problem
from streamwatch.learning.learnt import NearMiss
from streamwatch.publisher.contract.topics import Topics
from streamwatch.records import CameraCounts, Clip, Event, SecondLook

CameraState = Literal["online", "offline", "disabled"]
ErrorKind = Literal["config", "camera", "detector", "publisher"]

STATS_SECONDS = 10.0
"""How often a daemon publishes its `Stats`."""
ONLINE = b"online"
OFFLINE = b"offline"
ON = b"ON"
OFF = b"OFF"


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """Something that went wrong, for `P/errors` and the `problems` of `P/info`.

    `errors` are positions in a configuration file. `at` is when it was noticed; if None,
    `Publisher.error` fills in the time of its call. `worker` is whose error it is, of several.
    """

    kind: ErrorKind
    message: str
    camera: str | None = None
    errors: Sequence[Problem] | None = None
    at: datetime | None = None
    worker: str | None = None

    def fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"kind": self.kind, "message": self.message}
        if self.worker is not None:
            fields["worker"] = self.worker
        if self.camera is not None:
            fields["camera"] = self.camera
        if self.errors is not None:
            fields["errors"] = [asdict(problem) for problem in self.errors]
        if self.at is not None:
            fields["at"] = timestamp(self.at)
        return fields


@dataclass(frozen=True, slots=True)
class WatchInfo:
    """One enabled watch. `rivals` is `not` of the configuration.

    `suggested_confidence` is what its histograms suggest, None while they say too little. Where the
    confidence is learnt, `confidence` is what it starts from, and `by_camera` gives what each
    camera needs now; else that is empty.
    """

    prompts: Sequence[str]
    rivals: Sequence[str]
    cameras: Sequence[str]
    confidence: float
    suggested_confidence: float | None = None
    by_camera: Mapping[str, float] = field(default_factory=dict)
    pictures: Sequence[PromptPicture] = ()
    """Those of its prompt that is pictures."""

    def fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "prompts": list(self.prompts),
            "not": list(self.rivals),
            "cameras": list(self.cameras),
            "confidence": self.confidence,
        }
        if self.suggested_confidence is not None:
            fields["suggested_confidence"] = self.suggested_confidence
        if self.by_camera:
            fields["confidence_by_camera"] = dict(self.by_camera)
        if self.pictures:
            fields["pictures"] = [_picture_fields(each) for each in self.pictures]
        return fields


def _picture_fields(picture: PromptPicture) -> dict[str, Any]:
    box = {} if picture.box is None else {"box": list(picture.box)}
    return {"file": _text(picture.file), "sha256": picture.sha256, **box}


@dataclass(frozen=True, slots=True)
class Info:
    """What is running now, for `P/info`; `problems` are those that last, and `workers` those of a
    fleet.

    `instance` names the daemon over restarts, one a configuration and state folder.
    """

    version: str
    instance: str
    model: str
    backend: str
    precision: str
    device: str
    config_hash: str
    started_at: datetime
    cameras: Sequence[str]
    watches: Mapping[str, WatchInfo]
    problems: Sequence[ErrorReport] = ()
    workers: Mapping[str, Mapping[str, Any]] | None = None

    def fields(self) -> dict[str, Any]:
        workers = {} if self.workers is None else {"workers": dict(self.workers)}
        return {
            "version": self.version,
            "instance": self.instance,
            "model": self.model,
            "backend": self.backend,
            "precision": self.precision,
            "device": self.device,
            "config_hash": self.config_hash,
            "started_at": timestamp(self.started_at),
            "cameras": list(self.cameras),
            "watches": {name: watch.fields() for name, watch in self.watches.items()},
            "problems": [problem.fields() for problem in self.problems],
            **workers,
        }


@dataclass(frozen=True, slots=True)
class DetectorStats:
    """Counters since the start; the milliseconds are those of one batch, None before the first."""

    batches: int
    frames: int
    ms_p50: float | None
    ms_p95: float | None


@dataclass(frozen=True, slots=True)
class LatencyStats:
    """Milliseconds from a frame's capture to the hand-over of its event, None before the first."""

    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class SecondLookStats:
    """Counters since the start: looks that were made, those of them that confirmed, those that
    could not be made, and visits that were held back. The milliseconds are those of one look."""

    looks: int
    confirmed: int
    failed: int
    held_back: int
    ms_p50: float | None
    ms_p95: float | None


@dataclass(frozen=True, slots=True)
class Stats:
    """The daemon's counters, for `P/stats`. `outbox` is the number of events that wait."""

    instance: str
    uptime_s: float
    cameras: Mapping[str, CameraCounts]
    detector: DetectorStats
    second_looks: SecondLookStats
    latency_ms: LatencyStats
    outbox: int
    rss_bytes: int

    def fields(self, before: Stats | None) -> dict[str, Any]:
        """`before` are those published last, None at first; frames per second are measured since
        then."""
        return {
            "instance": self.instance,
            "uptime_s": self.uptime_s,
            "cameras": {
                name: {**_camera_fields(counts), "fps": self._fps(name, before)}
                for name, counts in self.cameras.items()
            },
            "detector": {**asdict(self.detector), "share": self._share(before)},
            "second_looks": asdict(self.second_looks),
            "latency_ms": asdict(self.latency_ms),
            "outbox": self.outbox,
            "rss_bytes": self.rss_bytes,
        }

    def _share(self, before: Stats | None) -> float | None:
        """Of the frames since `before` that the detector was to look at, the share that it did."""
        if before is None:
            return None
        analysed = dropped = 0
        for name, now in self.cameras.items():
            then = before.cameras.get(name)
            if then is None or now.analysed < then.analysed or now.dropped < then.dropped:
                continue  # counted anew
            analysed += now.analysed - then.analysed
            dropped += now.dropped - then.dropped
        return round(analysed / (analysed + dropped), 3) if analysed + dropped else None

    def _fps(self, camera: str, before: Stats | None) -> float | None:
        if before is None or camera not in before.cameras:
            return None
        frames = self.cameras[camera].analysed - before.cameras[camera].analysed
        seconds = self.uptime_s - before.uptime_s
        if frames < 0 or seconds <= 0:  # counted anew
            return None
        return round(frames / seconds, 2)


def _camera_fields(counts: CameraCounts) -> dict[str, Any]:
    age = counts.age_seconds
    return {
        "frames": counts.frames,
        "analysed": counts.analysed,
        "gated": counts.gated,
        "restless": None if counts.restless is None else [round(x, 3) for x in counts.restless],
        "dropped": counts.dropped,
        "age_s": None if age is None else round(age, 3),
        "reconnects": counts.reconnects,
    }


def event_fields(
    event: Event,
    topics: Topics,
    *,
    snapshot_path: Path | None,
    published_at: datetime,
    delayed: bool,
) -> dict[str, Any]:
    """An event's payload, keys in the contract's order. `snapshot_path` is None if none is kept."""
    fields: dict[str, Any] = {
        "id": event.id,
        "type": event.type,
        "camera": event.camera,
        "watch": event.watch,
        "prompt": event.prompt,
        "track": event.track,
        "confidence": round(float(event.confidence), 3),
        "best_confidence": round(float(event.best_confidence), 3),
        "box": [round(float(edge), 1) for edge in event.box],
        "frame": list(event.frame_size),
        "zones": list(event.zones),
        "captured_at": timestamp(event.captured_at),
        "started_at": timestamp(event.started_at),
        "ended_at": None if event.ended_at is None else timestamp(event.ended_at),
        "published_at": timestamp(published_at),
        "sequence": event.sequence,
        "snapshot": topics.snapshot(event.camera, event.watch) if event.snapshot else None,
        "snapshot_path": None if snapshot_path is None else _text(snapshot_path),
    }
    if event.clip_path is not None:
        fields["clip_path"] = _text(event.clip_path)
    if event.clip_url is not None:
        fields["clip_url"] = event.clip_url
    if event.position is not None:
        fields["position"] = round(event.position, 3)
    if event.type == "end":
        fields["reason"] = event.reason
    if event.continues is not None:
        fields["continues"] = event.continues
    if event.second_look is not None:
        fields["second_look"] = {
            **_look_fields(event.second_look),
            **_taught_fields(event.second_look),
        }
    if delayed:
        fields["delayed"] = True
    return fields


def clip_fields(clip: Clip) -> dict[str, Any]:
    """The payload of a visit's video."""
    fields: dict[str, Any] = {
        "id": clip.id,
        "path": None if clip.path is None else _text(clip.path),
        "started_at": None if clip.started_at is None else timestamp(clip.started_at),
        "seconds": round(clip.seconds, 3),
        "bytes": clip.bytes,
        "codec": clip.codec,
        "complete": clip.complete,
    }
    if clip.reason is not None:
        fields["reason"] = clip.reason
    return fields


def rejected_fields(event: Event, crop_path: Path | None) -> dict[str, Any]:
    """The payload of what a second look held back; `crop_path` is None if none is kept."""
    assert event.second_look is not None
    return {
        "id": event.id,
        "prompt": event.prompt,
        "confidence": round(float(event.confidence), 3),
        "box": [round(float(edge), 1) for edge in event.box],
        "frame": list(event.frame_size),
        "captured_at": timestamp(event.captured_at),
        "second_look": _look_fields(event.second_look),
        **_taught_fields(event.second_look),
        "crop_path": None if crop_path is None else _text(crop_path),
    }


def near_fields(miss: NearMiss, crop_path: Path | None) -> dict[str, Any]:
    """The payload of what was found and not told; `crop_path` is None if none is kept."""
    return {
        "prompt": miss.prompt,
        "confidence": round(float(miss.confidence), 3),
        "needed": round(float(miss.needed), 3),
        "reason": miss.reason,
        "box": [round(float(edge), 1) for edge in miss.box],
        "frame": list(miss.frame_size),
        "captured_at": timestamp(miss.captured_at),
        "crop_path": None if crop_path is None else _text(crop_path),
    }


def _look_fields(look: SecondLook) -> dict[str, Any]:
    """The answer is a language model's alone, and the score that of an image tower."""
    fields: dict[str, Any] = {
        "by": look.by,
        "score": None if look.score is None else round(look.score, 3),
        "beaten_by": look.beaten_by,
        "looks": look.looks,
        "decided": look.decided,
        "ms": None if look.ms is None else round(look.ms, 1),
    }
    if look.by == "vlm":
        fields["answer"] = look.answer
    return fields


def _taught_fields(look: SecondLook) -> dict[str, Any]:
    """By which visit, if it was held back because that was said to be wrong."""
    return {} if look.taught_by is None else {"taught_by": look.taught_by}


def _text(path: Path) -> str:
    """Names of files may hold bytes that are no UTF-8, which JSON must not."""
    return os.fsencode(path).decode(errors="replace")


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds. Raises ValueError for a moment without a time zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    return f"{utc.isoformat(timespec='milliseconds')}Z"


def encode(fields: Mapping[str, Any]) -> bytes:
    """Strict JSON in UTF-8. Raises ValueError for NaN and infinities, which JSON does not have."""
    return json.dumps(fields, ensure_ascii=False, allow_nan=False).encode()
