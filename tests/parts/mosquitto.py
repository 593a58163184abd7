"""A real mosquitto, and a subscriber that records its messages."""

from __future__ import annotations

import getpass
import json
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tests.parts import free_port, missing
from tests.parts.certificates import Certificate

HOST = "127.0.0.1"
START_SECONDS = 10.0


class Mosquitto:
    """mosquitto on a free port of the loopback, while its `with` block runs.

    It keeps acknowledged messages over a kill, so a lost message is never its fault. With `users`
    (name to password) only they may connect; `acl` is the text of an ACL file. `restart` keeps the
    port. A frozen one still accepts connections, but never answers. With a `certificate` it speaks
    TLS; with `clients` it requires client certificates of that authority. `lacking` are more lines
    of its configuration, such as `max_qos 0`.
    """

    def __init__(
        self,
        *,
        users: Mapping[str, str] | None = None,
        acl: str | None = None,
        max_packet_size: int | None = None,
        port: int | None = None,
        host: str = HOST,
        certificate: Certificate | None = None,
        clients: Path | None = None,
        lacking: Sequence[str] = (),
    ) -> None:
        self.host = host
        self.port = port or free_port()
        self._temporary = tempfile.TemporaryDirectory(prefix="mosquitto-")
        self._folder = Path(self._temporary.name)
        self._process: subprocess.Popen[bytes] | None = None
        self._write_config(users, acl, max_packet_size)
        with (self._folder / "mosquitto.conf").open("a") as config:
            config.writelines(f"{line}\n" for line in lacking)
        if certificate is not None:
            self._encrypt(certificate, clients)

    @property
    def log(self) -> str:
        return (self._folder / "mosquitto.log").read_text()

    def start(self) -> None:
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [_program("mosquitto"), "-c", self._folder / "mosquitto.conf"],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection((self.host, self.port), timeout=1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"mosquitto did not start:\n{self.log}") from None
                time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL: connections are not closed cleanly."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """SIGTERM: it saves everything and closes connections cleanly."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._temporary.cleanup()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError("mosquitto does not run")
        self._process.send_signal(number)

    def _write_config(
        self, users: Mapping[str, str] | None, acl: str | None, max_packet_size: int | None
    ) -> None:
        lines = [
            f"listener {self.port} {self.host}",
            f"user {getpass.getuser()}",
            f"allow_anonymous {'false' if users else 'true'}",
            "persistence true",
            f"persistence_location {self._folder}/",
            "autosave_interval 1",
            "autosave_on_changes true",
            "max_queued_messages 0",
        ]
        if users:
            passwords = self._folder / "passwords"
            passwords.touch(mode=0o600)
            for name, password in users.items():
                subprocess.run(
                    [_program("mosquitto_passwd"), "-b", passwords, name, password], check=True
                )
            lines.append(f"password_file {passwords}")
        if acl is not None:
            (self._folder / "acl").write_text(acl)
            lines.append(f"acl_file {self._folder / 'acl'}")
        if max_packet_size is not None:
            lines.append(f"max_packet_size {max_packet_size}")
        (self._folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def _encrypt(self, certificate: Certificate, clients: Path | None) -> None:
        lines = [f"certfile {certificate.path}", f"keyfile {certificate.key}"]
        if clients is not None:
            lines += [f"cafile {clients}", "require_certificate true"]
        with (self._folder / "mosquitto.conf").open("a") as config:
            config.write("\n".join(lines) + "\n")


@dataclass(frozen=True, slots=True)
class Received:
    """A received message; `at_seconds` is `time.monotonic()`, `correlation` is from MQTT 5."""

    topic: str
    payload: bytes
    retain: bool
    qos: int
    at_seconds: float
    correlation: bytes | None = None

    @property
    def json(self) -> Any:
        return json.loads(self.payload)


class Subscriber:
    """A client that collects all messages of the filter `topic`, over restarts of the broker too.

    With a `client_id` its session is persistent: it gets missed messages after a reconnect.
    """

    def __init__(
        self,
        port: int,
        topic: str = "#",
        *,
        host: str = HOST,
        client_id: str | None = None,
        username: str | None = None,
        password: str | None = None,
        version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._address = host, port
        self._topic = topic
        self._received: list[Received] = []
        self._changed = threading.Condition()
        self._subscribed = threading.Event()
        v5 = version is MQTTProtocolVersion.MQTTv5
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id or "",
            protocol=version,
            clean_session=None if v5 else client_id is None,
        )
        self._properties = None
        if v5 and client_id is not None:
            self._properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            self._properties.SessionExpiryInterval = 3600
        self._clean_start = client_id is None
        self._client.username_pw_set(username, password)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    @property
    def received(self) -> Sequence[Received]:
        with self._changed:
            return tuple(self._received)

    def of(self, topic: str) -> Sequence[Received]:
        """The messages of exactly this topic."""
        return tuple(message for message in self.received if message.topic == topic)

    def wait_for(
        self, predicate: Callable[[Sequence[Received]], object], timeout: float = 10.0
    ) -> Sequence[Received]:
        """All messages, once `predicate` of them is true. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: predicate(self._received), timeout):
                topics = [f"{message.topic} {message.payload[:60]!r}" for message in self._received]
                raise TimeoutError("received only:\n" + "\n".join(topics))
            return tuple(self._received)

    def wait_for_payload(self, topic: str, payload: bytes, timeout: float = 10.0) -> None:
        """Return once the newest message of `topic` is `payload`."""

        def arrived(messages: Sequence[Received]) -> bool:
            mine = [message.payload for message in messages if message.topic == topic]
            return bool(mine) and mine[-1] == payload

        self.wait_for(arrived, timeout)

    def publish(
        self,
        topic: str,
        payload: bytes | str = b"",
        *,
        retain: bool = False,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> None:
        """Send a message and wait for the broker's acknowledgement."""
        properties = None
        if response_topic is not None or correlation is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            if response_topic is not None:
                properties.ResponseTopic = response_topic
            if correlation is not None:
                properties.CorrelationData = correlation
        sent = self._client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        sent.wait_for_publish(10)

    def clear(self) -> None:
        with self._changed:
            self._received.clear()

    def __enter__(self) -> Self:
        host, port = self._address
        if self._client.protocol is MQTTProtocolVersion.MQTTv5:
            self._client.connect(
                host, port, 10, clean_start=self._clean_start, properties=self._properties
            )
        else:
            self._client.connect(host, port, 10)
        self._client.loop_start()
        if not self._subscribed.wait(10):
            self._client.loop_stop()
            raise TimeoutError("the subscription was not acknowledged")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self,
        client: Client,
        userdata: Any,
        flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if not reason_code.is_failure:
            client.subscribe(self._topic, qos=1)

    def _on_subscribe(
        self,
        client: Client,
        userdata: Any,
        number: int,
        reason_codes: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        self._subscribed.set()

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        received = Received(
            message.topic,
            bytes(message.payload),
            message.retain,
            message.qos,
            time.monotonic(),
            getattr(message.properties, "CorrelationData", None),
        )
        with self._changed:
            self._received.append(received)
            self._changed.notify_all()


StartMosquitto = Callable[..., Mosquitto]


def require_mosquitto() -> None:
    """Skip, or fail, if mosquitto is not installed."""
    if _found("mosquitto") is None or _found("mosquitto_passwd") is None:
        missing("mosquitto", "mosquitto")


@pytest.fixture(scope="module")
def mosquitto() -> Iterator[Mosquitto]:
    """One broker for a module's tests; each test uses a topic prefix of its own."""
    require_mosquitto()
    with Mosquitto() as broker:
        yield broker


@pytest.fixture
def start_mosquitto() -> Iterator[StartMosquitto]:
    """Start a broker for this test only, with the arguments of `Mosquitto`."""
    require_mosquitto()
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(Mosquitto(**options))


def _found(program: str) -> str | None:
    # Debian installs it where only root's PATH looks.
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")


def _program(name: str) -> str:
    found = _found(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed")
    return found
