"""The reader of a broker's messages, with a real one."""

from __future__ import annotations

from streamwatch.config import MqttSettings
from streamwatch.publisher import Down, Dropped, Failed, Message, Reader, Up
from tests.parts.mosquitto import Mosquitto, StartMosquitto, Subscriber

PATIENCE_SECONDS = 60.0


def settings(broker: Mosquitto) -> MqttSettings:
    return MqttSettings(host=broker.host, port=broker.port)


def test_what_is_not_read_is_dropped_and_counted(mosquitto: Mosquitto) -> None:
    sent = 300
    with (
        Subscriber(mosquitto.port, "flood") as other,
        Reader(settings(mosquitto), live=["flood"], retained=["status"], most_waiting=10) as reader,
    ):
        assert reader.next(PATIENCE_SECONDS) == Up()
        for number in range(sent):
            other.publish("flood", str(number))
        read: list[int] = []
        dropped = 0
        while len(read) + dropped < sent:
            news = reader.next(PATIENCE_SECONDS)
            assert isinstance(news, Message | Dropped)
            if isinstance(news, Message):
                read.append(int(news.payload or b""))
            else:
                dropped += news.messages
    assert dropped
    assert read == sorted(read)


def test_retained_messages_are_read_where_they_are_wanted(mosquitto: Mosquitto) -> None:
    with Subscriber(mosquitto.port, "#") as other:
        for topic in ("wanted/status", "wanted/other"):
            other.publish(topic, "before", retain=True)
        wanted = Reader(settings(mosquitto), live=["wanted/other"], retained=["wanted/status"])
        with wanted as reader:
            assert reader.next(PATIENCE_SECONDS) == Up()
            assert reader.next(PATIENCE_SECONDS) == Message("wanted/status", b"before", True)
            other.publish("wanted/other", "now", retain=True)
            assert reader.next(PATIENCE_SECONDS) == Message("wanted/other", b"now", False)
            reader.stop()
            assert reader.next() is None


def test_a_short_loss_of_the_connection_loses_no_message(start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto()
    with Reader(settings(broker), live=["a"], retained=["status"]) as reader:
        assert reader.next(PATIENCE_SECONDS) == Up()
        broker.stop()
        assert isinstance(reader.next(PATIENCE_SECONDS), Down)
        broker.start()
        with Subscriber(broker.port, "a") as other:
            other.publish("a", "meanwhile")
        found = [reader.next(PATIENCE_SECONDS)]
        while len(found) < 2 or isinstance(found[-1], Failed):
            found.append(reader.next(PATIENCE_SECONDS))
    assert Message("a", b"meanwhile", False) in found


def test_two_readers_do_not_throw_each_other_out(mosquitto: Mosquitto) -> None:
    one = Reader(settings(mosquitto), live=["both"], retained=["status"])
    two = Reader(settings(mosquitto), live=["both"], retained=["status"])
    with one, two, Subscriber(mosquitto.port, "both") as other:
        assert (one.next(PATIENCE_SECONDS), two.next(PATIENCE_SECONDS)) == (Up(), Up())
        other.publish("both", "x")
        arrived = Message("both", b"x", False)
        assert (one.next(PATIENCE_SECONDS), two.next(PATIENCE_SECONDS)) == (arrived, arrived)


def test_a_login_that_is_refused_lasts(start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto(users={"me": "right"})
    with Reader(settings(broker), live=["a"], retained=["status"]) as reader:
        refused = reader.next(PATIENCE_SECONDS)
    assert isinstance(refused, Failed)
    assert refused.lasting


def test_a_host_that_can_be_none_lasts(mosquitto: Mosquitto) -> None:
    wrong = settings(mosquitto).model_copy(update={"host": "a..b"})
    with Reader(wrong, live=["a"], retained=["status"]) as reader:
        found = reader.next(PATIENCE_SECONDS)
    assert found == Failed(
        f"broker a..b:{mosquitto.port} is not reachable (not a valid host name)", lasting=True
    )


def test_a_broker_without_qos_serves_too(start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto(lacking=["max_qos 0"])
    with Reader(settings(broker), live=["a"], retained=["status"]) as reader:
        assert reader.next(PATIENCE_SECONDS) == Up()
