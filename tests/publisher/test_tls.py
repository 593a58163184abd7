"""MQTT over TLS with a real mosquitto: alerts that arrive, or one warning that says why not."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from streamwatch.config.sections.mqtt import MqttSettings, TlsSettings
from streamwatch.config.sections.whole import SnapshotSettings
from streamwatch.publisher import Publisher
from streamwatch.tls import client_context
from tests.parts.certificates import Authority, Certificate
from tests.parts.mosquitto import Mosquitto, StartMosquitto, Subscriber, require_mosquitto
from tests.parts.waiting import wait_until
from tests.publisher.events import end_event, new_event, picture
from tests.publisher.running import Broker, running
from tests.publisher.test_outages import said

pytestmark = pytest.mark.slow(seconds=25)

RETRYING = "; retrying, alerts wait"


@pytest.fixture(scope="module")
def server(authority: Authority) -> Certificate:
    return authority.issue("server")


@pytest.fixture(scope="module")
def client(authority: Authority) -> TlsSettings:
    certificate = authority.issue("client")
    return TlsSettings(ca=authority.ca, certificate=certificate.path, key=certificate.key)


@pytest.fixture(scope="module")
def guarded(authority: Authority, server: Certificate) -> Iterator[Mosquitto]:
    """A broker that requires a client certificate."""
    require_mosquitto()
    with Mosquitto(certificate=server, clients=authority.ca) as broker:
        yield broker


def publisher_to(
    broker: Broker, tls: bool | TlsSettings, prefix: str = "tls", host: str | None = None
) -> Publisher:
    mqtt = MqttSettings(host=host or broker.host, port=broker.port, topic_prefix=prefix, tls=tls)
    return Publisher(mqtt, SnapshotSettings(), None)


@pytest.fixture
def only_sentence(caplog: pytest.LogCaptureFixture) -> Callable[..., str]:
    """The one warning of a publisher that can't connect, without its prefix and suffix."""

    def sentence(broker: Broker, tls: bool | TlsSettings, host: str | None = None) -> str:
        caplog.set_level(logging.DEBUG, "streamwatch")
        with running(publisher_to(broker, tls, host=host), connected=False) as publisher:
            wait_until(lambda: bool(caplog.records), 10)
            assert not publisher.wait_connected(2)
        (warning,) = said(caplog, logging.WARNING, "")
        assert len(caplog.records) == 1
        name = f"broker {host or broker.host}:{broker.port} "
        assert warning.startswith(name)
        assert warning.endswith(RETRYING)
        return warning.removeprefix(name).removesuffix(RETRYING)

    return sentence


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_alerts_arrive_with_a_client_certificate(
    guarded: Mosquitto, client: TlsSettings, host: str
) -> None:
    visit = new_event(snapshot=True, picture=picture())
    context = client_context(client.ca, client.certificate, client.key)
    with (
        Subscriber(guarded.port, f"{host}/#", tls=context) as subscriber,
        running(publisher_to(guarded, client, prefix=host, host=host)) as publisher,
    ):
        publisher.event(visit)
        publisher.event(end_event(visit.id))
        subscriber.wait_for_payload(f"{host}/state/porch/car", b"OFF")
        wait_until(lambda: publisher.waiting == 0)
    events = [message.json["type"] for message in subscriber.of(f"{host}/events/porch/car")]
    assert events == ["new", "end"]


