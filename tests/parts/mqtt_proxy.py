"""A bad link, or a bad broker: a proxy in front of a good one that misbehaves as it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

CONNECT, PUBLISH, PUBACK = 1, 3, 4
"""Types of packet (MQTT 5, section 2.1.2)."""


class MqttProxy:
    """Passes MQTT packets on to the broker at `port`, on a port of its own, while its block lasts.

    `takes` is asked for the topic of each message of a client: if it says no, the connection is
    closed instead. With `cut_after` each connection is cut after so many seconds. With `mute` no
    acknowledgement is passed back, and while it is `down` nobody gets a connection. All may be
    changed at any time.
    """

    def __init__(self, port: int) -> None:
        self.host = "127.0.0.1"
        self.takes: Callable[[str], bool] = lambda _: True
        self.cut_after: float | None = None
        self.mute = False
        self.down = False
        self.connects = 0
        self._broker = port
        self._server = socket.create_server((self.host, 0))
        self.port: int = self._server.getsockname()[1]
        self._lines: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()
        self._thread.join()

    def cut(self) -> None:
        """Cut every connection."""
        for line in tuple(self._lines):
            _close(line)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if self.down:
                client.close()
                continue
            try:
                broker = socket.create_connection((self.host, self._broker), timeout=5)
            except OSError:
                client.close()
                continue
            broker.settimeout(None)
            self.connects += 1
            self._lines |= {client, broker}
            timer = None
            if self.cut_after is not None:
                timer = threading.Timer(self.cut_after, lambda a=client, b=broker: _close(a, b))
                timer.daemon = True
                timer.start()
            for source, target, passes in (
                (client, broker, self._passes),
                (broker, client, self._passes_back),
            ):
                threading.Thread(
                    target=self._pump, args=(source, target, passes), daemon=True
                ).start()

    def _pump(
        self, source: socket.socket, target: socket.socket, passes: Callable[[bytes], bool | None]
    ) -> None:
        with suppress(OSError, EOFError):
            while True:
                packet = _packet(source)
                passed = passes(packet)
                if passed is None:
                    break
                if passed:
                    target.sendall(packet)
        _close(source, target)
        self._lines -= {source, target}

    def _passes(self, packet: bytes) -> bool | None:
        """None where the connection is to be closed."""
        if packet[0] >> 4 != PUBLISH:
            return True
        return True if self.takes(_topic(packet)) else None

    def _passes_back(self, packet: bytes) -> bool | None:
        return not (self.mute and packet[0] >> 4 == PUBACK)


def _packet(line: socket.socket) -> bytes:
    head = _read(line, 1)
    length, shift = 0, 0
    while True:
        byte = _read(line, 1)
        head += byte
        length |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            return head + _read(line, length)


def _read(line: socket.socket, count: int) -> bytes:
    content = bytearray()
    while len(content) < count:
        part = line.recv(min(65536, count - len(content)))
        if not part:
            raise EOFError
        content += part
    return bytes(content)


def _topic(packet: bytes) -> str:
    start = 1
    while packet[start] >= 128:
        start += 1
    length = int.from_bytes(packet[start + 1 : start + 3], "big")
    return packet[start + 3 : start + 3 + length].decode()


def _close(*lines: socket.socket) -> None:
    for line in lines:
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)
        line.close()
