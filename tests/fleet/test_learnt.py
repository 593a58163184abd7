"""What workers have learnt, together."""

from __future__ import annotations

from dataclasses import replace

from streamwatch.fleet.learnt import together
from streamwatch.learning.learnt import Learnt, Subject, ToldVisit, Vote
from streamwatch.learning.overview import Experience
from tests.publisher.events import MOMENT

PORCH, YARD = (Subject(camera, "cars", "car") for camera in ("porch", "yard"))


def visit(id: str, subject: Subject) -> ToldVisit:
    return ToldVisit(id, subject, "car", 0.8, 0.7, MOMENT, None)


def experience(*visits: ToldVisit, at: float = 0.0) -> Experience:
    return Experience(
        {each.subject: Learnt(told=len(visits)) for each in visits},
        visits,
        [Vote(each, True, at) for each in visits],
        [{"camera": each.subject.camera} for each in visits],
    )


def test_each_worker_tells_of_its_cameras() -> None:
    one, two = visit("a", PORCH), visit("b", YARD)
    workers = {"one": experience(one, at=2.0), "two": experience(two, at=1.0)}
    found = together(workers, {"porch": "one", "yard": "two"})
    assert found.learnt.keys() == {PORCH, YARD}
    assert found.visits == [one, two]
    assert [vote.visit for vote in found.votes] == [two, one]


def test_of_a_camera_that_has_moved_its_worker_of_now_counts() -> None:
    """The other still has a vote that was taken back since, and fewer visits."""
    before = experience(visit("a", PORCH), visit("b", PORCH))
    now = replace(experience(visit("c", PORCH)), votes=())
    found = together({"one": before, "two": now}, {"porch": "two"})
    assert found.learnt == now.learnt
    assert [each.id for each in found.visits] == ["c"]
    assert found.votes == []
    assert len(found.near_misses) == 3


def test_of_a_camera_on_its_way_everybody_counts() -> None:
    found = together({"one": experience(visit("a", PORCH)), "two": Experience()}, {})
    assert found.learnt.keys() == {PORCH}
    assert [vote.visit.id for vote in found.votes] == ["a"]
