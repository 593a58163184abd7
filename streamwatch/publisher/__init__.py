"""The last stage: events become messages, snapshots and states on an MQTT broker.

with EmbeddedBroker() as broker: ...          # or one of your own
publisher = Publisher(mqtt, snapshots, folder)
publisher.start()
publisher.event(event)                        # from any thread; never blocks
lost = publisher.stop()
"""

from streamwatch.publisher.broker import EmbeddedBroker, EmbeddedBrokers
from streamwatch.publisher.client import make_client
from streamwatch.publisher.commands import Command, Reply
from streamwatch.publisher.drawing import render_all
from streamwatch.publisher.homeassistant import AnnouncedCamera, Roster
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
    timestamp,
)
from streamwatch.publisher.protocol import Publishing
from streamwatch.publisher.publisher import Publisher
from streamwatch.publisher.topics import Topics

__all__ = [
    "AnnouncedCamera",
    "CameraState",
    "CameraStats",
    "Command",
    "DetectorStats",
    "EmbeddedBroker",
    "EmbeddedBrokers",
    "ErrorKind",
    "ErrorReport",
    "Info",
    "LatencyStats",
    "Outbox",
    "Publisher",
    "Publishing",
    "Reply",
    "Roster",
    "SqliteOutbox",
    "Stats",
    "Topics",
    "Waiting",
    "WatchInfo",
    "make_client",
    "render_all",
    "timestamp",
]
