"""What people have said of visits: the newest of each watch, on all its cameras."""

from __future__ import annotations

import numpy as np

from streamwatch.learning.learnt import Subject, Vote
from streamwatch.learning.votes import MOST_VOTES, Votes
from tests.learning.lessons import SUBJECT, told_visit, vector, vote

GARDEN = Subject("garden", SUBJECT.watch, SUBJECT.words)
DOGS = Subject("porch", "dogs", "fedcba9876543210")


def names(votes: Votes) -> list[str]:
    return [each.visit.id for each in votes]


def many(right: bool, count: int, prefix: str) -> list[Vote]:
    """By turns on both cameras."""
    return [
        vote(right, id=f"{prefix}{number}", subject=(SUBJECT, GARDEN)[number % 2])
        for number in range(count)
    ]


def test_of_a_watch_so_many_right_and_so_many_wrong_votes_are_kept_on_all_its_cameras() -> None:
    votes = Votes()
    right, wrong = many(True, MOST_VOTES, "right"), many(False, MOST_VOTES, "wrong")
    assert votes.put([*right, *wrong]) == []
    assert len(names(votes)) == 2 * MOST_VOTES
    assert len(votes.of(SUBJECT)) == len(votes.of(GARDEN)) == MOST_VOTES


def test_the_oldest_goes_of_what_was_said_alike() -> None:
    votes = Votes()
    votes.put([*many(True, MOST_VOTES, "right"), *many(False, MOST_VOTES, "wrong")])
    assert votes.put([vote(False, id="new")]) == ["wrong0"]
    assert votes.put([vote(True, id="newer")]) == ["right0"]
    assert votes.get("wrong0") is None
    assert votes.get("new") is not None
    assert len(names(votes)) == 2 * MOST_VOTES
    assert {each.visit.id for each in votes.of(SUBJECT)} >= {"new", "newer"}
    assert "wrong0" not in {each.visit.id for each in votes.of(SUBJECT)}


def test_too_many_at_once_leave_the_newest() -> None:
    votes = Votes()
    gone = votes.put(many(False, MOST_VOTES + 5, "wrong"))
    assert gone == [f"wrong{number}" for number in range(5)]
    assert names(votes) == [f"wrong{number}" for number in range(5, MOST_VOTES + 5)]


def test_other_watches_and_other_words_have_votes_of_their_own() -> None:
    votes = Votes()
    votes.put(many(False, MOST_VOTES, "wrong"))
    reworded = Subject(SUBJECT.camera, SUBJECT.watch, "another")
    assert votes.put([vote(False, subject=DOGS), vote(False, subject=reworded)]) == []
    assert len(names(votes)) == MOST_VOTES + 2


def test_another_vote_on_a_visit_takes_the_place_of_the_first() -> None:
    votes = Votes()
    votes.put([vote(False, id="a"), vote(False, id="b")])
    assert votes.put([vote(True, id="a")]) == []
    assert names(votes) == ["b", "a"]
    assert [each.right for each in votes] == [False, True]
    assert [each.visit.id for each in votes.of(SUBJECT)] == ["b", "a"]


def test_a_vote_given_again_is_the_newest() -> None:
    votes = Votes()
    votes.put(many(False, MOST_VOTES, "wrong"))
    votes.put([vote(False, id="wrong0")])
    assert votes.put([vote(False, id="new")]) == ["wrong1"]


def test_a_visit_that_goes_on_keeps_the_place_of_its_vote() -> None:
    votes = Votes()
    votes.put([vote(False, 0.4, id="a"), vote(False, id="b")])
    votes.update(vote(False, 0.7, id="a"))
    assert names(votes) == ["a", "b"]
    assert votes.of(SUBJECT)[0].visit.reach == 0.7
    votes.update(vote(False, 0.7, id="unknown"))
    assert names(votes) == ["a", "b"]


def test_votes_are_taken_back() -> None:
    votes = Votes()
    votes.put([vote(False, id="a", vector=vector(1, 0)), vote(False, id="b")])
    votes.drop(["a", "unknown"])
    assert names(votes) == ["b"]
    assert votes.get("a") is None
    assert [each.visit.id for each in votes.of(SUBJECT)] == ["b"]
    assert votes.taught(SUBJECT.watch, SUBJECT.words).ids == ()


def test_crops_are_taught_to_a_watch_on_all_its_cameras() -> None:
    votes = Votes()
    votes.put(
        [
            vote(False, id="a", vector=vector(1, 0, 0)),
            vote(False, id="b", vector=vector(0, 1, 0), subject=GARDEN),
            vote(True, id="c", vector=vector(0, 0, 1), subject=GARDEN),
            vote(False, id="d"),
            vote(False, id="e", vector=vector(1, 1, 0), subject=DOGS),
        ]
    )
    taught = votes.taught(SUBJECT.watch, SUBJECT.words)
    assert taught.ids == ("a", "b")
    np.testing.assert_array_equal(taught.wrong, [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(taught.right, [[0, 0, 1]])
    assert votes.taught(DOGS.watch, DOGS.words).ids == ("e",)
    assert votes.taught(SUBJECT.watch, DOGS.words).ids == ()
    assert votes.taught("unknown", SUBJECT.words).ids == ()


def test_right_votes_alone_teach_no_wrong_crop() -> None:
    votes = Votes()
    votes.put([vote(True, vector=vector(1, 0))])
    taught = votes.taught(SUBJECT.watch, SUBJECT.words)
    assert (taught.ids, taught.wrong.shape, taught.right.shape) == ((), (0, 2), (1, 2))


def test_crops_of_an_image_tower_used_before_are_left_out() -> None:
    votes = Votes()
    votes.put([vote(False, id="a", vector=vector(1, 0)), vote(True, vector=vector(0, 1))])
    votes.put([vote(False, id="b", vector=vector(1, 0, 0))])
    taught = votes.taught(SUBJECT.watch, SUBJECT.words)
    assert (taught.ids, taught.wrong.shape, taught.right.shape) == (("b",), (1, 3), (0, 3))


def test_votes_may_change_while_they_are_read() -> None:
    votes = Votes()
    votes.put([vote(False, id="a"), vote(False, id="b")])
    for each in votes:
        votes.put([Vote(told_visit(each.visit.id), True, 0.0)])
    assert [each.right for each in votes] == [True, True]
