"""Commands over MQTT as they arrive, and where their answers go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streamwatch.publisher.contract.topics import Topics
from streamwatch.publisher.mqtt.attempt import MAX_INCOMING_BYTES, Arrived
from streamwatch.publisher.mqtt.steps import Message


@dataclass(frozen=True, slots=True)
class Reply:
    """Response topic and correlation data of an MQTT 5 request; None for MQTT 3.1.1."""

    topic: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A command, not parsed yet: `verb` is what follows `P/command/`, and may be anything."""

    verb: str
    payload: bytes
    reply: Reply


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that is refused without being parsed."""

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
    """An answer as messages, for each topic where the requester may wait for it."""
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
    """Why no answer is sent to a response topic; None if one is.

    A client that may only send commands must not make us publish a false alert, state or command.
    """
    if topic is None:
        return None
    if not topic or topic.startswith("$") or any(char in topic for char in "+#\0"):
        return "the response topic is no topic that can be published to"
    ours = topic == topics.prefix or topic.startswith(f"{topics.prefix}/")
    if ours and not topic.startswith(f"{topics.result('')}/"):
        return f"the response topic must not lie in {topics.prefix}, but in {topics.result('')}"
    return None
