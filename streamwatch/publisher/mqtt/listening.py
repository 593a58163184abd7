"""Subscriptions: commands, Home Assistant's birth message, and topics left by the previous run."""

from __future__ import annotations

import logging
from collections.abc import Callable

from streamwatch.config import MqttSettings
from streamwatch.logs import Seldom
from streamwatch.publisher.contract.payloads import encode
from streamwatch.publisher.contract.requests import Command, answer_fields, answers, understood
from streamwatch.publisher.contract.topics import Topics
from streamwatch.publisher.homeassistant_announcer import Announcer
from streamwatch.publisher.homeassistant_discovery import BIRTH, Discovery
from streamwatch.publisher.mqtt.answers import Answers
from streamwatch.publisher.mqtt.attempt import Arrived, Subscribed
from streamwatch.publisher.mqtt.connection import Connection
from streamwatch.publisher.mqtt.delivery import Delivery
from streamwatch.publisher.mqtt.sweep import Declared, Sweep, filters, is_left_over

logger = logging.getLogger(__name__)


class Listening:
    """Subscribes and handles what arrives. Not thread-safe: the publisher's thread owns it.

    `on_command` is called with each command while `mqtt.commands` is true, and must not block.
    `drop` is called for each that can't be answered, since too many answers wait to be sent;
    `complain` is called with a sentence if commands can't be received.
    """

    def __init__(
        self,
        mqtt: MqttSettings,
        delivery: Delivery,
        answers: Answers,
        announcer: Announcer,
        on_command: Callable[[Command], None] | None,
        *,
        drop: Callable[[], None],
        complain: Callable[[str], None],
        seconds: Callable[[], float],
    ) -> None:
        self._mqtt = mqtt
        self._topics = Topics(mqtt.topic_prefix)
        self._delivery = delivery
        self._answers = answers
        self._announcer = announcer
        self._on_command = on_command
        self._drop = drop
        self._complain = complain
        self._seconds = seconds
        self._connection: Connection | None = None
        self._subscription: int | None = None
        self._sweep = Sweep(seconds)
        self._declared: Declared | None = None
        self._say_cleared = Seldom(logger, logging.INFO)
        announcer.use(self._discovery)

    @property
    def seconds_to_turn(self) -> float | None:
        """Seconds until `turn` has something to do; None while it has nothing."""
        return self._sweep.seconds_left

    @property
    def is_sweeping(self) -> bool:
        return self._sweep.under_way

    def turn(self) -> None:
        """End the sweep once nothing more is found."""
        if self._sweep.seconds_left == 0 and self._connection is not None:
            self._sweep.end()
            self._connection.unsubscribe(self._swept)

    def connected(self, connection: Connection) -> None:
        self._connection = connection
        self._listen_for_commands()
        self._listen_for_births()
        self._begin_sweep()

    def lost(self) -> None:
        self._connection = None
        self._sweep.interrupt()

    def moved(self, mqtt: MqttSettings) -> None:
        """While disconnected: the next connection is to another broker or prefix."""
        self.lost()
        self._mqtt = mqtt
        self._topics = Topics(mqtt.topic_prefix)
        self._sweep = Sweep(self._seconds)
        self._announcer.use(self._discovery)

    def change(self, mqtt: MqttSettings) -> None:
        """Settings changed that need no new connection: commands or discovery switched on or
        off."""
        listened, self._mqtt = self._wants_commands, mqtt
        if listened and not self._wants_commands and self._connection is not None:
            self._connection.unsubscribe([self._topics.commands])
        elif not listened:
            self._listen_for_commands()
        self._change_discovery()

    def declare(self, declared: Declared) -> None:
        """Set what exists; the first time, anything else found on the broker is cleared."""
        self._declared = declared
        self._begin_sweep()

    def subscribed(self, notice: Subscribed) -> None:
        if notice.subscription == self._subscription and notice.refusal is not None:
            self._complain_of(notice.refusal.lower())

    def arrived(self, arrived: Arrived) -> None:
        if arrived.retained:
            if self._sweep.under_way:
                self._sweep.go_on()
                self._take_left_over(arrived)
            return
        discovery = self._announcer.discovery
        if discovery is not None and arrived.topic == discovery.birth_topic:
            if arrived.payload == BIRTH:
                self._announcer.ask_to_repeat()
            return
        if self._on_command is None or not self._mqtt.commands:
            return
        if not arrived.topic.startswith(self._topics.commands.removesuffix("/#")):
            return  # MQTT 3.1.1 sends our own messages back to us during a sweep
        if self._answers.full:
            self._drop()
            return
        command = understood(arrived, self._topics)
        if isinstance(command, Command):
            self._on_command(command)
            return
        payload = encode(answer_fields(None, ok=False, message=command.message))
        self._answers.give(answers(self._topics, command.reply, command.verb, payload))

    @property
    def _wants_commands(self) -> bool:
        return self._mqtt.commands and self._on_command is not None

    def _listen_for_commands(self) -> None:
        if self._connection is None or not self._wants_commands:
            return
        # Commands retained or queued before now are outdated.
        self._subscription = self._connection.subscribe([self._topics.commands], retained=False)
        if self._subscription is None:
            self._complain_of("it knows no wildcards")

    def _complain_of(self, reason: str) -> None:
        self._complain(
            f"the broker does not let us subscribe to {self._topics.commands} ({reason}):"
            " no commands are received"
        )

    @property
    def _discovery(self) -> Discovery | None:
        prefix = self._mqtt.discovery_prefix
        return None if prefix is None else Discovery(self._topics, prefix, self._mqtt.commands)

    def _change_discovery(self) -> None:
        before, now = self._announcer.discovery, self._discovery
        if before == now:
            return
        self._announcer.use(now)
        if self._connection is None:
            return
        if before is not None:
            self._connection.unsubscribe([before.birth_topic])
        self._listen_for_births()
        self._sweep = Sweep(self._seconds)
        self._begin_sweep()

    def _listen_for_births(self) -> None:
        """If the subscription is refused, Home Assistant still finds the retained messages."""
        discovery = self._announcer.discovery
        if discovery is not None and self._connection is not None:
            self._connection.subscribe([discovery.birth_topic], retained=False)

    @property
    def _swept(self) -> tuple[str, ...]:
        discovery = self._announcer.discovery
        return filters(self._topics) + (() if discovery is None else discovery.filters)

    def _begin_sweep(self) -> None:
        # The embedded broker keeps nothing after a restart.
        if self._declared is None or self._connection is None or self._mqtt.embedded:
            return
        if self._sweep.begin():
            self._connection.subscribe(self._swept, retained=True)

    def _take_left_over(self, arrived: Arrived) -> None:
        topic, discovery = arrived.topic, self._announcer.discovery
        if discovery is not None and discovery.owns(topic):
            self._announcer.found(topic, arrived.payload or b"")
            return
        if self._declared is None or self._delivery.retains(topic):
            return
        if is_left_over(topic, self._topics, self._declared):
            self._say_cleared("clearing %s: there is nothing of that name any more", topic)
            self._delivery.clear(topic)
