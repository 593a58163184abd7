"""What of a camera's video is in memory, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import av
import pytest

from streamwatch.clips.ring import CHANGED, CLOSED, JUMPED, TOO_SLOW, Cursor, Memory, Ring
from streamwatch.source.copies import CopiedPacket, Copies, Streams
from tests.parts import STREET_CLIP

ZERO = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
TICKS = 15_360
"""The clip's time base."""
GOP_SECONDS = 2
PACKET_BYTES = 100


@pytest.fixture(scope="module")
def streams() -> Streams:
    with av.open(str(STREET_CLIP)) as clip:
        return Streams(clip.streams.video[0], None)


def at(seconds: float) -> datetime:
    return ZERO + timedelta(seconds=seconds)


def feed(copies: Copies, seconds: range, parameters: bytes = b"") -> None:
    """A frame a second, every second one a key frame, taken at `ZERO` plus its time stamp."""
    for second in seconds:
        is_key = second % GOP_SECONDS == 0
        data = (parameters if is_key else b"").ljust(PACKET_BYTES, b"\xff")
        copies.take(CopiedPacket(data, second * TICKS, second * TICKS, TICKS, is_key))
        copies.time(float(second), at(second))


def times(ring: Ring, cursor: Cursor) -> list[int]:
    return [packet.pts // TICKS for packet in ring.read(cursor)[0]]


@pytest.fixture
def ring() -> Ring:
    ring = Memory(1_000_000).ring()
    ring.want(10.0)
    return ring


def begun(ring: Ring, since: float, moment: float) -> Cursor:
    cursor = ring.read_from(at(since), at(moment))
    assert cursor is not None
    return cursor


def test_reading_begins_with_the_key_frame_before(ring: Ring, streams: Streams) -> None:
    copies = ring.begin(streams)
    feed(copies, range(9))
    cursor = begun(ring, 5.5, 8)
    assert times(ring, cursor) == [4, 5, 6, 7, 8]
    assert ring.read(cursor) == ([], None)
    feed(copies, range(9, 11))
    assert times(ring, cursor) == [9, 10]


def test_what_is_older_than_wanted_goes_by_whole_stretches(ring: Ring, streams: Streams) -> None:
    feed(ring.begin(streams), range(31))
    assert times(ring, begun(ring, 0, 30)) == [*range(20, 31)]
    assert ring.bytes == 11 * PACKET_BYTES


def test_what_nobody_wants_is_not_kept(ring: Ring, streams: Streams) -> None:
    copies = ring.begin(streams)
    feed(copies, range(5))
    ring.want(None)
    assert not copies.wanted
    assert ring.bytes == 0
    feed(copies, range(5, 9))
    assert ring.read_from(at(5), at(8)) is None


def test_what_is_still_read_is_kept_though_nothing_more_is_asked_for(
    ring: Ring, streams: Streams
) -> None:
    copies = ring.begin(streams)
    feed(copies, range(5))
    cursor = begun(ring, 2, 4)
    ring.want(None)
    assert copies.wanted
    feed(copies, range(5, 9))
    assert times(ring, cursor) == [*range(2, 9)]
    ring.stop_reading(cursor)
    assert not copies.wanted
    assert ring.bytes == 0


def test_it_begins_with_a_key_frame(ring: Ring, streams: Streams) -> None:
    feed(ring.begin(streams), range(1, 6))
    assert times(ring, begun(ring, 0, 5)) == [2, 3, 4, 5]


def test_nothing_is_there_before_the_first_frame_was_decoded(ring: Ring, streams: Streams) -> None:
    copies = ring.begin(streams)
    copies.take(CopiedPacket(b"x", 0, 0, TICKS, is_key=True))
    assert ring.read_from(at(0), at(0)) is None


def test_what_was_not_read_yet_does_not_get_too_old(ring: Ring, streams: Streams) -> None:
    copies = ring.begin(streams)
    feed(copies, range(5))
    cursor = begun(ring, 2, 4)
    feed(copies, range(5, 40))
    assert times(ring, cursor) == [*range(2, 40)]
    ring.stop_reading(cursor)
    feed(copies, range(40, 42))
    assert ring.bytes == 12 * PACKET_BYTES


def _closed(ring: Ring, streams: Streams, copies: Copies) -> None:
    copies.end()
    feed(ring.begin(streams), range(6, 9))


def _opened_again(ring: Ring, streams: Streams, copies: Copies) -> None:
    feed(ring.begin(streams), range(6, 9))
    feed(copies, range(6, 7))  # a thread that hung comes back


def _other_size(ring: Ring, streams: Streams, copies: Copies) -> None:
    feed(copies, range(6, 9), b"\x00\x00\x01\x67other\x00\x00\x01\x65")


def _jumped(ring: Ring, streams: Streams, copies: Copies) -> None:
    feed(copies, range(100, 103))


@pytest.mark.parametrize(
    ("change", "why"),
    [(_closed, CLOSED), (_opened_again, CLOSED), (_other_size, CHANGED), (_jumped, JUMPED)],
)
def test_a_cut_ends_what_is_read(
    ring: Ring, streams: Streams, change: Callable[[Ring, Streams, Copies], None], why: str
) -> None:
    copies = ring.begin(streams)
    feed(copies, range(6), b"\x00\x00\x01\x67size\x00\x00\x01\x65")
    cursor = begun(ring, 3, 5)
    change(ring, streams, copies)
    assert times(ring, cursor) == [2, 3, 4, 5]
    assert ring.read(cursor) == ([], why)


def test_after_a_cut_it_begins_anew(ring: Ring, streams: Streams) -> None:
    feed(ring.begin(streams), range(6))
    feed(ring.begin(streams), range(6, 9))
    assert times(ring, begun(ring, 3, 8)) == [6, 7, 8]
    assert times(ring, begun(ring, 3, 5)) == [2, 3, 4, 5], "it is of the connection before"


def test_the_camera_that_uses_most_gives_room(streams: Streams) -> None:
    memory = Memory(20 * PACKET_BYTES)
    large, small = memory.ring(), memory.ring()
    for ring in (large, small):
        ring.want(1000.0)
    feed(small.begin(streams), range(4))
    feed(large.begin(streams), range(40))
    assert memory.bytes <= 20 * PACKET_BYTES
    assert times(small, begun(small, 0, 3)) == [0, 1, 2, 3]
    memory.change(6 * PACKET_BYTES)
    assert memory.bytes <= 6 * PACKET_BYTES
    assert small.bytes


def test_what_is_read_too_slowly_is_cut_where_room_is_short(streams: Streams) -> None:
    ring = Memory(6 * PACKET_BYTES).ring()
    ring.want(1000.0)
    copies = ring.begin(streams)
    feed(copies, range(4))
    slow, quick = begun(ring, 0, 3), begun(ring, 0, 3)
    assert times(ring, quick) == [0, 1, 2, 3]
    feed(copies, range(4, 8))
    assert times(ring, quick) == [4, 5, 6, 7]
    assert ring.read(slow) == ([], TOO_SLOW)


def test_a_stretch_for_which_there_is_no_room_is_left_out(streams: Streams) -> None:
    ring = Memory(PACKET_BYTES).ring()
    ring.want(1000.0)
    copies = ring.begin(streams)
    feed(copies, range(1))
    cursor = begun(ring, 0, 0)
    assert times(ring, cursor) == [0]
    feed(copies, range(1, 4))
    assert ring.read(cursor) == ([], TOO_SLOW)


def test_it_says_why_nothing_can_be_copied(ring: Ring, streams: Streams) -> None:
    ring.refuse("it gives pictures")
    assert ring.refused == "it gives pictures"
    ring.begin(streams)
    assert ring.refused is None
