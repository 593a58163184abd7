"""Whether the broker lets us in, what it limits, and what its access list allows."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from streamwatch.config import Config, MqttSettings
from streamwatch.doctor.check import Check, Installation
from streamwatch.doctor.disk import size
from streamwatch.publisher import Survey, survey_broker

AREA = "broker"
LARGE_PICTURE_BYTES, SMALL_PICTURE_BYTES = 1_000_000, 100_000
"""What a JPEG of 1920x1080 has at most, and one of 640x360."""
EVENT_BYTES = 8_000
"""A message without a picture that is larger than this is rare."""
FEW_UNACKNOWLEDGED = 5
RIGHTS = "Who may do what, in docs/mqtt.md, has a list that works"


def checks(case: Installation) -> Iterator[Check]:
    if case.config is None:
        return
    mqtt = case.config.mqtt
    if mqtt.embedded:
        yield _inside(case, mqtt)
    else:
        clips = any(watch.clip for watch in case.config.watches.values())
        yield from told(case.config, survey_broker(mqtt, clips=clips))


def _inside(case: Installation, mqtt: MqttSettings) -> Check:
    if case.running is not None:
        broker = case.running["broker"]
        is_up = broker["connected"]
        said = f"inside the daemon, at {broker['address']}"
        do = None if is_up else "the log of the daemon tells why it is not connected"
        return Check(AREA, "", is_up, said, do)
    try:
        socket.create_server(("127.0.0.1", mqtt.port)).close()
    except OSError as error:
        said = f"inside the daemon, and its port {mqtt.port} is not free ({error.strerror})"
        do = "write another mqtt.port, or 0 for any free one"
        return Check(AREA, "", False, said, do)
    return Check(AREA, "", True, "inside the daemon, and starts with it")


def told(config: Config, survey: Survey) -> Iterator[Check]:
    """What is well and what is not of a broker's answers."""
    mqtt = config.mqtt
    if survey.problem is not None:
        said = survey.problem.removeprefix(f"broker {mqtt.address} ")
        yield Check(AREA, mqtt.address, False, said, _remedy(mqtt, said))
        return
    tls = "encrypted" if mqtt.tls_files is not None else "not encrypted"
    who = "without a login" if mqtt.username is None else f"as {mqtt.username}"
    yield Check(AREA, mqtt.address, True, f"MQTT {survey.version}, {tls}, {who}")
    yield from _limits(config, survey)
    for sentence in survey.wrong:
        said = sentence.removeprefix(f"broker {mqtt.address} ").removeprefix(
            f"broker {mqtt.address}: "
        )
        yield Check(AREA, "", False, said, _shortcoming(said))
    yield from _rights(mqtt, survey)


def _remedy(mqtt: MqttSettings, said: str) -> str:
    if "password" in said or "username" in said:
        return "correct mqtt.username and mqtt.password, or the broker's list of users"
    if "certificate" in said or "mqtt.tls" in said:
        return "correct mqtt.tls, or the broker's certificate"
    return f"see that a broker runs at {mqtt.host}, and that mqtt.host and mqtt.port are right"


def _shortcoming(said: str) -> str:
    if "access list" in said:
        return RIGHTS
    if "QoS" in said:
        return "allow QoS 1 at the broker (mosquitto: max_qos)"
    if "retains" in said:
        return "let the broker retain messages (mosquitto: retain_available)"
    return "see the broker's log"


def _limits(config: Config, survey: Survey) -> Iterator[Check]:
    limits = survey.limits
    has_pictures = any(watch.snapshot for watch in config.watches.values() if watch.enabled)
    raise_it = "raise it at the broker (mosquitto: max_packet_size)"
    if survey.version != "5":
        yield Check(AREA, "", None, "what it limits can't be told with MQTT 3.1.1")
    elif limits.packet_bytes is None:
        yield Check(AREA, "", True, "no limit on the size of messages")
    else:
        said = f"takes messages of up to {size(limits.packet_bytes)}"
        if limits.packet_bytes < EVENT_BYTES:
            yield Check(AREA, "", False, f"{said}: too little for alerts", raise_it)
        elif has_pictures and limits.packet_bytes < SMALL_PICTURE_BYTES:
            yield Check(AREA, "", False, f"{said}: too little for pictures", raise_it)
        elif has_pictures and limits.packet_bytes < LARGE_PICTURE_BYTES:
            said += ": too little for pictures of large cameras, which are left out then"
            yield Check(AREA, "", None, said, raise_it)
        else:
            yield Check(AREA, "", True, said)
    if limits.unacknowledged < FEW_UNACKNOWLEDGED:
        said = f"takes {limits.unacknowledged} at a time: a backlog takes longer"
        yield Check(AREA, "", None, said, "raise it (mosquitto: max_inflight_messages)")


def _rights(mqtt: MqttSettings, survey: Survey) -> Iterator[Check]:
    if survey.refused is None:
        if not survey.wrong:
            yield Check(AREA, "", None, "its access list can't be told beyond that")
        return
    for topic, reason in survey.refused.items():
        yield Check(AREA, "", False, f"refuses {topic} ({reason})", RIGHTS)
    if survey.allowed and not survey.refused:
        kinds = ", ".join(dict.fromkeys(_kind(mqtt, topic) for topic in survey.allowed))
        yield Check(AREA, "", True, f"its access list allows {kinds}")


def _kind(mqtt: MqttSettings, topic: str) -> str:
    """The first level below the prefix: `events`; of another prefix that itself."""
    below = topic.removeprefix(f"{mqtt.topic_prefix}/")
    return below.split("/")[0] if below != topic else topic.split("/")[0]
