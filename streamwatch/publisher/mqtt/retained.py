"""The newest message of each retained topic, and the topics to be cleared."""

from __future__ import annotations

from collections.abc import Iterator

from streamwatch.publisher.mqtt.steps import Clearing, Kind, Message, Retained

ORDER: tuple[Kind, ...] = (
    *("status", "info", "owner", "camera", "visits", "state", "discovery", "snapshot"),
)
"""In which they are sent after a connect."""


class RetainedMessages:
    """What every connect sends again. Not thread-safe."""

    def __init__(self) -> None:
        self._newest: dict[Kind, dict[str, Message]] = {kind: {} for kind in ORDER}
        self._clearings: dict[str, Clearing] = {}

    def __contains__(self, topic: str) -> bool:
        return any(topic in messages for messages in self._newest.values())

    def __iter__(self) -> Iterator[Retained]:
        for kind, messages in self._newest.items():
            yield from (Retained(kind, message) for message in messages.values())

    @property
    def status(self) -> tuple[Retained, ...]:
        """The first of each connection."""
        return tuple(Retained("status", message) for message in self._newest["status"].values())

    @property
    def clearings(self) -> tuple[Clearing, ...]:
        return tuple(self._clearings.values())

    def keep(self, kind: Kind, message: Message) -> Retained:
        """Replace the former message of its topic; the step that sends it."""
        self._newest[kind][message.topic] = message
        self._clearings.pop(message.topic, None)
        return Retained(kind, message)

    def clear(self, topic: str) -> Clearing:
        """Forget the topic's message; the step that clears it."""
        for messages in self._newest.values():
            messages.pop(topic, None)
        self._clearings[topic] = Clearing(topic)
        return self._clearings[topic]

    def drop(self, topic: str) -> None:
        """Forget the topic's message, and leave what the broker has."""
        for messages in self._newest.values():
            messages.pop(topic, None)
        self._clearings.pop(topic, None)

    def was_cleared(self, topic: str) -> None:
        self._clearings.pop(topic, None)

    def is_newest(self, step: Retained) -> bool:
        return self._newest[step.kind].get(step.message.topic) == step.message

    def below(self, prefix: str) -> tuple[Clearing, ...]:
        """The steps that clear all topics below a prefix."""
        return tuple(
            Clearing(topic)
            for messages in self._newest.values()
            for topic in messages
            if topic.startswith(f"{prefix}/")
        )

    def move(self, before: str, now: str, *, same_broker: bool, cleared: bool) -> None:
        """See `Delivery.move`."""
        old = self.below(before) if before != now else ()
        if not same_broker:
            self._clearings.clear()
        elif not cleared:
            self._clearings |= {step.topic: step for step in old}
        for kind, messages in self._newest.items():
            self._newest[kind] = {
                new.topic: new for new in (each.moved(before, now) for each in messages.values())
            }
