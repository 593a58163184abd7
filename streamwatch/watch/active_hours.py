"""The hours in which a watch may publish new events (`active`). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo

from streamwatch.config import Hours


class ActiveHours:
    """Hours of the week in local time of `zone`, or of the system's zone if it is None.

    Local time alone decides: the hour that comes twice when clocks are set back counts twice, and
    the one skipped in spring does not occur. Hours over midnight belong to the day on which they
    begin. With no hours it is always active.
    """

    def __init__(self, hours: Sequence[Hours], zone: tzinfo | None) -> None:
        self._hours = tuple(hours)
        self._zone = zone

    def active(self, at: datetime) -> bool:
        """Whether `at`, which must be timezone-aware, is within the hours."""
        local = at.astimezone(self._zone)
        minute = local.hour * 60 + local.minute
        return not self._hours or any(
            _hold(hours, local.weekday(), minute) for hours in self._hours
        )


def _hold(hours: Hours, weekday: int, minute: int) -> bool:
    begun_today = weekday in hours.days and minute >= hours.start
    if hours.start < hours.end:
        return begun_today and minute < hours.end
    begun_yesterday = (weekday - 1) % 7 in hours.days
    return begun_today or (begun_yesterday and minute < hours.end)
