"""What `doctor` finds out of real brokers with access lists and limits."""

from __future__ import annotations

import pytest

from streamwatch.config import Config
from streamwatch.doctor import Check
from streamwatch.doctor.broker import checks
from streamwatch.doctor.check import Installation
from tests.parts import free_port
from tests.parts.mosquitto import Mosquitto, StartMosquitto, Subscriber

pytestmark = pytest.mark.slow(seconds=10)

PASSWORD = "correct-horse"


def config(port: int, **mqtt: object) -> Config:
    return Config.model_validate(
        {
            "mqtt": {
                "host": "127.0.0.1",
                "port": port,
                "username": "us",
                "password": PASSWORD,
                **mqtt,
            },
            "detector": {"model": "toybox"},
            "cameras": {"street": {"url": "bundled:street"}},
            "watches": {"car": {"prompt": "red car"}},
        }
    )


def answers(config: Config) -> list[Check]:
    return list(checks(Installation(None, config, None, None)))


def told(config: Config) -> list[tuple[bool | None, str]]:
    return [(check.ok, check.said) for check in answers(config)]


def test_all_is_well_and_nothing_stays(start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto(users={"us": PASSWORD})
    with Subscriber(broker.port, username="us", password=PASSWORD) as subscriber:
        subscriber.publish("streamwatch/status", "online", retain=True)
        subscriber.publish("streamwatch/state/street/car", "ON", retain=True)
    with Subscriber(broker.port, username="us", password=PASSWORD) as subscriber:
        assert told(config(broker.port, commands=True, homeassistant=True)) == [
            (True, "MQTT 5, not encrypted, as us"),
            (True, "no limit on the size of messages"),
            (
                True,
                "its access list allows events, state, snapshot, cameras, result, homeassistant,"
                " command",
            ),
        ]
        subscriber.publish("last")
        subscriber.wait_for(lambda messages: messages[-1].topic == "last")
        sent = [message for message in subscriber.received if b"online" not in message.payload]
        names = {message.topic for message in sent if not message.retain}
        assert names == {
            "streamwatch/check",
            "streamwatch/events/CHECK/CHECK",
            "streamwatch/state/CHECK/CHECK",
            "streamwatch/snapshot/CHECK/CHECK",
            "streamwatch/cameras/CHECK/status",
            "streamwatch/result/CHECK",
            "homeassistant/device/streamwatch/CHECK/config",
            "last",
        }
        assert all(not m.payload for m in sent if "CHECK" in m.topic)
    with Subscriber(broker.port, username="us", password=PASSWORD) as subscriber:
        subscriber.publish("last")
        subscriber.wait_for(lambda messages: messages[-1].topic == "last")
        assert [message.topic for message in subscriber.received] == [
            "streamwatch/status",
            "streamwatch/state/street/car",
            "last",
        ]


def test_what_the_access_list_forbids_is_told_by_topic(start_mosquitto: StartMosquitto) -> None:
    acl = (
        "user us\ntopic read streamwatch/#\ntopic write streamwatch/check\n"
        "topic write streamwatch/events/#\n"
    )
    broker = start_mosquitto(users={"us": PASSWORD}, acl=acl)
    settings = config(broker.port)
    watches = {"car": settings.watches["car"].model_copy(update={"clip": True})}
    settings = settings.model_copy(update={"watches": watches})
    faults = [check for check in answers(settings) if check.ok is False]
    assert [check.said for check in faults] == [
        "refuses streamwatch/state/CHECK/CHECK (not authorized)",
        "refuses streamwatch/snapshot/CHECK/CHECK (not authorized)",
        "refuses streamwatch/cameras/CHECK/status (not authorized)",
        "refuses streamwatch/clips/CHECK/CHECK (not authorized)",
    ]
    assert {check.do for check in faults} == {
        "Who may do what, in docs/mqtt.md, has a list that works"
    }


@pytest.mark.parametrize(
    ("bytes_", "ok", "told_"),
    [
        (2000, False, "takes messages of up to 2 KB: too little for alerts"),
        (50_000, False, "takes messages of up to 50 KB: too little for pictures"),
        (300_000, None, "too little for pictures of large cameras"),
        (5_000_000, True, "takes messages of up to 5 MB"),
    ],
)
def test_the_largest_message(
    start_mosquitto: StartMosquitto, bytes_: int, ok: bool | None, told_: str
) -> None:
    broker = start_mosquitto(max_packet_size=bytes_)
    (check,) = (c for c in answers(config(broker.port)) if "messages" in c.said)
    assert (check.ok, told_ in check.said) == (ok, True), check


def test_what_the_broker_lacks(start_mosquitto: StartMosquitto) -> None:
    lacking = ["max_qos 0", "retain_available false", "max_inflight_messages 1"]
    broker = start_mosquitto(lacking=lacking)
    said = told(config(broker.port))
    assert [text.partition(":")[0] for ok, text in said if ok is False] == [
        "takes messages of QoS 0 only",
        "retains no messages",
    ]
    assert (None, "takes 1 at a time: a backlog takes longer") in said


def test_a_wrong_password_is_told_without_it(start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto(users={"us": "another"})
    (check,) = answers(config(broker.port))
    assert check == Check(
        "broker",
        f"127.0.0.1:{broker.port}",
        False,
        "refuses the user name or password (not authorised); see mqtt.username and mqtt.password",
        "correct mqtt.username and mqtt.password, or the broker's list of users",
    )


def test_no_broker() -> None:
    port = free_port()
    (check,) = answers(config(port))
    assert (check.ok, check.said) == (False, "is not reachable (connection refused)")
    assert check.do == (
        "see that a broker runs at 127.0.0.1, and that mqtt.host and mqtt.port are right"
    )


def test_the_port_of_a_broker_inside_is_taken(mosquitto: Mosquitto) -> None:
    inside = {"embedded": True, "username": None, "password": None}
    (check,) = answers(config(mosquitto.port, **inside))
    assert (check.ok, check.do) == (False, "write another mqtt.port, or 0 for any free one")
    (check,) = answers(config(0, **inside))
    assert (check.ok, check.said) == (True, "inside the daemon, and starts with it")
