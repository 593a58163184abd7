"""A broker inside the process, for trying things out."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from types import TracebackType
from typing import Self

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType

from streamwatch.config import MqttSettings
from streamwatch.errors import PublisherError

HOST = "127.0.0.1"
START_SECONDS = 10.0
STOP_SECONDS = 5.0
SETTLE_SECONDS = 0.02
"""asyncio leaks a connection whose acceptance is half done when its server is closed."""
_LISTENER = "default"


class EmbeddedBroker:
    """amqtt on the loopback, open to everyone on this machine, in a thread of its own.

    It speaks MQTT 3.1.1 only and keeps nothing on disk. With `port` 0 the system picks a free one;
    `port` tells which once it has started.
    """

    def __init__(self, port: int = 0) -> None:
        self.host = HOST
        self.port = port
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._error: Exception | None = None

    def start(self) -> None:
        """Return when clients can connect. Raises PublisherError, where the port is taken say."""
        # Its log is about protocol details, at levels that would alarm; ours says what matters.
        for noisy in ("amqtt", "transitions"):
            logging.getLogger(noisy).setLevel(logging.CRITICAL)
        self._thread.start()
        if not self._started.wait(START_SECONDS):
            raise PublisherError(f"the embedded broker did not start within {START_SECONDS:.0f} s")
        if isinstance(self._error, OSError):
            # asyncio's own text repeats the address, and says "error while attempting to bind".
            reason = os.strerror(self._error.errno).lower() if self._error.errno else self._error
            raise PublisherError(
                f"the embedded broker can't listen on {HOST}:{self.port}: {reason};"
                " choose another mqtt.port, or 0 for any free one"
            ) from self._error
        if self._error is not None:
            raise PublisherError(f"the embedded broker can't start: {self._error}") from self._error

    def stop(self) -> None:
        """Disconnect all clients and end; what was retained is lost. Safe to call twice."""
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(STOP_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        broker = Broker(_settings())
        await broker.start()

        clients: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

        async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await broker.external_connected(
                    StreamReaderAdapter(reader), StreamWriterAdapter(writer), _LISTENER
                )
            finally:
                # amqtt leaves the connection open if it can't parse the first packet.
                writer.transport.abort()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(attend(reader, writer))
            clients[writer] = task
            task.add_done_callback(lambda _: clients.pop(writer))

        try:
            server = await asyncio.start_server(accept, HOST, self.port)
            self.port = server.sockets[0].getsockname()[1]
            self._started.set()
            await self._stopping.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            server.close()
        finally:
            await broker.shutdown()
            for writer in clients:
                writer.transport.abort()
            await asyncio.gather(*clients.values(), return_exceptions=True)


class EmbeddedBrokers:
    """The embedded brokers of one daemon, by configured port.

    None is stopped before `close`, so that subscribers and retained messages outlive an edit.
    """

    def __init__(self) -> None:
        self._brokers: dict[int, EmbeddedBroker] = {}

    def reachable(self, settings: MqttSettings) -> MqttSettings:
        """Where the broker of these settings really is, the embedded one having been started.

        Raises PublisherError.
        """
        if not settings.embedded:
            return settings
        broker = self._brokers.get(settings.port)
        if broker is None:
            broker = EmbeddedBroker(settings.port)
            broker.start()
            self._brokers[settings.port] = broker
        return settings.model_copy(update={"host": broker.host, "port": broker.port})

    def close(self) -> None:
        for broker in self._brokers.values():
            broker.stop()


def _settings() -> BrokerConfig:
    """A broker that opens no port itself: connections are passed to it, so that the port is
    known."""
    return BrokerConfig(
        listeners={_LISTENER: ListenerConfig(type=ListenerType.EXTERNAL)},
        plugins={
            "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True},
        },
    )
