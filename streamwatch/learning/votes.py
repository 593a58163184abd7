"""What people have said of visits. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from streamwatch.learning.learnt import Subject, Taught, Vote

MOST_VOTES = 64
"""The newest wrong ones of a watch, and the newest right ones."""

_NOTHING = Taught()


def shown(vote: Vote) -> dict[str, Any]:
    """A vote for people: `crop` says whether its crop is learnt."""
    visit = vote.visit
    return {
        "id": visit.id,
        "is": "right" if vote.right else "wrong",
        "camera": visit.subject.camera,
        "watch": visit.subject.watch,
        "prompt": visit.prompt,
        "confidence": round(visit.confidence, 3),
        "captured_at": visit.captured_at.isoformat(timespec="seconds"),
        "taught_at": datetime.fromtimestamp(vote.at, UTC).isoformat(timespec="seconds"),
        "crop": visit.vector is not None,
    }


class Votes:
    """By the id of the visit. One thread at a time changes it; `of` and `taught` are for any."""

    def __init__(self) -> None:
        self._votes: dict[str, Vote] = {}
        """In the order in which they were taught."""
        self._of_subject: Mapping[Subject, tuple[Vote, ...]] = {}
        self._taught: Mapping[tuple[str, str], Taught] = {}

    def __iter__(self) -> Iterator[Vote]:
        return iter(tuple(self._votes.values()))

    def get(self, id: str) -> Vote | None:
        return self._votes.get(id)

    def of(self, subject: Subject) -> Sequence[Vote]:
        return self._of_subject.get(subject, ())

    def taught(self, watch: str, words: str) -> Taught:
        """The crops of a watch's votes, of all cameras."""
        return self._taught.get((watch, words), _NOTHING)

    def put(self, votes: Iterable[Vote]) -> list[str]:
        """Add these, each in place of an earlier one on the same visit; returns the ids of those
        that are forgotten for them."""
        gone = []
        for vote in votes:
            self._votes.pop(vote.visit.id, None)
            self._votes[vote.visit.id] = vote
            for id in self._too_many(vote):
                del self._votes[id]
                gone.append(id)
        self._sort()
        return gone

    def update(self, vote: Vote) -> None:
        """Replace the vote on the same visit, where there is one, in its place."""
        if vote.visit.id in self._votes:
            self._votes[vote.visit.id] = vote
            self._sort()

    def drop(self, ids: Collection[str]) -> None:
        for id in ids:
            self._votes.pop(id, None)
        self._sort()

    def _too_many(self, newest: Vote) -> list[str]:
        subject = newest.visit.subject
        same = [
            id
            for id, vote in self._votes.items()
            if vote.right == newest.right
            and vote.visit.subject.watch == subject.watch
            and vote.visit.subject.words == subject.words
        ]
        return same[:-MOST_VOTES]

    def _sort(self) -> None:
        """Make what others read, as a whole."""
        of_subject: dict[Subject, list[Vote]] = defaultdict(list)
        of_words: dict[tuple[str, str], list[Vote]] = defaultdict(list)
        for vote in self._votes.values():
            subject = vote.visit.subject
            of_subject[subject].append(vote)
            of_words[subject.watch, subject.words].append(vote)
        self._of_subject = {subject: tuple(votes) for subject, votes in of_subject.items()}
        self._taught = {key: _crops(votes) for key, votes in of_words.items()}


def _crops(votes: Collection[Vote]) -> Taught:
    """Of those whose vector is as long as the newest's: another image tower's are of no use."""
    vectors = [vote.visit.vector for vote in votes if vote.visit.vector is not None]
    if not vectors:
        return _NOTHING
    width = len(vectors[-1])
    wrong, right, ids = [], [], []
    for vote in votes:
        vector = vote.visit.vector
        if vector is None or len(vector) != width:
            continue
        if vote.right:
            right.append(vector)
        else:
            wrong.append(vector)
            ids.append(vote.visit.id)
    nothing = np.zeros((0, width), np.float32)
    return Taught(
        tuple(ids),
        np.stack(wrong) if wrong else nothing,
        np.stack(right) if right else nothing,
    )