def test_an_authority_of_the_system_is_trusted(
    start_mosquitto: StartMosquitto,
    authority: Authority,
    server: Certificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    with running(publisher_to(start_mosquitto(certificate=server), tls=True)):
        pass


def test_tls_to_a_broker_on_ipv6(
    start_mosquitto: StartMosquitto, authority: Authority, server: Certificate, ipv6: str
) -> None:
    broker = start_mosquitto(certificate=server, host=ipv6)
    with running(publisher_to(broker, TlsSettings(ca=authority.ca))):
        pass


def test_an_untrusted_authority_gives_one_warning(
    guarded: Mosquitto, client: TlsSettings, tmp_path: Path, only_sentence: Callable[..., str]
) -> None:
    stranger = Authority(tmp_path, "stranger")
    assert only_sentence(guarded, client.model_copy(update={"ca": stranger.ca})) == (
        "shows a certificate of an authority that is not trusted; see mqtt.tls.ca"
    )


def test_an_expired_certificate_gives_one_warning(
    start_mosquitto: StartMosquitto, authority: Authority, only_sentence: Callable[..., str]
) -> None:
    broker = start_mosquitto(certificate=authority.issue("expired", days=-1))
    assert only_sentence(broker, TlsSettings(ca=authority.ca)) == (
        "shows a certificate that has expired"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_wrong_host_name_gives_one_warning(
    start_mosquitto: StartMosquitto,
    authority: Authority,
    host: str,
    only_sentence: Callable[..., str],
) -> None:
    elsewhere = authority.issue("elsewhere", hosts=("broker.example", "192.0.2.1"))
    broker = start_mosquitto(certificate=elsewhere)
    assert only_sentence(broker, TlsSettings(ca=authority.ca), host) == (
        "shows a certificate for another host name; see mqtt.host"
    )


def test_a_missing_client_certificate_gives_one_warning(
    guarded: Mosquitto, authority: Authority, only_sentence: Callable[..., str]
) -> None:
    assert only_sentence(guarded, TlsSettings(ca=authority.ca)) == (
        "wants a client certificate; see mqtt.tls.certificate"
    )


@pytest.mark.parametrize(
    ("kind", "reason"), [("stranger", "unknown ca"), ("expired", "certificate expired")]
)
def test_a_refused_client_certificate_gives_one_warning(
    guarded: Mosquitto,
    authority: Authority,
    tmp_path: Path,
    kind: str,
    reason: str,
    only_sentence: Callable[..., str],
) -> None:
    signer = authority if kind == "expired" else Authority(tmp_path, "stranger")
    shown = signer.issue("refused", days=-1 if kind == "expired" else 2)
    tls = TlsSettings(ca=authority.ca, certificate=shown.path, key=shown.key)
    assert only_sentence(guarded, tls) == (
        f"refuses the client certificate ({reason}); see mqtt.tls.certificate"
    )


def test_tls_to_a_broker_without_tls_gives_one_warning(
    mosquitto: Mosquitto, only_sentence: Callable[..., str]
) -> None:
    assert only_sentence(mosquitto, tls=True) == (
        "closes the connection instead of speaking TLS; see mqtt.port and mqtt.tls"
    )


def test_a_tls_file_that_disappeared_gives_one_warning(
    guarded: Mosquitto, client: TlsSettings, tmp_path: Path, only_sentence: Callable[..., str]
) -> None:
    assert client.ca is not None
    ca = tmp_path / "ca.pem"
    ca.write_bytes(client.ca.read_bytes())
    tls = TlsSettings(ca=ca)
    ca.unlink()
    assert only_sentence(guarded, tls) == f"can't be connected to: {ca} does not exist"


def test_a_renewed_certificate_needs_no_restart(
    start_mosquitto: StartMosquitto,
    authority: Authority,
    tmp_path: Path,
) -> None:
    stranger = Authority(tmp_path, "stranger")
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.ca.read_bytes())
    first = authority.issue("first")
    broker = start_mosquitto(certificate=first)
    with running(publisher_to(broker, TlsSettings(ca=ca))) as publisher:
        broker.kill()
        wait_until(lambda: not publisher.connected)
        ca.write_bytes(stranger.ca.read_bytes())
        renewed = stranger.issue("renewed")
        renewed.path.replace(first.path)
        renewed.key.replace(first.key)
        broker.start()
        assert publisher.wait_connected(15)


class Peer:
    """Accepts one connection after another and passes each to `meet`."""

    def __init__(self, meet: Callable[[socket.socket], Any]) -> None:
        self._meet = meet
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._socket.getsockname()
        self._thread = threading.Thread(target=self._serve)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._socket.shutdown(socket.SHUT_RDWR)
            self._thread.join(10)
            self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            with line:
                self._meet(line)


def test_a_server_that_is_not_tls_gives_one_warning(only_sentence: Callable[..., str]) -> None:
    def answer(line: socket.socket) -> None:
        line.recv(4096)
        line.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    peer = Peer(answer)
    with peer.running():
        assert only_sentence(peer, tls=True) == (
            "does not speak TLS on this port; see mqtt.port and mqtt.tls"
        )


def test_a_missing_client_certificate_over_tls_1_2_gives_one_warning(
    authority: Authority, server: Certificate, only_sentence: Callable[..., str]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca)
    context.load_cert_chain(server.path, server.key)

    def answer(line: socket.socket) -> None:
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(line, server_side=True)

    peer = Peer(answer)
    with peer.running():
        assert only_sentence(peer, TlsSettings(ca=authority.ca)) == (
            "can't agree on TLS; perhaps it wants a client certificate; see mqtt.tls.certificate"
        )
