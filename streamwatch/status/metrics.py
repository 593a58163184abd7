"""The daemon's counters in Prometheus' format and naming conventions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from streamwatch.pipeline.durations import Durations
from streamwatch.records import CameraCounts


@dataclass(frozen=True, slots=True)
class Metrics:
    """All metrics at one time. `events` are counted by camera, watch and type.

    `short` are the cameras that are short of detector time.
    """

    build: Mapping[str, str]
    cameras: Mapping[str, CameraCounts]
    short: Collection[str]
    events: Mapping[tuple[str, str, str], int]
    inference: Durations
    look: Durations
    looks_confirmed: int
    looks_failed: int
    capture_to_publish: Durations
    outbox: int
    dropped: int
    expired: int
    mqtt_connected: bool
    healthy: bool
    config_taken_over: bool


def exposition(read: Callable[[], Metrics]) -> Callable[[], bytes]:
    """A function that makes the text for Prometheus from what `read` returns when called."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Ours(read))
    return lambda: generate_latest(registry)


class _Ours(Collector):
    def __init__(self, read: Callable[[], Metrics]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        return ()  # called when registering, before there are metrics

    def collect(self) -> Iterable[Metric]:
        now = self._read()
        build = InfoMetricFamily("streamwatch_build", "What runs.")
        build.add_metric((), dict(now.build))
        yield build
        yield from _of_cameras(now.cameras, now.short)
        events = CounterMetricFamily(
            "streamwatch_events", "Events told.", labels=("camera", "watch", "type")
        )
        for labels, count in sorted(now.events.items()):
            events.add_metric(labels, count)
        yield events
        for name, text, count in (
            ("dropped", "Alerts dropped for lack of room while they waited.", now.dropped),
            ("expired", "Alerts dropped because they had waited too long.", now.expired),
        ):
            yield CounterMetricFamily(f"streamwatch_alerts_{name}", text, value=count)
        for name, text, count in (
            ("confirmed", "Second looks that confirmed.", now.looks_confirmed),
            ("failed", "Second looks that could not be made.", now.looks_failed),
        ):
            yield CounterMetricFamily(f"streamwatch_second_looks_{name}", text, value=count)
        yield _histogram("streamwatch_second_look_seconds", "Time of a second look.", now.look)
        yield _histogram(
            "streamwatch_inference_seconds", "Time the detector took for a batch.", now.inference
        )
        yield _histogram(
            "streamwatch_capture_to_publish_seconds",
            "From a live frame's capture to handing its events to the publisher.",
            now.capture_to_publish,
        )
        for name, text, value in (
            ("outbox_events", "Events that the broker has not acknowledged yet.", now.outbox),
            ("mqtt_connected", "Whether the broker is connected.", now.mqtt_connected),
            ("healthy", "Whether everything gets on that should.", now.healthy),
            (
                "config_taken_over",
                "Whether the configuration file is what runs; 0 while it holds mistakes.",
                now.config_taken_over,
            ),
        ):
            yield GaugeMetricFamily(f"streamwatch_{name}", text, value=float(value))


def _of_cameras(cameras: Mapping[str, CameraCounts], short: Collection[str]) -> Iterable[Metric]:
    counters: tuple[tuple[str, str, Callable[[CameraCounts], int]], ...] = (
        ("frames", "Frames read.", lambda c: c.frames),
        ("frames_analysed", "Frames the detector looked at.", lambda c: c.analysed),
        ("frames_gated", "Frames left out because nothing moved.", lambda c: c.gated),
        ("frames_dropped", "Frames replaced before the detector took them.", lambda c: c.dropped),
        ("corrupt_packets", "Packets that could not be decoded.", lambda c: c.corrupt),
        ("reconnects", "How often frames came again after an outage.", lambda c: c.reconnects),
    )
    for name, text, read in counters:
        counter = CounterMetricFamily(f"streamwatch_camera_{name}", text, labels=("camera",))
        for camera, counts in cameras.items():
            counter.add_metric((camera,), read(counts))
        yield counter
    online = GaugeMetricFamily(
        "streamwatch_camera_online", "Whether frames come.", labels=("camera",)
    )
    age = GaugeMetricFamily(
        "streamwatch_camera_frame_age_seconds", "Age of the newest frame.", labels=("camera",)
    )
    short_of_time = GaugeMetricFamily(
        "streamwatch_camera_short_of_detector_time",
        "Whether too many due frames were replaced before the detector took them.",
        labels=("camera",),
    )
    for camera, counts in cameras.items():
        online.add_metric((camera,), counts.online)
        short_of_time.add_metric((camera,), camera in short)
        if counts.age_seconds is not None:
            age.add_metric((camera,), counts.age_seconds)
    yield from (online, age, short_of_time)


def _histogram(name: str, text: str, durations: Durations) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text)
    buckets = [
        ("+Inf" if bound == float("inf") else str(bound), float(count))
        for bound, count in durations.cumulative()
    ]
    family.add_metric((), buckets, durations.sum_seconds)
    return family
