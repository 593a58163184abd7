"""What is asked of the daemon over MQTT, and where its answer may go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streamwatch.publisher.contract.topics import Topics
from streamwatch.publisher.mqtt.attempt import MAX_INCOMING_BYTES, Arrived
from streamwatch.publisher.mqtt.delivery import Message


@dataclass(frozen=True, slots=True)
class Reply:
    """Where an answer goes besides `P/result/<verb>`, and what tells the request: MQTT 5 alone."""

    topic: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A message as it came: `verb` is what followed `P/command/`, and may be anything."""

    verb: str
    payload: bytes
    reply: Reply


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that is not even looked into."""

    verb: str
    reply: Reply
    message: str


def understood(arrived: Arrived, topics: Topics) -> Command | Rejected:
    verb = topics.verb(arrived.topic)
    refusal = _refusal(arrived.response_topic, topics)
    if refusal is not None:
        return Rejected(verb, Reply(None, arrived.correlation), refusal)
    reply = Reply(arrived.response_topic, arrived.correlation)
    if arrived.payload is None:
        return Rejected(verb, reply, f"a command has at most {MAX_INCOMING_BYTES:,} bytes")
    return Command(verb, arrived.payload, reply)


def answers(topics: Topics, reply: Reply, verb: str, payload: bytes) -> Iterator[Message]:
    """An answer, once for each topic where somebody may wait for it."""
    yield Message(topics.result(verb), payload, reply.correlation)
    if reply.topic is not None and reply.topic != topics.result(verb):
        yield Message(reply.topic, payload, reply.correlation)


def answer_fields(
    id: str | int | float | None,
    *,
    ok: bool,
    message: str | None = None,
    result: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": id, "ok": ok}
    if message is not None:
        fields["message"] = message
    if result is not None:
        fields["result"] = result
    return fields


def _refusal(topic: str | None, topics: Topics) -> str | None:
    """Why no answer goes to a requester's response topic, None if it does.

    Who may only send commands must not have us forge an alert, a state or another command.
    """
    if topic is None:
        return None
    if not topic or topic.startswith("$") or any(char in topic for char in "+#\0"):
        return "the response topic is no topic that can be published to"
    ours = topic == topics.prefix or topic.startswith(f"{topics.prefix}/")
    if ours and not topic.startswith(f"{topics.result('')}/"):
        return f"the response topic must not lie in {topics.prefix}, but in {topics.result('')}"
    return None
