"""Publishers that run inside a `with` block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from streamwatch.config.sections.mqtt import MqttSettings
from streamwatch.config.sections.whole import SnapshotSettings
from streamwatch.publisher import ErrorReport, Publisher
from tests.parts.mosquitto import Subscriber


class Broker(Protocol):
    host: str
    port: int


class Clock:
    """A monotonic clock that tests advance."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def settings(broker: Broker, prefix: str, **changes: Any) -> MqttSettings:
    return MqttSettings(host=broker.host, port=broker.port, topic_prefix=prefix, **changes)


def make(
    broker: Broker,
    prefix: str,
    folder: Path | None = None,
    *,
    mqtt: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Publisher:
    """A publisher with these extra `mqtt` settings and arguments."""
    return Publisher(
        settings(broker, prefix, **(mqtt or {})), SnapshotSettings(), folder, **changes
    )


@contextmanager
def running(publisher: Publisher, *, connected: bool = True) -> Iterator[Publisher]:
    """Start, wait for the connection if `connected`, and stop; its thread must not have failed."""
    publisher.start()
    try:
        if connected:
            assert publisher.wait_connected(15)
        yield publisher
    finally:
        publisher.stop()
        assert publisher.failure is None


def settled(publisher: Publisher, subscriber: Subscriber, prefix: str) -> None:
    """Wait until all that was published so far has come, the will of a former connection too."""
    topic = f"{prefix}/errors"
    before = len(subscriber.of(topic))
    publisher.error(ErrorReport("camera", "a mark"))
    subscriber.wait_for(lambda messages: sum(m.topic == topic for m in messages) > before)
