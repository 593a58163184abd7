"""The last stage: events become messages, snapshots and states on an MQTT broker.

with EmbeddedBroker() as broker: ...          # or one of your own
publisher = Publisher(mqtt, snapshots, folder)
publisher.start()
publisher.event(event)                        # from any thread; never blocks
lost = publisher.stop()
"""

from streamwatch.publisher.broker import EmbeddedBroker
from streamwatch.publisher.client import make_client
from streamwatch.publisher.commands import Command, Reply
from streamwatch.publisher.outbox import Outbox, SqliteOutbox, Waiting
from streamwatch.publisher.payloads import (
    CameraState,
    CameraStats,
    DetectorStats,
    ErrorKind,
    ErrorReport,
    Info,
    LatencyStats,
    Stats,
    WatchInfo,
)
from streamwatch.publisher.protocol import Publishing
from streamwatch.publisher.publisher import Publisher
from streamwatch.publisher.topics import Topics

__all__ = [
    "CameraState",
    "CameraStats",
    "Command",
    "DetectorStats",
    "EmbeddedBroker",
    "ErrorKind",
    "ErrorReport",
    "Info",
    "LatencyStats",
    "Outbox",
    "Publisher",
    "Publishing",
    "Reply",
    "SqliteOutbox",
    "Stats",
    "Topics",
    "Waiting",
    "WatchInfo",
    "make_client",
]
