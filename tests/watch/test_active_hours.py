"""When a watch is active: by the clock on the wall, whatever it does."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from streamwatch.config.values.hours import hours
from streamwatch.watch.active_hours import ActiveHours

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"


def active(text: str, zone: str, utc: str) -> bool:
    schedule = ActiveHours([hours(part) for part in text.split(" + ")], ZoneInfo(zone))
    return schedule.active(datetime.fromisoformat(f"{utc}+00:00"))


@pytest.mark.parametrize(
    ("text", "zone", "utc", "expected"),
    [
        # 2026-06-01 is a Monday. Ends are excluded, starts included.
        ("08:00-20:00", "UTC", "2026-06-01T07:59:59.999", False),
        ("08:00-20:00", "UTC", "2026-06-01T08:00", True),
        ("08:00-20:00", "UTC", "2026-06-01T19:59:59.999", True),
        ("08:00-20:00", "UTC", "2026-06-01T20:00", False),
        ("20:00-24:00", "UTC", "2026-06-01T23:59:59.999", True),
        ("20:00-24:00", "UTC", "2026-06-02T00:00", False),
        ("20:00-00:00", "UTC", "2026-06-01T23:59:59.999", True),
        ("20:00-00:00", "UTC", "2026-06-02T00:00", False),
        # Days alone, lists of days, and ranges of days over the week's end.
        ("sat,sun", "UTC", "2026-06-05T23:59:59", False),
        ("sat,sun", "UTC", "2026-06-06T00:00", True),
        ("sat,sun", "UTC", "2026-06-07T23:59:59", True),
        ("sat,sun", "UTC", "2026-06-08T00:00", False),
        ("sat-mon 08:00-20:00", "UTC", "2026-06-05T12:00", False),
        ("sat-mon 08:00-20:00", "UTC", "2026-06-06T12:00", True),
        ("sat-mon 08:00-20:00", "UTC", "2026-06-07T12:00", True),
        ("sat-mon 08:00-20:00", "UTC", "2026-06-08T12:00", True),
        ("sat-mon 08:00-20:00", "UTC", "2026-06-09T12:00", False),
        ("sat-mon 08:00-20:00", "UTC", "2026-06-08T07:00", False),
        ("wed-wed", "UTC", "2026-06-03T12:00", True),
        ("wed-wed", "UTC", "2026-06-04T12:00", False),
        # Over midnight: the hours belong to the day on which they begin.
        ("mon-fri 22:00-06:00", "UTC", "2026-06-01T05:00", False),  # Sunday's night
        ("mon-fri 22:00-06:00", "UTC", "2026-06-01T22:00", True),
        ("mon-fri 22:00-06:00", "UTC", "2026-06-02T05:59:59", True),
        ("mon-fri 22:00-06:00", "UTC", "2026-06-02T06:00", False),
        ("mon-fri 22:00-06:00", "UTC", "2026-06-06T05:00", True),  # Friday's night, on Saturday
        ("mon-fri 22:00-06:00", "UTC", "2026-06-06T22:00", False),
        ("sun 22:00-06:00", "UTC", "2026-06-08T05:00", True),  # into the next week
        ("sun 22:00-06:00", "UTC", "2026-06-07T05:00", False),
        # The year's end.
        ("thu 22:00-06:00", "UTC", "2027-01-01T05:00", True),  # 2026-12-31 is a Thursday
        # Any of a list.
        ("mon 08:00-09:00 + sun", "UTC", "2026-06-01T08:30", True),
        ("mon 08:00-09:00 + sun", "UTC", "2026-06-07T23:30", True),
        ("mon 08:00-09:00 + sun", "UTC", "2026-06-02T08:30", False),
        # The zone's clock and its date decide, not UTC's.
        ("22:00-06:00", BERLIN, "2026-06-01T20:00", True),
        ("22:00-06:00", BERLIN, "2026-06-01T19:59", False),
        ("mon", BERLIN, "2026-05-31T22:00", True),
        ("mon", NEW_YORK, "2026-06-01T03:59", False),
        ("mon", NEW_YORK, "2026-06-02T03:59", True),
        # Berlin, spring: 02:00 to 03:00 on 2026-03-29 does not exist; 01:59:59 is 00:59:59 UTC.
        ("02:00-03:00", BERLIN, "2026-03-29T00:59:59", False),
        ("02:00-03:00", BERLIN, "2026-03-29T01:00", False),
        ("02:30-04:00", BERLIN, "2026-03-29T00:59:59", False),
        ("02:30-04:00", BERLIN, "2026-03-29T01:00", True),
        ("sat 22:00-06:00", BERLIN, "2026-03-29T03:59:59", True),  # 05:59:59 in summer time
        ("sat 22:00-06:00", BERLIN, "2026-03-29T04:00", False),
        # Berlin, autumn: 02:00 to 03:00 on 2026-10-25 comes twice, from 00:00 and 01:00 UTC on.
        ("02:00-02:30", BERLIN, "2026-10-25T00:15", True),
        ("02:00-02:30", BERLIN, "2026-10-25T00:45", False),
        ("02:00-02:30", BERLIN, "2026-10-25T01:15", True),
        ("02:00-02:30", BERLIN, "2026-10-25T01:45", False),
        ("sat 22:00-06:00", BERLIN, "2026-10-25T04:59:59", True),  # 05:59:59 in winter time
        ("sat 22:00-06:00", BERLIN, "2026-10-25T05:00", False),
        # New York, spring 2026-03-08: 02:00 EST (07:00 UTC) becomes 03:00 EDT.
        ("01:30-02:30", NEW_YORK, "2026-03-08T06:59:59", True),
        ("01:30-02:30", NEW_YORK, "2026-03-08T07:00", False),
        # New York, autumn 2026-11-01: 01:00 to 02:00 twice, from 05:00 and 06:00 UTC on.
        ("sun 01:30-02:00", NEW_YORK, "2026-11-01T05:30", True),
        ("sun 01:30-02:00", NEW_YORK, "2026-11-01T06:00", False),
        ("sun 01:30-02:00", NEW_YORK, "2026-11-01T06:30", True),
        ("sun 01:30-02:00", NEW_YORK, "2026-11-01T07:00", False),
        # Lord Howe shifts by half an hour: on 2026-10-04 at 02:00 +10:30 (15:30 UTC) to 02:30,
        # on 2026-04-05 at 02:00 +11:00 (2026-04-04 15:00 UTC) back to 01:30.
        ("02:00-02:30", LORD_HOWE, "2026-10-03T15:29:59", False),
        ("02:00-02:30", LORD_HOWE, "2026-10-03T15:30", False),
        ("02:15-03:00", LORD_HOWE, "2026-10-03T15:30", True),
        ("01:30-01:45", LORD_HOWE, "2026-04-04T14:35", True),
        ("01:30-01:45", LORD_HOWE, "2026-04-04T14:50", False),
        ("01:30-01:45", LORD_HOWE, "2026-04-04T15:05", True),
        ("01:30-01:45", LORD_HOWE, "2026-04-04T15:20", False),
        # Where clocks change at midnight, a day may have no 00:00: Cairo, 2026-04-24.
        ("fri 00:00-01:00", "Africa/Cairo", "2026-04-23T21:59:59", False),
        ("fri 00:00-01:00", "Africa/Cairo", "2026-04-23T22:00", False),
        ("fri 00:00-01:30", "Africa/Cairo", "2026-04-23T22:00", True),
    ],
)
def test_active(text: str, zone: str, utc: str, expected: bool) -> None:
    assert active(text, zone, utc) is expected


def test_without_hours_it_is_always_active() -> None:
    assert ActiveHours([], None).active(datetime(2026, 6, 1, tzinfo=UTC))


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, LORD_HOWE, "UTC"])
def test_hours_and_their_complement_cover_the_year(zone: str) -> None:
    night = ActiveHours([hours("22:00-06:00")], ZoneInfo(zone))
    day = ActiveHours([hours("06:00-22:00")], ZoneInfo(zone))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(minutes=15 * number) for number in range(366 * 96)]
    assert all(night.active(moment) is not day.active(moment) for moment in moments)


@pytest.fixture
def system_in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", NEW_YORK)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("system_in_new_york")
@pytest.mark.parametrize("month", [1, 7])
def test_without_a_time_zone_the_systems_is_used(month: int) -> None:
    """In summer and in winter, whichever of them it is now."""
    assert os.environ["TZ"] == NEW_YORK
    schedule = ActiveHours([hours("08:00-09:00")], None)
    named = ActiveHours([hours("08:00-09:00")], ZoneInfo(NEW_YORK))
    found = [
        (schedule.active(moment), named.active(moment))
        for hour in range(24)
        for moment in [datetime(2026, month, 6, hour, 30, tzinfo=UTC)]
    ]
    assert [system for system, _ in found] == [by_name for _, by_name in found]
    assert [system for system, _ in found].count(True) == 1
