"""The last seconds of each camera's video in memory, as they came.

A ring is cut where what comes next can't go on in the same file: at a new connection, another
picture size, a jump of the camera's clock. What is between two cuts is a `Run`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

from streamwatch.source.copies import CopiedPacket, Streams, parameter_sets

ROUNDING_SECONDS = 0.001
"""Times of day and time stamps that differ by less are the same."""
JUMP_SECONDS = 10.0
"""Time stamps that step further than this, or back, are a jump of the camera's clock."""

CLOSED = "the camera's video ended"
CHANGED = "the size or form of its picture changed"
JUMPED = "the camera's clock jumped"
TOO_SLOW = "it was not written before the room in memory (clips.memory) was used up"


class Memory:
    """Room for the packets of all cameras together: where it is used up, the camera that uses most
    of it gives up its oldest. `lock` guards all rings."""

    def __init__(self, max_bytes: int) -> None:
        self.lock = threading.Lock()
        self.bytes = 0
        """Those of all rings; counted, since they change with every packet."""
        self._max_bytes = max_bytes
        self._rings: list[Ring] = []

    def ring(self) -> Ring:
        ring = Ring(self)
        with self.lock:
            self._rings.append(ring)
        return ring

    def change(self, max_bytes: int) -> None:
        with self.lock:
            self._max_bytes = max_bytes
            self.make_room()

    def make_room(self) -> None:
        """With the lock held."""
        while self.bytes > self._max_bytes:
            max(self._rings, key=lambda ring: ring.bytes).give_up_oldest()


@dataclass(slots=True, eq=False)
class Run:
    """What can be in one file. `wall_offset` is Unix time minus time stamps, in seconds; None
    before the first frame was decoded. `cut` says why it has ended, once it has."""

    streams: Streams
    parameters: bytes = b""
    wall_offset: float | None = None
    cut: str | None = None

    def wall(self, packet: CopiedPacket) -> float | None:
        """Unix time at which the packet is shown."""
        return self._at(packet.pts * self.streams.base(packet))

    def ends(self, packet: CopiedPacket) -> float | None:
        """Unix time up to which it is shown."""
        return self._at((packet.pts + packet.duration) * self.streams.base(packet))

    def decoded(self, packet: CopiedPacket) -> float | None:
        """Unix time at which the packet is decoded: not after it is shown."""
        return self._at(packet.dts * self.streams.base(packet))

    def _at(self, seconds: Fraction) -> float | None:
        return None if self.wall_offset is None else float(seconds) + self.wall_offset

    def end(self, why: str) -> None:
        """The first reason holds."""
        self.cut = self.cut or why


@dataclass(slots=True, eq=False)
class _Stretch:
    """From a key frame to the next."""

    number: int
    run: Run
    packets: list[CopiedPacket] = field(default_factory=list)
    bytes: int = 0

    @property
    def begins(self) -> float | None:
        """Unix time of its first frame."""
        return self.run.wall(self.packets[0])


@dataclass(slots=True, eq=False)
class Cursor:
    """How far somebody has read a run: the next is packet `index` of stretch `stretch`. `missed` is
    whether that was dropped before."""

    run: Run
    stretch: int
    index: int = 0
    missed: bool = False


