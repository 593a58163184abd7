"""One connection of a client, who may be slow, send anything, and hang up at any time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

MOST_CONNECTIONS = 64
"""At each socket. The other descriptors, of a usual limit of 1024, stay the daemon's own. A higher
limit would not help it: paho-mqtt waits with select(), which takes none above."""
REQUEST_SECONDS = 5.0
"""How long a client may take to send its whole request, from connecting on."""
ANSWER_SECONDS = 10.0
"""How long making the page and sending it may take together; of what is sent in parts, each."""


class Socket(WebSocketsSansIOProtocol):
    """A connection that has become a WebSocket, or was refused that."""

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        refused = message["type"] == "websocket.http.response.body"
        if refused and not message.get("more_body", False):
            self.handshake_complete = True  # or uvicorn logs each refusal as a defect


class Connection(H11Protocol):
    """Reads one request, and answers it. A body is bounded by the application, which reads it.

    A client that is too slow is sent away. So is, where there are too many, whoever has been
    connected longest without a request: that is never somebody who asks at once, however many
    others are silent.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._began = self.loop.time()
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._drop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            open_now = [each for each in self.connections if isinstance(each, Connection)]
            silent = [each for each in open_now if each.cycle is None]
            min(silent, key=lambda other: other._began)._drop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.cycle is not None:
            if self.conn.their_state is h11.SEND_BODY:
                super().data_received(data)
            return
        super().data_received(data)
        if self.cycle is not None:
            self.scope["state"]["more_time"] = self._give_time
            self._give_time()

    def _give_time(self) -> None:
        """From now on the answer may take as long as it may in all; for what is sent in parts."""
        self._deadline.cancel()
        self._deadline = self.loop.call_later(ANSWER_SECONDS, self._drop)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._deadline.cancel()
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        if self.cycle is None:
            super().send_400_response(msg)
        else:  # what came with the request is no body; the answer may have begun
            self._drop()

    def shutdown(self) -> None:
        self._drop()

    def _drop(self) -> None:
        """Close without waiting until the client has read what it was sent."""
        self.connections.discard(self)
        if self.transport is not None:
            self.transport.abort()
