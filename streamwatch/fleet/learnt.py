"""What all workers of a fleet have learnt, together."""

from __future__ import annotations

from collections.abc import Mapping

from streamwatch.learning.overview import Experience


def together(of_workers: Mapping[str, Experience], at: Mapping[str, str]) -> Experience:
    """What each worker knows, by its name, in one.

    Of a camera that has moved, only its worker of now counts, as `at` says: the others may know yet
    what was so then. The near misses of each stay where they were taken.
    """

    def counts(worker: str, camera: str) -> bool:
        return at.get(camera, worker) == worker

    known = of_workers.items()
    votes = {
        vote.visit.id: vote
        for worker, each in known
        for vote in each.votes
        if counts(worker, vote.visit.subject.camera)
    }
    return Experience(
        learnt={
            subject: learnt
            for worker, each in known
            for subject, learnt in each.learnt.items()
            if counts(worker, subject.camera)
        },
        visits=[
            visit
            for worker, each in known
            for visit in each.visits
            if counts(worker, visit.subject.camera)
        ],
        votes=sorted(votes.values(), key=lambda vote: vote.at),
        near_misses=[row for each in of_workers.values() for row in each.near_misses],
    )
