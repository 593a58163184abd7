"""What `check --connect` finds out of real brokers with passwords, access lists and limits."""

from __future__ import annotations

import socket

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from streamwatch.config.sections.mqtt import MqttSettings
from streamwatch.publisher import try_broker
from streamwatch.publisher.mqtt import trial
from tests.parts import free_port
from tests.parts.certificates import Authority
from tests.parts.mosquitto import Mosquitto, StartMosquitto, Subscriber
from tests.parts.mqtt_proxy import MqttProxy

PASSWORD = "correct-horse"
MAY = "; on other topics its access list may say otherwise"


def settings(broker: Mosquitto | MqttProxy, **others: object) -> MqttSettings:
    """`embedded=True` makes it speak MQTT 3.1.1 with whatever broker is there."""
    return MqttSettings.model_validate(
        {"host": broker.host, "port": broker.port, "username": "us", "password": PASSWORD} | others
    )


def test_a_message_comes_back_and_nothing_stays(start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto(users={"us": PASSWORD})
    name = f"broker 127.0.0.1:{broker.port}"
    with Subscriber(broker.port, username="us", password=PASSWORD) as subscriber:
        assert try_broker(settings(broker)) == (
            [
                f"{name}: connected with MQTT 5",
                f"{name}: a message on streamwatch/check came back{MAY}",
            ],
            [],
        )
        (message,) = subscriber.wait_for(lambda messages: messages)
        assert message.topic == "streamwatch/check"
        assert try_broker(settings(broker, embedded=True)) == (
            [
                f"{name}: connected with MQTT 3.1.1",
                f"{name}: a message on streamwatch/check came back{MAY}",
            ],
            [],
        )
    with Subscriber(broker.port, username="us", password=PASSWORD) as subscriber:
        subscriber.publish("last")
        assert [message.topic for message in subscriber.wait_for(len)] == ["last"]
    assert "-streamwatch-checking" in broker.log


@pytest.mark.parametrize(
    ("right", "embedded", "expected"),
    [
        (
            "read streamwatch/#",
            False,
            "takes no message on streamwatch/check (not authorized): its access list has to let us"
            " write there",
        ),
        (
            "write streamwatch/#",
            False,
            "took a message on streamwatch/check and did not give it back: its access list has to"
            " let us read streamwatch/#",
        ),
        (
            "readwrite another/#",
            False,
            "takes no message on streamwatch/check (not authorized): its access list has to let us"
            " write there",
        ),
        (
            "read streamwatch/#",
            True,
            "closes the connection (the broker closed it) at a message on streamwatch/check: its"
            " access list has to let us write there",
        ),
        (
            "write streamwatch/#",
            True,
            "took a message on streamwatch/check and did not give it back: its access list has to"
            " let us read and write streamwatch/#; MQTT 3.1.1 does not say what is missing",
        ),
    ],
)
def test_what_the_access_list_forbids(
    start_mosquitto: StartMosquitto, right: str, embedded: bool, expected: str
) -> None:
    broker = start_mosquitto(users={"us": PASSWORD}, acl=f"user us\ntopic {right}\n")
    found, wrong = try_broker(settings(broker, embedded=embedded))
    assert len(found) == 1
    assert wrong == [f"broker 127.0.0.1:{broker.port} {expected}"]


def test_the_limits_of_the_broker(start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto(max_packet_size=2000, lacking=["max_qos 0", "retain_available false"])
    name = f"broker 127.0.0.1:{broker.port}"
    found, wrong = try_broker(settings(broker))
    assert found == [
        f"{name}: connected with MQTT 5",
        f"{name} takes messages of up to 2,000 bytes",
        f"{name}: a message on streamwatch/check came back{MAY}",
    ]
    assert [sentence.partition(":")[0] for sentence in (w.removeprefix(name) for w in wrong)] == [
        " takes messages of QoS 0 only",
        " retains no messages",
    ]


def test_a_wrong_password_is_told_without_it(start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto(users={"us": "another"})
    assert try_broker(settings(broker)) == (
        [],
        [
            f"broker 127.0.0.1:{broker.port} refuses the user name or password (not authorised);"
            " see mqtt.username and mqtt.password"
        ],
    )


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("127.0.0.1", "is not reachable (connection refused)"),
        ("x" * 64, "is not reachable (not a valid host name)"),
    ],
)
def test_where_there_is_no_broker(host: str, why: str) -> None:
    mqtt = MqttSettings(port=free_port()).model_copy(update={"host": host})
    assert try_broker(mqtt) == ([], [f"broker {mqtt.address} {why}"])


def test_something_else_listens_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "CONNECT_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mqtt = MqttSettings(host="127.0.0.1", port=silent.getsockname()[1])
        assert try_broker(mqtt) == ([], [f"broker {mqtt.address} does not answer"])


def test_with_tls(start_mosquitto: StartMosquitto, authority: Authority) -> None:
    broker = start_mosquitto(certificate=authority.issue("server"))
    mqtt = MqttSettings.model_validate({"host": broker.host, "port": broker.port})
    trusting = {"host": broker.host, "port": broker.port, "tls": {"ca": str(authority.ca)}}
    assert try_broker(MqttSettings.model_validate(trusting))[1] == []
    assert try_broker(MqttSettings.model_validate(trusting | {"tls": True})) == (
        [],
        [
            f"broker {mqtt.address} shows a certificate of an authority that is not trusted; see"
            " mqtt.tls.ca"
        ],
    )
    found, (wrong,) = try_broker(mqtt)
    assert found == []
    assert wrong.startswith(f"broker {mqtt.address} does not answer as an MQTT broker (")


def test_a_broker_that_closes_the_connection_at_a_message(mosquitto: Mosquitto) -> None:
    with MqttProxy(mosquitto.port) as proxy:
        proxy.takes = lambda topic: topic != "streamwatch/check"
        found, wrong = try_broker(settings(proxy))
    name = f"broker 127.0.0.1:{proxy.port}"
    assert (found, wrong) == (
        [f"{name}: connected with MQTT 5"],
        [
            f"{name} closes the connection (the broker closed it) at a message on"
            " streamwatch/check: its access list has to let us write there"
        ],
    )


def test_a_running_daemon_and_its_will_are_left_alone(mosquitto: Mosquitto) -> None:
    """Another client id than the daemon's, so that neither takes the other's session."""
    mqtt = settings(mosquitto, client_id="ours")
    with Subscriber(
        mosquitto.port, "streamwatch/#", client_id="ours", version=MQTTProtocolVersion.MQTTv5
    ) as daemon:
        assert try_broker(mqtt)[1] == []
        daemon.wait_for(lambda messages: messages)
        assert [message.topic for message in daemon.received] == ["streamwatch/check"]
