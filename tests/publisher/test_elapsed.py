"""What waits ages by the time that passes, not by the time of day."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.elapsed import SETTLED_SECONDS, Elapsed
from streamwatch.publisher.outbox.sqlite import SqliteOutbox
from tests.publisher.events import end_event, new_event, update_event

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
TRUE_START = datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp()


class Machine:
    """A machine with its two clocks, and a daemon on it with its outbox."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "outbox"
        self.true = TRUE_START
        self.error = 0.0
        """How far the time of day is ahead of the true one."""
        self.monotonic_began = TRUE_START
        self.boots = 1
        self.told: list[str] = []

    def seconds(self) -> float:
        return self.true - self.monotonic_began

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.true + self.error, UTC)

    def boot(self) -> None:
        self.monotonic_began = self.true - 30
        self.boots += 1

    def elapsed(self) -> Elapsed:
        return Elapsed(self.seconds, self.now, f"boot-{self.boots}")

    @contextmanager
    def daemon(self) -> Iterator[SqliteOutbox]:
        outbox = SqliteOutbox(self.file, max_age=timedelta(days=7), elapsed=self.elapsed())
        yield outbox
        outbox.close()

    def add(self, outbox: SqliteOutbox, *ids: str) -> None:
        for name in ids:
            outbox.add(new_event(id=name), self.seconds())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def waiting(outbox: SqliteOutbox) -> dict[str, float]:
    """The visits of the waiting events, and how long they have waited."""
    found = [outbox.take(number) for number in outbox.rewind()]
    return {each.told.id: each.waited_seconds for each in found if each}


def test_what_waits_too_long_is_dropped_as_whole_visits(machine: Machine) -> None:
    with machine.daemon() as outbox:
        machine.add(outbox, "old")
        machine.true += 3 * DAY
        machine.add(outbox, "young")
        machine.true += 3 * DAY
        outbox.add(update_event("old"), machine.seconds())
        machine.true += DAY + 1
        assert waiting(outbox).keys() == {"young"}
        assert (outbox.expired, outbox.dropped) == (2, 0)
        outbox.add(end_event("old", 2), machine.seconds())
        assert waiting(outbox).keys() == {"young"}


def test_it_waits_on_while_the_daemon_does_not_run(machine: Machine) -> None:
    with machine.daemon() as outbox:
        machine.add(outbox, "a")
        machine.true += HOUR
    machine.true += 2 * DAY
    machine.boot()
    with machine.daemon() as outbox:
        machine.true += MINUTE
        assert waiting(outbox) == {"a": pytest.approx(2 * DAY + HOUR + MINUTE)}
    machine.true += 5 * DAY
    with machine.daemon() as outbox:
        assert waiting(outbox).keys() == {"a"}  # not in the first minutes
        machine.true += SETTLED_SECONDS
        assert waiting(outbox) == {}
        assert outbox.expired == 1


def test_a_boot_clock_that_is_a_month_behind_expires_nothing(machine: Machine) -> None:
    machine.error = -30 * DAY
    with machine.daemon() as outbox:
        machine.add(outbox, "a", "b")
        machine.true += 10 * MINUTE
        assert waiting(outbox).keys() == {"a", "b"}
        machine.error = 0.0  # NTP
        assert waiting(outbox) == {"a": 10 * MINUTE, "b": 10 * MINUTE}
        machine.true += 10 * MINUTE
        assert waiting(outbox) == {"a": 20 * MINUTE, "b": 20 * MINUTE}
        assert outbox.expired == 0
    with machine.daemon() as outbox:
        assert waiting(outbox) == {"a": 20 * MINUTE, "b": 20 * MINUTE}


def test_a_start_with_a_clock_behind_is_corrected_by_the_step(machine: Machine) -> None:
    with machine.daemon() as outbox:
        machine.add(outbox, "a")
    machine.true += 2 * DAY
    machine.error = -30 * DAY
    machine.boot()
    with machine.daemon() as outbox:
        assert waiting(outbox) == {"a": 0.0}
        machine.add(outbox, "b")
        machine.true += MINUTE
        machine.error = 0.0
        assert waiting(outbox) == {"a": 2 * DAY + MINUTE, "b": MINUTE}
    with machine.daemon() as outbox:
        assert waiting(outbox) == {"a": 2 * DAY + MINUTE, "b": MINUTE}


def test_a_start_with_a_clock_ahead_is_corrected_by_the_step(machine: Machine) -> None:
    with machine.daemon() as outbox:
        machine.add(outbox, "a")
    machine.boot()
    machine.error = 30 * DAY
    with machine.daemon() as outbox:
        assert waiting(outbox) == {"a": 30 * DAY}
        machine.true += MINUTE
        machine.error = 0.0
        assert waiting(outbox) == {"a": MINUTE}
        machine.true += HOUR
        assert waiting(outbox) == {"a": HOUR + MINUTE}
        assert outbox.expired == 0


def test_visits_are_remembered_by_the_time_that_passed(machine: Machine) -> None:
    with machine.daemon() as outbox:
        machine.add(outbox, "a")
        machine.true += MINUTE
        machine.error = 2 * DAY
        outbox.remember([new_event(id="a", confidence=0.9)])
        machine.true += MINUTE
    with machine.daemon() as outbox:
        (visit,) = outbox.visits()
        assert visit.age_seconds == pytest.approx(MINUTE)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["wait", "step", "add", "connect", "restart"]),
        st.floats(-40 * DAY, 40 * DAY),
        st.floats(0, HOUR),
    ),
    max_size=25,
)


@given(steps=STEPS)
def test_no_step_of_the_clock_destroys_what_waits(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, float, float]]
) -> None:
    """In less than a day altogether, whatever the time of day is set to while it runs."""
    machine = Machine(tmp_path_factory.mktemp("steps"))
    names: list[str] = []
    outbox = SqliteOutbox(machine.file, elapsed=machine.elapsed())
    for what, error, passed in steps:
        machine.true += passed
        if what == "step":
            machine.error = error
        elif what == "add":
            names.append(f"visit{len(names)}")
            machine.add(outbox, names[-1])
        elif what == "connect":
            assert [*waiting(outbox)] == names
        elif what == "restart":
            outbox.close()
            outbox = SqliteOutbox(machine.file, elapsed=machine.elapsed())
    assert [*waiting(outbox)] == names
    assert outbox.expired == 0
    outbox.close()
