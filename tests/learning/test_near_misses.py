"""Which near misses of a day are kept where there is no room for all."""

from __future__ import annotations

from datetime import date

from streamwatch.geometry import Box
from streamwatch.learning.learnt import NearMissKind
from streamwatch.learning.near_misses import Day, Kept, Place

ROOM = 4


def at(column: int, *, moved: float = 0.0) -> Box:
    """Boxes in different columns don't touch."""
    x = 200.0 * column + moved
    return x, 0.0, x + 100, 100.0


def kept(kind: NearMissKind, confidence: float, column: int) -> Kept:
    return Kept(column, f"{column}.jpg", kind, confidence, at(column))


def day(*kept: Kept) -> Day:
    return Day(date(2026, 1, 2), list(kept))


def test_whatever_comes_is_kept_while_there_is_room() -> None:
    today = day(kept("below", 0.29, 0))
    assert today.place("below", 0.01, at(1), ROOM) == Place(wanted=True)
    assert day().place("zone", 0.01, at(1), 1) == Place(wanted=True)


def test_with_no_room_at_all_nothing_is_kept() -> None:
    assert day().place("below", 0.9, at(0), 0) == Place(wanted=False)
    assert day(kept("below", 0.2, 0)).place("below", 0.9, at(1), 0) == Place(wanted=False)


def test_with_no_room_at_all_a_surer_sight_of_the_same_is_not_kept_either() -> None:
    assert not day(kept("below", 0.2, 0)).place("below", 0.9, at(0), 0).wanted


def test_the_weakest_goes() -> None:
    weakest = kept("below", 0.12, 2)
    today = day(kept("below", 0.2, 0), kept("below", 0.25, 1), weakest, kept("below", 0.15, 3))
    assert today.place("below", 0.13, at(4), ROOM) == Place(True, weakest)
    assert today.place("below", 0.11, at(4), ROOM) == Place(wanted=False)
    assert today.place("below", 0.12, at(4), ROOM) == Place(wanted=False)


def test_of_the_most_common_kind_one_goes() -> None:
    weakest = kept("zone", 0.5, 1)
    today = day(kept("zone", 0.9, 0), weakest, kept("zone", 0.8, 2), kept("below", 0.1, 3))
    assert today.place("below", 0.05, at(4), ROOM) == Place(True, weakest)
    assert today.place("size", 0.01, at(4), ROOM) == Place(True, weakest)


def test_a_hundred_of_one_kind_leave_room_for_another() -> None:
    today = day()
    for number in range(100):
        place = today.place("zone", 0.5 + number / 1000, at(number), ROOM)
        if place.outdone:
            today.kept.remove(place.outdone)
        if place.wanted:
            today.kept.append(kept("zone", 0.5 + number / 1000, number))
    place = today.place("below", 0.01, at(101), ROOM)
    assert place.wanted
    assert place.outdone in today.kept
    assert min(each.confidence for each in today.kept) == 0.596


def test_every_kind_keeps_a_place_while_one_has_two() -> None:
    today = day(
        kept("zone", 0.5, 0), kept("below", 0.2, 1), kept("size", 0.3, 2), kept("frames", 0.1, 3)
    )
    place = today.place("zone", 0.6, at(4), ROOM)
    assert place == Place(True, today.kept[0])
    assert today.place("zone", 0.4, at(4), ROOM) == Place(wanted=False)


def test_a_statue_takes_one_place() -> None:
    statue = kept("below", 0.2, 0)
    today = day(statue)
    assert today.place("below", 0.19, at(0, moved=5), ROOM) == Place(False, statue)
    assert today.place("below", 0.2, at(0), ROOM) == Place(False, statue)


def test_a_surer_sight_of_a_statue_is_kept_instead() -> None:
    statue = kept("below", 0.2, 0)
    assert day(statue).place("below", 0.21, at(0, moved=5), ROOM) == Place(True, statue)
    full = day(statue, *[kept("below", 0.9, column) for column in range(1, ROOM)])
    assert full.place("below", 0.21, at(0), ROOM) == Place(True, statue)


def test_another_thing_or_another_reason_is_no_statue() -> None:
    today = day(kept("below", 0.2, 0))
    assert today.place("below", 0.1, at(0, moved=30), ROOM) == Place(wanted=True)
    assert today.place("zone", 0.1, at(0), ROOM) == Place(wanted=True)
