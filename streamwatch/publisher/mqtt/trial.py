"""Tries a broker once, for `check --connect`: whether it lets us in, and what it lets us do.

A message on `P/check`, which is not retained, has to come back through a subscription to `P/#`.
What brokers do where that is not allowed differs. mosquitto 2.0 grants each subscription, and then
holds messages back; a message that it drops it refuses with MQTT 5, while with MQTT 3.1.1 it
acknowledges that, and then closes the connection.
"""

from __future__ import annotations

import queue
import time
import uuid

from streamwatch.config import MqttSettings
from streamwatch.publisher.contract.topics import Topics
from streamwatch.publisher.mqtt.attempt import (
    Accepted,
    Acknowledged,
    Arrived,
    Closed,
    NotEncrypted,
    Notice,
    Refused,
    Subscribed,
)
from streamwatch.publisher.mqtt.connection import (
    CHECKING,
    SILENT_ENDS_AT_FIRST,
    UNSUPPORTED_VERSION,
    Connection,
)

CONNECT_SECONDS = 25.0
"""How long connecting may take: a broker that answers to neither version takes two patiences."""
MOST_ATTEMPTS = SILENT_ENDS_AT_FIRST + 1
"""Until a broker that answers nothing was tried with the other version of MQTT too."""
ANSWER_SECONDS = 5.0
"""How long the broker may take to acknowledge a subscription or a message."""
RETURN_SECONDS = 2.0
"""How long a message that the broker has acknowledged may take to come back."""


def try_broker(settings: MqttSettings) -> tuple[list[str], list[str]]:
    """What was found and what is wrong, each in sentences. Takes half a minute at most."""
    trial = BrokerTrial(settings)
    try:
        return trial.run()
    finally:
        trial.connection.close(will=False)


class BrokerTrial:
    """A connection of its own, without a will, under a client id of its own."""

    def __init__(self, settings: MqttSettings) -> None:
        self._broker = f"broker {settings.address}"
        self._topics = Topics(settings.topic_prefix)
        self._notices: queue.SimpleQueue[Notice] = queue.SimpleQueue()
        self.connection = Connection(
            settings, None, post=self._notices.put, seconds=time.monotonic, guest=CHECKING
        )

    def run(self) -> tuple[list[str], list[str]]:
        problem = self._connect()
        if problem is not None:
            return [], [problem]
        found = [f"{self._broker}: connected with MQTT {self.connection.version}"]
        if (limit := self.connection.limits.packet_bytes) is not None:
            found.append(f"{self._broker} takes messages of up to {limit:,} bytes")
        wrong = [*self.connection.shortcomings]
        refusal = self._exchange()
        if refusal is None:
            found.append(
                f"{self._broker}: a message on {self._topics.check} came back; on other topics its"
                " access list may say otherwise"
            )
        else:
            wrong.append(refusal)
        return found, wrong

    def _connect(self) -> str | None:
        """Why it can't be; None once it is up."""
        deadline = time.monotonic() + CONNECT_SECONDS
        for _ in range(MOST_ATTEMPTS):
            wait = self.connection.seconds_to_attempt or 0.0
            if wait >= deadline - time.monotonic():
                break
            time.sleep(wait)
            if self._is_decided(deadline):
                break
        if self.connection.up:
            return None
        return self.connection.problem or f"{self._broker} does not answer"

    def _is_decided(self, deadline: float) -> bool:
        """Attempt to connect; whether it is up, or another version of MQTT would not do either."""
        self.connection.attempt()
        is_decided = self.connection.seconds_to_attempt is not None  # nothing could be sent
        while self.connection.seconds_to_attempt is None and not self.connection.up:
            notice = self._next(deadline)
            match notice:
                case None:
                    return True
                case Refused(code=code):
                    is_decided = code != UNSUPPORTED_VERSION
                case NotEncrypted() | Closed(code=None):
                    is_decided = True
            if isinstance(notice, Accepted | Refused | NotEncrypted | Closed):
                self.connection.take(notice)
        return is_decided or self.connection.up

    def _exchange(self) -> str | None:
        """Subscribe, and send a message that has to come back; what is wrong, in a sentence."""
        below = f"{self._topics.prefix}/#"
        subscription = self.connection.subscribe([below], retained=False, own=True)
        if subscription is None:
            return f"{self._broker} knows no wildcards: no commands are received"
        deadline = time.monotonic() + ANSWER_SECONDS
        while (notice := self._next(deadline)) is not None:
            match notice:
                case Subscribed(subscription=number, refusal=refusal) if number == subscription:
                    if refusal is None:
                        return self._sent_and_returned()
                    return (
                        f"{self._broker} does not let us subscribe to {below}"
                        f" ({refusal.lower()}): its access list has to let us read there"
                    )
                case Closed(reason=reason):
                    return (
                        f"{self._broker} closes the connection ({reason}) where we subscribe to"
                        f" {below}: its access list has to let us read there"
                    )
        return f"{self._broker} does not answer to a subscription to {below}"

    def _sent_and_returned(self) -> str | None:
        topic, payload = self._topics.check, uuid.uuid4().hex.encode()
        message = self.connection.publish(topic, payload, qos=1, retain=False)
        is_taken = False
        deadline = time.monotonic() + ANSWER_SECONDS
        while (notice := self._next(deadline)) is not None:
            match notice:
                case Arrived(payload=arrived) if arrived == payload:
                    return None
                case Acknowledged(message=number, refusal=refusal) if number == message:
                    if refusal is not None:
                        return (
                            f"{self._broker} takes no message on {topic} ({refusal.lower()}): its"
                            " access list has to let us write there"
                        )
                    is_taken, deadline = True, time.monotonic() + RETURN_SECONDS
                case Closed(reason=reason):
                    return (
                        f"{self._broker} closes the connection ({reason}) at a message on {topic}:"
                        " its access list has to let us write there"
                    )
        if not is_taken:
            return f"{self._broker} does not acknowledge a message on {topic}"
        missing = (
            f"read {self._topics.prefix}/#"
            if self.connection.version == "5"
            else f"read and write {self._topics.prefix}/#; MQTT 3.1.1 does not say what is missing"
        )
        return (
            f"{self._broker} took a message on {topic} and did not give it back: its access list"
            f" has to let us {missing}"
        )

    def _next(self, deadline: float) -> Notice | None:
        """The next notice; None where none comes until then."""
        try:
            notice = self._notices.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return None
        if isinstance(notice, Closed) and self.connection.up:
            self.connection.take(notice)
        return notice
