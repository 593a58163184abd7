"""What the events of a visit add to it, and what is kept of it as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from streamwatch.history.visits import MOST_STEPS, Step, Visit, row_of, visit_of, with_event
from streamwatch.records import Event, SecondLook
from tests.publisher.events import MOMENT, end_event, new_event, update_event

STARTED = MOMENT - timedelta(seconds=1)
SECOND = timedelta(seconds=1)


def told(*events: Event) -> Visit:
    visit = None
    for event in events:
        visit = with_event(visit, event)
    assert visit is not None
    return visit


def look(**changes: Any) -> SecondLook:
    fields: dict[str, Any] = {
        "by": "clip", "score": None, "answer": None, "beaten_by": None, "looks": 1,
        "decided": "confirmed", "ms": 12.0,
    }  # fmt: skip
    return SecondLook(**{**fields, **changes})


def kept(visit: Visit) -> Visit | None:
    row = json.loads(json.dumps(row_of(visit)))
    return visit_of(visit.id, visit.camera, visit.watch, visit.started_at.timestamp(), row)


WHOLE = told(
    new_event(id="a", confidence=0.5, best_confidence=0.5, second_look=look(score=0.9)),
    update_event("a", confidence=0.7, best_confidence=0.8, zones=("steps", "path"), prompt="car"),
    end_event("a", confidence=0.4, best_confidence=0.8, zones=("path",)),
)


# --- events ---------------------------------------------------------------------------------------


def test_the_first_event_begins_a_visit() -> None:
    assert told(new_event(id="a")) == Visit(
        *("a", "porch", "car", "red car", "open", STARTED, None, 0.91, ("steps",)),
        (Step("new", MOMENT, "red car", 0.83, ("steps",), None, None),),
    )


def test_events_in_order_give_the_visit_its_steps_and_its_end() -> None:
    later, last = MOMENT + SECOND, MOMENT + 5 * SECOND
    visit = told(
        new_event(id="a", confidence=0.5, best_confidence=0.6, zones=()),
        update_event("a", captured_at=later, confidence=0.9, best_confidence=0.9, prompt="lorry"),
        new_event(
            *(), id="a", type="end", reason="lost", captured_at=last, ended_at=last,
            confidence=0.4, best_confidence=0.9, zones=("path",),
        ),
    )  # fmt: skip
    assert visit.steps == (
        Step("new", MOMENT, "red car", 0.5, (), None, None),
        Step("update", later, "lorry", 0.9, ("steps",), None, None),
        Step("end", last, "red car", 0.4, ("path",), "lost", None),
    )
    assert (visit.state, visit.started_at, visit.ended_at) == ("ended", STARTED, last)
    assert (visit.confidence, visit.zones) == (0.9, ("path",))


def test_the_best_confidence_stays() -> None:
    visit = told(new_event(id="a"), update_event("a", confidence=0.2, best_confidence=0.2))
    assert visit.confidence == 0.91


def test_the_last_zones_stay_where_an_event_has_none() -> None:
    visit = told(new_event(id="a", zones=("steps", "path")), end_event("a", zones=()))
    assert visit.zones == ("steps", "path")
    assert [step.zones for step in visit.steps] == [("steps", "path"), ()]


def test_the_start_of_the_first_event_stays() -> None:
    visit = told(new_event(id="a"), update_event("a", started_at=STARTED + SECOND))
    assert visit.started_at == STARTED


def test_a_rejected_one_stands_alone() -> None:
    visit = told(
        new_event(
            *(), type="rejected", ended_at=MOMENT, reason="left",
            second_look=look(score=0.0349, beaten_by="a shadow", decided="rejected"),
        )
    )  # fmt: skip
    assert (visit.state, visit.ended_at) == ("rejected", MOMENT)
    (step,) = visit.steps
    assert (step.type, step.reason) == ("rejected", "left")
    assert step.note == 'a second look gives 3%, rather "a shadow"'


@pytest.mark.parametrize(
    ("second_look", "note"),
    [
        (None, None),
        (look(score=0.926), "a second look gives 93%"),
        (look(score=0.0), "a second look gives 0%"),
        (look(score=0.1, beaten_by="fox"), 'a second look gives 10%, rather "fox"'),
        (look(by="vlm", answer="no"), 'a second look says "no"'),
        (look(by="vlm", answer="yes", score=0.5), 'a second look says "yes"'),
        (look(decided="skipped", ms=None), "no second look could be taken"),
    ],
)
def test_a_step_tells_what_a_second_look_has_said(
    second_look: SecondLook | None, note: str | None
) -> None:
    (step,) = told(new_event(second_look=second_look)).steps
    assert step.note == note


def numbers(visit: Visit) -> Sequence[int]:
    """Which events its steps are of."""
    return [round((step.at - MOMENT) / SECOND) for step in visit.steps]


def test_of_many_steps_those_in_the_middle_are_left_out() -> None:
    events = [update_event("a", captured_at=MOMENT + number * SECOND) for number in range(500)]
    half = MOST_STEPS // 2
    assert numbers(told(*events[:MOST_STEPS])) == list(range(MOST_STEPS))
    for count in (MOST_STEPS + 1, MOST_STEPS + 2, 500):
        seen = numbers(told(*events[:count]))
        assert seen == [*range(half), *range(count - (MOST_STEPS - half), count)]
    visit = told(*events, end_event("a", captured_at=MOMENT + 500 * SECOND))
    assert len(visit.steps) == MOST_STEPS
    assert visit.steps[-1].type == "end"


# --- as JSON --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "visit",
    [
        WHOLE,
        told(new_event()),
        told(new_event(zones=(), prompt="Tür 🚪", type="rejected", ended_at=MOMENT)),
    ],
)
def test_a_visit_is_the_same_again(visit: Visit) -> None:
    assert kept(visit) == visit


def changed(**changes: Any) -> dict[str, Any]:
    return {**row_of(WHOLE), **changes}


def with_step(**changes: Any) -> dict[str, Any]:
    row = row_of(WHOLE)
    row["steps"][1].update(changes)
    return row


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in row_of(WHOLE).items() if name != key}


NO_TIMES: Sequence[Any] = ("now", [], 1e30, float("nan"), float("inf"))
NO_NUMBERS: Sequence[Any] = (None, "sure", [], 10**400)
NO_STATES: Sequence[Any] = (None, "", "closed", ["open"], 1)
NO_STEPS: Sequence[Any] = (None, 3, "new", [3], [None], ["new"], [{}])
NONSENSE: Sequence[tuple[Any, dict[str, Any]]] = (
    (0.0, {}),
    *((0.0, without(key)) for key in row_of(WHOLE)),
    *((0.0, changed(state=state)) for state in NO_STATES),
    *((0.0, changed(ended_at=at)) for at in NO_TIMES),
    *((0.0, changed(confidence=value)) for value in NO_NUMBERS),
    *((0.0, changed(zones=zones)) for zones in (None, 3)),
    *((0.0, changed(steps=steps)) for steps in NO_STEPS),
    *((0.0, with_step(at=at)) for at in (None, *NO_TIMES)),
    *((0.0, with_step(confidence=value)) for value in NO_NUMBERS),
    (0.0, with_step(zones=None)),
    *((at, row_of(WHOLE)) for at in (None, b"\0", *NO_TIMES)),
)


@pytest.mark.parametrize(("started_at", "row"), NONSENSE, ids=lambda value: ascii(value)[:80])
def test_a_row_of_nonsense_is_no_visit(started_at: Any, row: dict[str, Any]) -> None:
    assert visit_of("a", "porch", "car", started_at, row) is None


def test_what_another_version_adds_does_not_matter() -> None:
    row = changed(mood="good")
    row["steps"][0]["mood"] = "bad"
    assert visit_of("a", "porch", "car", STARTED.timestamp(), row) == WHOLE
