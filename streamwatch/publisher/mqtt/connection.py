"""The connection to the broker: one paho client per attempt, and how failures are handled.

paho's own reconnecting is not used. Each attempt has a client of its own, so a message given to a
lost connection can't be sent on the next one, and what was not acknowledged is resent from the
outbox alone: there are no two queues that could repeat or reorder messages.

paho's types end here. Its network thread calls back into `Attempt`, which only posts a `Notice`;
everything else happens in the thread that owns the `Connection`.
"""

from __future__ import annotations

import itertools
import logging
import random
import re
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from streamwatch.config import TLS_PORT, MqttSettings
from streamwatch.publisher.contract.payloads import OFFLINE
from streamwatch.publisher.mqtt.attempt import (
    KEEPALIVE_TIMEOUT,
    MAX_INCOMING_BYTES,
    NOT_AUTHORISED,
    Accepted,
    Attempt,
    Closed,
    Limits,
    NotEncrypted,
    Notice,
    Refused,
)
from streamwatch.publisher.mqtt.client import make_client
from streamwatch.tls import BadFile

logger = logging.getLogger(__name__)
KEEPALIVE_SECONDS = 10
"""A frozen broker is noticed after one to two of these."""
WILL_DELAY_SECONDS = 10
"""How long the broker waits before it publishes the will `offline`, so that a short interruption or
a restart after a crash does not show."""
SESSION_SECONDS = 60
"""The will's delay is limited by the session's expiry, so the session is kept for this long."""
MAX_PACKET_BYTES = 32_000_000
"""The largest message that the broker sends us (MQTT 5): paho holds each in memory as a whole.
Commands are far smaller, but retained pictures that are left over must still be found."""
CONNECT_TIMEOUT_SECONDS = 5.0
MIN_RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 5.0
REFUSED_RETRY_SECONDS = 30.0
"""After wrong credentials or certificates: they stay wrong, and brokers may lock out a client that
retries fast."""
SILENT_ENDS_AT_FIRST = 2
"""A broker that does not know the protocol version may close the connection or, as amqtt does, not
answer at all: after this many such attempts the other version is tried."""
SILENT_ENDS_ONCE_PROVEN = 10
"""The same for a version that has worked: a proxy in front of a stopped broker looks the same."""
SHORT_LIFE_SECONDS = 10.0
SHORT_LIVES_BEFORE_WARNING = 3
GOODBYE_SECONDS = 0.5
MAX_CLIENT_ID = 64
LOOKING = "-looking"
"""Ends the client id of a connection that only looks, so that it takes nobody's session."""
CHECKING = "-checking"
"""The same of one that only checks the broker, so that it takes that of no daemon that looks."""
UNSUPPORTED_VERSION = 132
_CLIENT_ID_REFUSED = 133
_RETAIN_NOT_SUPPORTED = 154
_QOS_NOT_SUPPORTED = 155
_CREDENTIALS_REFUSED = {
    134: "bad user name or password",
    NOT_AUTHORISED: "not authorised",
    138: "banned",
}
WE_ARE_REFUSED = frozenset((*_CREDENTIALS_REFUSED, _CLIENT_ID_REFUSED))
"""Reason codes of a broker that lets others in, and not us."""
_TLS_KEYS = {
    "authority": "mqtt.tls.ca",
    "name": "mqtt.host",
    "client certificate": "mqtt.tls.certificate",
    "protocol": "mqtt.port and mqtt.tls",
}
"""The configuration key to look at, by the kind of TlsProblem."""
_SESSION_TAKEN_OVER = 142
"""Reason codes of MQTT 5 (section 2.4); paho gives them for MQTT 3.1.1 too."""
_numbers = itertools.count(1)
"""Unique across all connections, so that notices of a former connection are recognised."""
Change = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast broker and daemon notice that the other is gone."""

    keepalive_seconds: int
    will_delay_seconds: int


class Connection:
    """Connects and reconnects. Not thread-safe: one thread owns it, and no method blocks.

    The owner calls `attempt` when `seconds_to_attempt` is 0, and passes every posted notice to
    `take`. `post` is called from other threads. Without a `will_topic` it only looks, under another
    client id that `guest` ends, until `settle`. The client id of a `worker`, one of several with
    these settings, ends with its name.
    """

    def __init__(
        self,
        settings: MqttSettings,
        will_topic: str | None,
        *,
        post: Callable[[Notice], None],
        seconds: Callable[[], float],
        guest: str = LOOKING,
        max_incoming_bytes: int = MAX_INCOMING_BYTES,
        pace: Pace | None = None,
        worker: str | None = None,
    ) -> None:
        self._pace = pace or Pace(KEEPALIVE_SECONDS, WILL_DELAY_SECONDS)
        self._settings = settings
        self._guest = guest
        self._will_topic = will_topic
        self._post = post
        self._seconds = seconds
        self._broker = f"broker {settings.address}"
        self._own_id = settings.client_id or default_client_id(settings.topic_prefix)
        if worker is not None:
            self._own_id = f"{self._own_id[: MAX_CLIENT_ID - len(worker) - 1]}-{worker}"
        self._version = MQTTProtocolVersion.MQTTv5
        if settings.embedded:
            self._version = MQTTProtocolVersion.MQTTv311
        self._version_proven = settings.embedded
        self._client: Client | None = None
        self._encrypted = settings.tls_files is not None
        self._max_incoming_bytes = max_incoming_bytes
        self._attempt = self._new_attempt()
        self._limits = Limits()
        self._will_qos, self._will_retain = 1, True
        """Some brokers refuse a will that wants more than they have."""
        self._up_since: float | None = None
        self._refused: Refused | NotEncrypted | None = None
        self._next_attempt = seconds()
        self._failures = 0
        self._silent_ends = 0
        self._short_lives = 0
        self._hurried = False
        self._said: set[str] = set()
        self.problem: str | None = None
        """Why the latest attempt has failed, in a sentence; None if it has not."""

    @property
    def up(self) -> bool:
        return self._up_since is not None

    @property
    def number(self) -> int:
        """The number of the present attempt; notices of other attempts are outdated."""
        return self._attempt.number

    @property
    def shortcomings(self) -> tuple[str, ...]:
        """What the connected broker lacks, and what is lost by that, in sentences."""
        found = []
        if self._limits.qos < 1:
            found.append(
                f"{self._broker} takes messages of QoS 0 only: alerts that are on their way when a"
                " connection breaks are lost"
            )
        if not self._limits.retain:
            found.append(
                f"{self._broker} retains no messages: whoever subscribes later sees no status, no"
                " state and no picture until they change, and Home Assistant finds no devices after"
                " its start"
            )
        return tuple(found)

    @property
    def limits(self) -> Limits:
        """Those of the connected broker."""
        return self._limits

    @property
    def version(self) -> str:
        """That of MQTT."""
        return "5" if self._version is MQTTProtocolVersion.MQTTv5 else "3.1.1"

    @property
    def max_unacknowledged(self) -> int:
        return self._limits.unacknowledged

    @property
    def seconds_to_attempt(self) -> float | None:
        """Seconds until the next attempt is due; None while connecting or connected."""
        if self._client is not None:
            return None
        return max(0.0, self._next_attempt - self._seconds())

    @property
    def _client_id(self) -> str:
        if self._will_topic is not None:
            return self._own_id
        return f"{self._own_id[: MAX_CLIENT_ID - len(self._guest)]}{self._guest}"

    def settle(self, will_topic: str) -> None:
        """Connect again, with a will and under our own client id."""
        self.close(will=False)
        self._will_topic = will_topic
        self._next_attempt = self._seconds()

    def hurry(self) -> None:
        """Attempt at once, and wait only briefly between attempts from now on: the daemon is
        stopping."""
        self._hurried = True
        self._next_attempt = self._seconds()

    def attempt(self) -> None:
        """Start connecting; the result is posted as a notice."""
        self._attempt = self._new_attempt()
        self._refused = None
        try:
            # Within paho this error would end its thread silently.
            self._settings.host.encode("idna")
        except UnicodeError:
            self._client = None
            self._fail(f"{self._broker} is not reachable (not a valid host name)")
            return
        try:
            # Read again at each attempt, so that a renewed certificate needs no restart.
            client = make_client(self._settings, self._version, self._client_id, retry=False)
        except BadFile as unfit:
            self._client = None
            self._fail(f"{self._broker} can't be connected to: {unfit}")
            return
        client.reconnect_delay_set(0, 0)
        client.connect_timeout = CONNECT_TIMEOUT_SECONDS
        client.max_inflight_messages_set(0)
        will, session = _patience(self._version, self._pace)
        if self._will_topic is not None:
            client.will_set(
                self._will_topic, OFFLINE, self._will_qos, self._will_retain, properties=will
            )
        client.on_connect = self._attempt.on_connect
        client.on_connect_fail = self._attempt.on_connect_fail
        client.on_disconnect = self._attempt.on_disconnect
        client.on_publish = self._attempt.on_publish
        client.on_subscribe = self._attempt.on_subscribe
        client.on_message = self._attempt.on_message
        client.on_log = self._attempt.on_log
        client.connect_async(
            self._settings.host,
            self._settings.port,
            self._pace.keepalive_seconds,
            # A clean start would end the former session and publish its will.
            clean_start=session is None,
            properties=session,
        )
        client.loop_start()
        self._client = client

    def take(self, notice: Accepted | Refused | NotEncrypted | Closed) -> Change | None:
        """Handle a notice; messages may be sent from `up` on, and not after `down`."""
        if notice.attempt != self._attempt.number or self._client is None:
            return None
        match notice:
            case Accepted():
                self._accepted(notice)
                return "up"
            case Refused() | NotEncrypted():
                self._refused = notice
                return None
            case Closed():
                self._client.loop_stop()
                self._client = None
                if self.up:
                    self._lost(notice)
                    return "down"
                self._not_connected(notice)
                return None

    def refusal(self, topic: str, payload: bytes, correlation: bytes | None = None) -> str | None:
        """Why the broker would close the connection at this message; None if it would not."""
        if not topic or "\0" in topic or "+" in topic or "#" in topic:
            return f"{topic!r} is no topic that can be published to"
        limit = self._limits.packet_bytes
        # Fixed header of up to 5 bytes, topic with its length, message number, properties.
        properties_bytes = 1 if correlation is None else 3 + 3 + len(correlation)
        packet_bytes = 5 + 2 + len(topic.encode()) + 2 + properties_bytes + len(payload)
        if limit is not None and packet_bytes > limit:
            return f"it is larger than the {limit:,} bytes that the broker takes"
        return None

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        correlation: bytes | None = None,
    ) -> int:
        """Send a message once; returns the number that its acknowledgement will have.

        `correlation` lets an MQTT 5 requester match the answer; MQTT 3.1.1 has no such thing.
        """
        if self._client is None:
            raise RuntimeError("published without a connection")
        return self._client.publish(
            topic,
            payload,
            qos=min(qos, self._limits.qos),
            retain=retain and self._limits.retain,
            properties=_properties(correlation, self._version),
        ).mid

    def subscribe(
        self, filters: Sequence[str], *, retained: bool, own: bool = False, qos: int = 0
    ) -> int | None:
        """Subscribe, either with `retained` messages or only to new ones of other clients, or also
        to our `own`. With `qos` 0 none is kept for us while we are away, as commands must not be.

        Returns the number that `Subscribed` will have; None if the broker has no wildcards.
        With MQTT 3.1.1, retained and own messages come in any case, and `qos` is 1.
        """
        if self._client is None:
            raise RuntimeError("subscribed without a connection")
        if not self._limits.wildcards:
            return None
        if self._version is MQTTProtocolVersion.MQTTv311:
            return self._client.subscribe([(topic, 1) for topic in filters])[1]
        options = SubscribeOptions(
            qos=qos,
            noLocal=not own,
            retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
            if retained
            else SubscribeOptions.RETAIN_DO_NOT_SEND,
        )
        return self._client.subscribe([(topic, options) for topic in filters])[1]

    def unsubscribe(self, filters: Sequence[str]) -> None:
        if self._client is not None and self._limits.wildcards:
            self._client.unsubscribe(list(filters))

    def cut(self) -> None:
        """End the connection abruptly; `Closed` is posted, and another attempt follows."""
        if self._client is not None:
            _cut(self._client)

    def close(self, *, will: bool) -> None:
        """Disconnect; with `will` abruptly, so that the broker publishes the will `offline`."""
        client, self._client = self._client, None
        attempt, was_up, self._up_since = self._attempt, self.up, None
        if client is None:
            return
        attempt.abandoned = True
        if was_up and will:
            _cut(client)
        else:
            client.disconnect()
            if was_up and not attempt.ended.wait(GOODBYE_SECONDS):
                _cut(client)
        if was_up or attempt.ended.is_set():
            client.loop_stop()
        # Else its thread may hang in the resolver; it disconnects by itself if it gets through.

    def _new_attempt(self) -> Attempt:
        return Attempt(
            next(_numbers),
            self._post,
            encrypted=self._encrypted,
            max_incoming_bytes=self._max_incoming_bytes,
        )

    def _accepted(self, notice: Accepted) -> None:
        self._limits = notice.limits
        self._up_since = self._seconds()
        self._version_proven = True
        self._silent_ends = 0
        after = f" after {self._failures} failed attempts" if self._failures else ""
        if self._short_lives < SHORT_LIVES_BEFORE_WARNING and self._will_topic is not None:
            logger.info("connected to %s with MQTT %s%s", self._broker, self.version, after)
        self._failures = 0
        self.problem = None
        self._said.clear()

    def _lost(self, notice: Closed) -> None:
        lived = self._seconds() - (self._up_since or 0.0)
        self._up_since = None
        self._next_attempt = self._seconds() + _jittered(MIN_RETRY_SECONDS)
        self._short_lives = self._short_lives + 1 if lived < SHORT_LIFE_SECONDS else 0
        if notice.code == _SESSION_TAKEN_OVER:
            self._say(
                f"another program connects to {self._broker} as {self._client_id!r};"
                " give one of the two another mqtt.client_id"
            )
        elif self._short_lives < SHORT_LIVES_BEFORE_WARNING:
            logger.warning(
                "lost the connection to %s (%s); reconnecting, alerts wait",
                self._broker,
                notice.reason,
            )
        elif self._short_lives == SHORT_LIVES_BEFORE_WARNING:
            logger.warning(
                "%s drops the connection again and again soon after it is made (%s);"
                " perhaps another program uses the client id %r too",
                self._broker,
                notice.reason,
                self._client_id,
            )

    def _not_connected(self, closed: Closed) -> None:
        refused = self._refused
        if isinstance(refused, NotEncrypted):
            kind, text = refused.problem.kind, refused.problem.text
            self._fail(
                f"{self._broker} {text}{f'; see {_TLS_KEYS[kind]}' if kind in _TLS_KEYS else ''}",
                retry_seconds=None if kind in ("protocol", "other") else REFUSED_RETRY_SECONDS,
            )
        elif refused is None and closed.code is None:
            self._fail(f"{self._broker} is not reachable ({closed.reason})")
        elif refused is None:
            # A broker that never answered has cost more time than one that closed the connection.
            self._silent_ends += 2 if closed.code == KEEPALIVE_TIMEOUT else 1
            patience = SILENT_ENDS_ONCE_PROVEN if self._version_proven else SILENT_ENDS_AT_FIRST
            if self._silent_ends >= patience:
                self._switch_version()
            guess = _guess(self._settings)
            self._fail(f"{self._broker} does not answer as an MQTT broker ({closed.reason}{guess})")
        elif refused.code == UNSUPPORTED_VERSION:
            self._switch_version()
            self._fail(f"{self._broker} refuses the connection ({refused.reason.lower()})")
        elif refused.code == _RETAIN_NOT_SUPPORTED and self._will_retain:
            self._will_retain = False
            self._next_attempt = self._seconds()
        elif refused.code == _QOS_NOT_SUPPORTED and self._will_qos:
            self._will_qos = 0
            self._next_attempt = self._seconds()
        elif refused.code in WE_ARE_REFUSED:
            self._fail(self._refusal_of_us(refused), retry_seconds=REFUSED_RETRY_SECONDS)
        else:
            self._fail(f"{self._broker} refuses the connection ({refused.reason.lower()})")

    def _refusal_of_us(self, refused: Refused) -> str:
        """A sentence that names the settings by which the broker knows us."""
        reason = _CREDENTIALS_REFUSED.get(refused.code, refused.reason.lower())
        if refused.code in _CREDENTIALS_REFUSED and self._settings.username is not None:
            return (
                f"{self._broker} refuses the user name or password ({reason});"
                " see mqtt.username and mqtt.password"
            )
        return (
            f"{self._broker} refuses the connection ({reason}): it may want an mqtt.username, or"
            f" its access list may not let in the client id {self._client_id!r}, see mqtt.client_id"
        )

    def _fail(self, sentence: str, retry_seconds: float | None = None) -> None:
        self._failures += 1
        self.problem = sentence
        if retry_seconds is None:
            doubled = MIN_RETRY_SECONDS * 2 ** min(self._failures - 1, 10)
            retry_seconds = min(doubled, MIN_RETRY_SECONDS if self._hurried else MAX_RETRY_SECONDS)
        self._next_attempt = self._seconds() + _jittered(retry_seconds)
        self._say(f"{sentence}; retrying, alerts wait")

    def _say(self, sentence: str) -> None:
        """Warn, once per sentence until connected again."""
        if sentence not in self._said:
            self._said.add(sentence)
            logger.warning("%s", sentence)

    def _switch_version(self) -> None:
        self._version = (
            MQTTProtocolVersion.MQTTv311
            if self._version is MQTTProtocolVersion.MQTTv5
            else MQTTProtocolVersion.MQTTv5
        )
        self._version_proven = False
        self._silent_ends = 0


def default_client_id(topic_prefix: str) -> str:
    """One per host and prefix, the same at every start."""
    name = f"streamwatch-{socket.gethostname()}-{topic_prefix}"
    return re.sub(r"[^A-Za-z0-9_-]", "-", name)[:MAX_CLIENT_ID]


def _patience(
    version: MQTTProtocolVersion, pace: Pace
) -> tuple[Properties | None, Properties | None]:
    """The properties of will and session for MQTT 5; None for MQTT 3.1.1."""
    if version is MQTTProtocolVersion.MQTTv311:
        return None, None
    will = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
    will.WillDelayInterval = pace.will_delay_seconds
    session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    session.SessionExpiryInterval = SESSION_SECONDS
    session.MaximumPacketSize = MAX_PACKET_BYTES
    return will, session


def _properties(correlation: bytes | None, version: MQTTProtocolVersion) -> Properties | None:
    if correlation is None or version is MQTTProtocolVersion.MQTTv311:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.CorrelationData = correlation
    return properties


def _guess(settings: MqttSettings) -> str:
    files = settings.tls_files
    if files is None and settings.port == TLS_PORT:
        return "; perhaps it wants mqtt.tls: true"
    if files is not None and files.certificate is None:
        return "; perhaps it wants a client certificate, see mqtt.tls.certificate"
    return ""


def _cut(client: Client) -> None:
    """Close paho's socket, which ends its thread, whatever it still had to send."""
    line = client.socket()
    if isinstance(line, socket.socket):
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)


def _jittered(seconds: float) -> float:
    """Spread reconnects, so that daemons that lost the same broker don't all return at once."""
    return seconds * random.uniform(0.8, 1.2)
