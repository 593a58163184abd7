"""Asks a broker for all that the daemon will want of it, for `doctor`.

Beyond what `BrokerTrial` does it sends an empty message to a topic of each kind, with `CHECK` in
place of the names of camera and watch, which are lower case: nobody's. Nothing stays at the broker:
where the daemon's message is retained this one is too, and an empty one leaves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from streamwatch.config import MqttSettings
from streamwatch.publisher.contract.topics import Topics
from streamwatch.publisher.homeassistant_discovery import Discovery
from streamwatch.publisher.mqtt.attempt import Acknowledged, Closed, Limits, Subscribed
from streamwatch.publisher.mqtt.trial import ANSWER_SECONDS, BrokerTrial

NOBODY = "CHECK"
SILENT, CLOSES = "no answer", "it closes the connection"


@dataclass(frozen=True, slots=True)
class Survey:
    """What a broker answers.

    `problem` is why it can't be used at all, in a sentence, and then the rest is empty; `version`
    that of MQTT. `wrong` are further sentences. `refused` are the topics that it takes no message
    on, or no subscription to, each with its reason; None where that can't be told, as with MQTT
    3.1.1, and `allowed` those where it does.
    """

    problem: str | None
    version: str = ""
    limits: Limits = field(default_factory=Limits)
    wrong: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    refused: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class _Message:
    topic: str
    retain: bool


def survey_broker(settings: MqttSettings, *, clips: bool) -> Survey:
    """With `clips`, also for what tells of them. Takes half a minute where the broker does not
    answer, and 5 s a topic at worst."""
    trial = _Surveying(settings, clips)
    try:
        return trial.survey()
    finally:
        trial.connection.close(will=False)


class _Surveying(BrokerTrial):
    def __init__(self, settings: MqttSettings, clips: bool) -> None:
        super().__init__(settings)
        self._settings = settings
        self._clips = clips

    def survey(self) -> Survey:
        problem = self._connect()
        if problem is not None:
            return Survey(problem)
        version, limits = self.connection.version, self.connection.limits
        wrong = [*self.connection.shortcomings]
        refusal = self._exchange()
        if refusal is not None:
            wrong.append(refusal)
        if version != "5" or limits.qos < 1:
            return Survey(None, version, limits, tuple(wrong))
        allowed: list[str] = []
        refused: dict[str, str] = {}
        for topic, reason in self._rights():
            if reason is None:
                allowed.append(topic)
            else:
                refused[topic] = reason
        return Survey(None, version, limits, tuple(wrong), tuple(allowed), refused)

    def _rights(self) -> Iterator[tuple[str, str | None]]:
        """Each topic, and why it is refused; ends where the connection does not come back."""
        topics, settings = self._topics, self._settings
        sends: list[tuple[str, Callable[[], int | None]]] = [
            (
                message.topic,
                partial(self.connection.publish, message.topic, b"", qos=1, retain=message.retain),
            )
            for message in messages(settings, clips=self._clips)
        ]
        filters = [topics.commands] if settings.commands else []
        if settings.discovery_prefix is not None:
            filters.append(Discovery(topics, settings.discovery_prefix, False).birth_topic)
        for topic in filters:
            sends.append((topic, partial(self.connection.subscribe, [topic], retained=False)))
        for topic, send in sends:
            refusal = self._refusal(send)
            yield topic, refusal
            if refusal == SILENT or (not self.connection.up and refusal != CLOSES):
                return

    def _refusal(self, send: Callable[[], int | None]) -> str | None:
        """Why the broker refuses what `send` sends; None if it does not.

        Some, as mosquitto 2.0.11, close the connection after each refusal, so it is made anew and
        asked again where that may have been for an earlier one.
        """
        for _ in range(2):
            is_new = not self.connection.up
            if is_new:
                self.connection.hurry()
                problem = self._connect()
                if problem is not None:
                    return problem
            sent = send()
            if sent is None:
                return None  # no wildcards, which is told
            answer = self._answer_to(sent)
            if not isinstance(answer, Closed):
                return answer
            if is_new:
                break
        return CLOSES

    def _answer_to(self, sent: int) -> str | Closed | None:
        """Why it is refused, None if it is not; or how the connection was lost."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while (notice := self._next(deadline)) is not None:
            if notice.attempt != self.connection.number:
                continue
            match notice:
                case Closed():
                    return notice
                case Acknowledged(message=number) | Subscribed(subscription=number) if (
                    number == sent
                ):
                    return None if notice.refusal is None else notice.refusal.lower()
        return SILENT


def messages(settings: MqttSettings, *, clips: bool) -> list[_Message]:
    """One of each kind that the daemon sends with these settings."""
    topics = Topics(settings.topic_prefix)
    found = [
        _Message(topics.event(NOBODY, NOBODY), False),
        _Message(topics.state(NOBODY, NOBODY), True),
        _Message(topics.snapshot(NOBODY, NOBODY), True),
        _Message(topics.camera_status(NOBODY), True),
    ]
    if clips:
        found.append(_Message(topics.clip(NOBODY, NOBODY), False))
    if settings.commands:
        found.append(_Message(topics.result(NOBODY), False))
    if settings.discovery_prefix is not None:
        discovery = Discovery(topics, settings.discovery_prefix, settings.commands)
        found.append(_Message(discovery.topic_of(NOBODY), True))
    return found