class Ring:
    """The last seconds of one camera. Made by `Memory.ring`.

    The threads that read cameras fill it through `begin`, and those that write clips read it. Only
    the newest connection counts.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._reach_seconds: float | None = None
        self._stretches: deque[_Stretch] = deque()
        self._next_number = 0
        self._connection: _Connection | None = None
        self._cursors: set[Cursor] = set()
        self._refused: str | None = None
        self.bytes = 0
        """With the lock of `Memory` held."""

    @property
    def wanted(self) -> bool:
        """Whether anything is kept: where nothing is asked for, what somebody still reads."""
        return self._reach_seconds is not None or bool(self._cursors)

    @property
    def refused(self) -> str | None:
        """Why what comes can't be copied, in one sentence; None if it can."""
        return self._refused

    def want(self, reach_seconds: float | None) -> None:
        """Keep what is younger than this; None: nothing."""
        with self._memory.lock:
            self._reach_seconds = reach_seconds
            self._clear_if_unwanted()

    def cut(self, why: str) -> None:
        """What comes from now on can't be in one file with what is there."""
        with self._memory.lock:
            if self._connection is not None:
                self._connection.run.end(why)

    # --- for the thread that reads the camera -----------------------------------------------------

    def begin(self, streams: Streams) -> _Connection:
        with self._memory.lock:
            self._refused = None
            if self._connection is not None:
                self._connection.run.end(CLOSED)
            self._connection = _Connection(self, streams)
            return self._connection

    def refuse(self, why: str) -> None:
        with self._memory.lock:
            self._refused = why

    def take(self, connection: _Connection, packet: CopiedPacket) -> None:
        """A packet that came on a connection."""
        starts = packet.is_key and not packet.is_audio
        parameters = b""
        if starts:
            parameters = parameter_sets(packet.data, connection.run.streams.codec)
        with self._memory.lock:
            if connection is not self._connection or not self.wanted:
                return
            if starts:
                self._start_stretch(connection, packet, parameters)
            elif not self._fits(connection, packet):
                return
            self._stretches[-1].packets.append(packet)
            self._stretches[-1].bytes += len(packet.data)
            self._count(len(packet.data))
            self._memory.make_room()

    def time(self, connection: _Connection, pts_seconds: float, captured_at: datetime) -> None:
        """When a frame that came on a connection was taken."""
        with self._memory.lock:
            if connection is not self._connection:
                return
            now = captured_at.timestamp()
            connection.run.wall_offset = now - pts_seconds
            self._forget_old(now)

    def close(self, connection: _Connection) -> None:
        with self._memory.lock:
            connection.run.end(CLOSED)

    def _start_stretch(
        self, connection: _Connection, packet: CopiedPacket, parameters: bytes
    ) -> None:
        run = connection.run
        is_other = bool(parameters and run.parameters and parameters != run.parameters)
        if is_other:
            run.end(CHANGED)
        elif self._jumped(connection, packet):
            run.end(JUMPED)
        if run.cut is not None:
            renewed = run.streams.renewed(packet.data) if is_other else None
            run = connection.run = Run(renewed or run.streams)
        run.parameters = parameters or run.parameters
        connection.last = packet
        self._stretches.append(_Stretch(self._next_number, run))
        self._next_number += 1

    def _fits(self, connection: _Connection, packet: CopiedPacket) -> bool:
        """Whether it goes on from the last; else what comes counts from the next key frame on."""
        run = connection.run
        if run.cut is not None or not self._stretches or self._stretches[-1].run is not run:
            return False
        if self._jumped(connection, packet):
            run.end(JUMPED)
            return False
        if not packet.is_audio:
            connection.last = packet
        return True

    def _jumped(self, connection: _Connection, packet: CopiedPacket) -> bool:
        last = connection.last
        if last is None or packet.is_audio:
            return False
        step = float((packet.dts - last.dts) * connection.run.streams.video_base)
        return not 0 <= step <= JUMP_SECONDS

    def _forget_old(self, now: float) -> None:
        """Drop what is older than is wanted, and that nobody has still to read."""
        oldest = now - (self._reach_seconds or 0.0)
        unread = min((cursor.stretch for cursor in self._cursors), default=self._next_number)
        while len(self._stretches) > 1 and self._stretches[0].number < unread:
            first, second = self._stretches[0], self._stretches[1]
            following = second.begins
            # A run that was cut before its first frame is of no use.
            of_no_use = first.begins is None and first.run.cut is not None
            if not of_no_use and (following is None or following > oldest):
                return
            self.give_up_oldest()

    def give_up_oldest(self) -> None:
        """Drop the oldest stretch; with the lock held."""
        oldest = self._stretches.popleft()
        self._count(-oldest.bytes)
        if not self._stretches:  # what still comes of it can't be decoded without
            oldest.run.end(TOO_SLOW)
        for cursor in self._cursors:
            if cursor.stretch == oldest.number:
                cursor.missed = cursor.index < len(oldest.packets)
                cursor.stretch, cursor.index = oldest.number + 1, 0

    def _clear_if_unwanted(self) -> None:
        if not self.wanted:
            self._stretches.clear()
            self._count(-self.bytes)

    def _count(self, more: int) -> None:
        self.bytes += more
        self._memory.bytes += more

    # --- for the thread that writes clips ---------------------------------------------------------

    def read_from(self, since: datetime, moment: datetime) -> Cursor | None:
        """Begin to read what there is from `since` on, with the key frame before it, up to now and
        later: of the run that `moment` is in. None if there is nothing of it."""
        with self._memory.lock:
            known = [(s, at) for s in self._stretches if (at := s.begins) is not None]
            before = [s for s, at in known if at <= moment.timestamp() + ROUNDING_SECONDS]
            if not before:
                return None
            run = before[-1].run
            of_run = [(s, at) for s, at in known if s.run is run]
            early = [s for s, at in of_run if at <= since.timestamp() + ROUNDING_SECONDS]
            start = early[-1] if early else of_run[0][0]
            cursor = Cursor(run, start.number)
            self._cursors.add(cursor)
            return cursor

    def read(self, cursor: Cursor) -> tuple[list[CopiedPacket], str | None]:
        """What has come since; and once it has all been read, why no more comes."""
        with self._memory.lock:
            if cursor.missed:
                return [], TOO_SLOW
            packets = list(self._unread(cursor))
            return packets, None if packets else cursor.run.cut

    def stop_reading(self, cursor: Cursor) -> None:
        with self._memory.lock:
            self._cursors.discard(cursor)
            self._clear_if_unwanted()

    def _unread(self, cursor: Cursor) -> Iterator[CopiedPacket]:
        for stretch in self._stretches:
            if stretch.number < cursor.stretch:
                continue
            if stretch.run is not cursor.run:
                return
            if stretch.number > cursor.stretch:
                cursor.stretch, cursor.index = stretch.number, 0
            yield from stretch.packets[cursor.index :]
            cursor.index = len(stretch.packets)


class _Connection:
    """See `copies.Copies`."""

    def __init__(self, ring: Ring, streams: Streams) -> None:
        self._ring = ring
        self.run = Run(streams)
        self.last: CopiedPacket | None = None

    @property
    def wanted(self) -> bool:
        return self._ring.wanted

    def take(self, packet: CopiedPacket) -> None:
        self._ring.take(self, packet)

    def time(self, pts_seconds: float, captured_at: datetime) -> None:
        self._ring.time(self, pts_seconds, captured_at)

    def end(self) -> None:
        self._ring.close(self)
