"""The last stage: publishes events, snapshots and states to an MQTT broker.

with EmbeddedBroker() as broker: ...          # or one of your own
publisher = Publisher(mqtt, snapshots, folder)
publisher.start()
publisher.event(event)                        # from any thread; never blocks
lost = publisher.stop()
"""

from streamwatch.pictures.areas import areas_of
from streamwatch.pictures.drawing import render_all
from streamwatch.publisher.contract.payloads import (
    STATS_SECONDS,
    CameraState,
    DetectorStats,
    ErrorKind,
    ErrorReport,
    Info,
    LatencyStats,
    SecondLookStats,
    Stats,
    WatchInfo,
    timestamp,
)
from streamwatch.publisher.contract.requests import Command, Reply
from streamwatch.publisher.contract.topics import Topics
from streamwatch.publisher.homeassistant_discovery import AnnouncedCamera, Roster
from streamwatch.publisher.mqtt.client import make_client
from streamwatch.publisher.mqtt.embedded_broker import EmbeddedBroker, EmbeddedBrokers
from streamwatch.publisher.mqtt.reader import Down, Dropped, Failed, Message, Reader, Up
from streamwatch.publisher.mqtt.survey import Survey, survey_broker
from streamwatch.publisher.mqtt.trial import try_broker
from streamwatch.publisher.outbox.outbox import Outbox, Waiting
from streamwatch.publisher.outbox.sqlite import SqliteOutbox
from streamwatch.publisher.publisher import Publisher

__all__ = [
    "STATS_SECONDS",
    "AnnouncedCamera",
    "CameraState",
    "Command",
    "DetectorStats",
    "Down",
    "Dropped",
    "EmbeddedBroker",
    "EmbeddedBrokers",
    "ErrorKind",
    "ErrorReport",
    "Failed",
    "Info",
    "LatencyStats",
    "Message",
    "Outbox",
    "Publisher",
    "Reader",
    "Reply",
    "Roster",
    "SecondLookStats",
    "SqliteOutbox",
    "Stats",
    "Survey",
    "Topics",
    "Up",
    "Waiting",
    "WatchInfo",
    "areas_of",
    "make_client",
    "render_all",
    "survey_broker",
    "timestamp",
    "try_broker",
]
