"""One attempt to connect: paho's callbacks, turned into notices.

paho's types end here. Its network thread calls back into `Attempt`, which only posts a `Notice`.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from streamwatch.tls import TlsProblem, problem

MAX_UNACKNOWLEDGED = 20
"""With at most this many unacknowledged, the order survives restarts of the broker (measured)."""
MAX_INCOMING_BYTES = 65_536
"""Largest message a daemon accepts; the payload of a larger one is dropped on arrival."""
NOT_AUTHORISED = 135
KEEPALIVE_TIMEOUT = 141


@dataclass(frozen=True, slots=True)
class Limits:
    """The broker's limits, as stated in CONNACK."""

    packet_bytes: int | None = None
    unacknowledged: int = MAX_UNACKNOWLEDGED
    qos: int = 2
    retain: bool = True
    wildcards: bool = True


@dataclass(frozen=True, slots=True)
class Accepted:
    attempt: int
    limits: Limits


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker answered, and said no."""

    attempt: int
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class NotEncrypted:
    """TLS failed. `Closed` follows."""

    attempt: int
    problem: TlsProblem


@dataclass(frozen=True, slots=True)
class Closed:
    """The attempt or connection is over. `code` is None where no connection was made."""

    attempt: int
    code: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The broker acknowledged a message; `refusal` is why it was not accepted, None if it was.

    `forbidden` means that it accepts none for this topic.
    """

    attempt: int
    message: int
    refusal: str | None
    forbidden: bool


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The broker answered the subscription of this number; `refusal` as in `Acknowledged`."""

    attempt: int
    subscription: int
    refusal: str | None


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that we subscribed to; `retained` if it was sent before we did.

    `payload` is None where it was larger than the attempt's `max_incoming_bytes`. `response_topic`
    and `correlation` are those of an MQTT 5 request.
    """

    attempt: int
    topic: str
    payload: bytes | None
    retained: bool
    response_topic: str | None
    correlation: bytes | None


Notice = Accepted | Refused | NotEncrypted | Closed | Acknowledged | Subscribed | Arrived


class Attempt:
    """paho's callbacks for one client; they run in its network thread and must not raise."""

    def __init__(
        self,
        number: int,
        post: Callable[[Notice], None],
        *,
        encrypted: bool,
        max_incoming_bytes: int = MAX_INCOMING_BYTES,
    ) -> None:
        self.number = number
        self._max_incoming_bytes = max_incoming_bytes
        self._encrypted = encrypted
        self.ended = threading.Event()
        self.abandoned = False
        self._post = post

    def on_connect(
        self,
        client: Client,
        _userdata: Any,
        _flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if self.abandoned:
            client.disconnect()
        elif reason_code.is_failure:
            self._post(Refused(self.number, reason_code.value, str(reason_code)))
        else:
            self._post(Accepted(self.number, _limits(properties)))

    def on_connect_fail(self, _client: Client, _userdata: Any) -> None:
        # paho does not pass the reason, but calls this within its `except` block.
        error = sys.exception()
        # Only here, before MQTT has begun, is a reset a TLS failure: later the broker has died.
        if self._encrypted and isinstance(error, (ssl.SSLError, ConnectionResetError)):
            self._post(NotEncrypted(self.number, problem(error)))
        self._post(Closed(self.number, None, _why(error)))
        self.ended.set()

    def on_log(self, _client: Client, _userdata: Any, _level: int, _text: str) -> None:
        # TLS 1.3 refuses a client certificate after the handshake, in the first answer: paho takes
        # that for a lost connection and logs it within its `except` block.
        error = sys.exception()
        if isinstance(error, ssl.SSLError):
            self._post(NotEncrypted(self.number, problem(error)))

    def on_disconnect(
        self,
        _client: Client,
        _userdata: Any,
        flags: DisconnectFlags,
        reason_code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        said = flags.is_disconnect_packet_from_server or reason_code.value == KEEPALIVE_TIMEOUT
        reason = str(reason_code).lower() if said else "the broker closed it"
        self._post(Closed(self.number, reason_code.value, reason))
        self.ended.set()

    def on_publish(
        self,
        _client: Client,
        _userdata: Any,
        message: int,
        reason_code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        refusal = str(reason_code) if reason_code.is_failure else None
        forbidden = reason_code.value == NOT_AUTHORISED
        self._post(Acknowledged(self.number, message, refusal, forbidden))

    def on_subscribe(
        self,
        _client: Client,
        _userdata: Any,
        subscription: int,
        reason_codes: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        refusals = [str(code) for code in reason_codes if code.is_failure]
        self._post(Subscribed(self.number, subscription, refusals[0] if refusals else None))

    def on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        correlation = getattr(message.properties, "CorrelationData", None)
        fits = len(message.payload) + len(correlation or b"") <= self._max_incoming_bytes
        self._post(
            Arrived(
                self.number,
                topic,
                bytes(message.payload) if fits else None,
                bool(message.retain),
                getattr(message.properties, "ResponseTopic", None),
                correlation if fits else None,
            )
        )


def _limits(properties: Properties | None) -> Limits:
    """The limits in a CONNACK; MQTT 3.1.1 has none."""

    def said(name: str, default: Any) -> Any:
        return getattr(properties, name, default)

    return Limits(
        packet_bytes=said("MaximumPacketSize", None),
        unacknowledged=min(MAX_UNACKNOWLEDGED, said("ReceiveMaximum", MAX_UNACKNOWLEDGED)),
        qos=said("MaximumQoS", 2),
        retain=bool(said("RetainAvailable", 1)),
        wildcards=bool(said("WildcardSubscriptionAvailable", 1)),
    )


def _why(error: BaseException | None) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, socket.gaierror) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error) or "no reason given"
