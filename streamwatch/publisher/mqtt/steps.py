"""What can be sent: messages, and the steps of their delivery."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["status", "info", "owner", "camera", "visits", "state", "discovery", "snapshot"]
"""Of a retained message."""


@dataclass(frozen=True, slots=True)
class Message:
    """`correlation` belongs to an answer, and repeats the request's."""

    topic: str
    payload: bytes
    correlation: bytes | None = None

    def moved(self, before: str, now: str) -> Message:
        """The same message under the prefix `now` instead of `before`."""
        below = self.topic.removeprefix(f"{before}/")
        return self if below == self.topic else replace(self, topic=f"{now}/{below}")


@dataclass(frozen=True, slots=True)
class Retained:
    kind: Kind
    message: Message


@dataclass(frozen=True, slots=True)
class Report:
    message: Message


@dataclass(frozen=True, slots=True)
class Alert:
    """An event by its number in the outbox; its payload is made when it is sent."""

    number: int


@dataclass(frozen=True, slots=True)
class Clearing:
    """An empty retained message, which clears what the broker retains for a topic."""

    topic: str


@dataclass(frozen=True, slots=True)
class Answer:
    message: Message


Step = Retained | Report | Alert | Clearing | Answer
