"""All that is learnt, in memory, and written to its file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path

from streamwatch.learning import rows
from streamwatch.learning.learnt import Learnt, Subject, ToldVisit, Vote
from streamwatch.learning.lessons import Memory
from streamwatch.learning.saving import Saving
from streamwatch.learning.store import Contents, Store
from streamwatch.learning.votes import Votes

MOST_VISITS = 100
"""The newest alerts of a camera and watch that can be taught."""
MOST_FORMER = 100
"""Subjects that no watch needs any more: it may be written again as it was."""


class Known:
    """Memories, the visits that were told, and votes on them.

    What reads is for any thread, and `memory`, `tell` and `take_over`; the rest, which writes to
    the file, is for one thread. Without a file nothing outlives the process. `recall` is called
    with what the file holds, once it can be read, and `complain` with one sentence.
    """

    def __init__(
        self,
        file: Path | None,
        *,
        recall: Callable[[Contents], None],
        complain: Callable[[str], None],
    ) -> None:
        self.votes = Votes()
        self._recall = recall
        self._lock = threading.Lock()
        """Held while something is read or changed as a whole; never while anything is written."""
        self._memories: dict[Subject, Memory] = {}
        self._visits: dict[str, ToldVisit] = {}
        self._saved: dict[Subject, Learnt] = {}
        """As they are in the file."""
        self._unsaved_visits: dict[str, ToldVisit] = {}
        self._gone_visits: list[str] = []
        self._gone_votes: list[str] = []
        """Forgotten while the file could not be written."""
        self._saving: Saving | None = None
        if file is not None:
            self._saving = Saving(file, self._take_what_was_saved, self._write_everything, complain)

    @property
    def failing(self) -> bool:
        """Whether the file can't be written at present."""
        return self._saving is not None and self._saving.failing

    # --- reading ----------------------------------------------------------------------------------

    def memory(self, subject: Subject) -> Memory:
        """The same object each time."""
        with self._lock:
            return self._memories.setdefault(subject, Memory(subject))

    def learnt(self, subjects: Iterable[Subject]) -> dict[Subject, Learnt]:
        """What is known of these, where anything is."""
        with self._lock:
            return {
                subject: self._memories[subject].learnt
                for subject in subjects
                if subject in self._memories
            }

    def visit(self, id: str) -> ToldVisit | None:
        with self._lock:
            found = self._visits.get(id)
        if found is None and (vote := self.votes.get(id)) is not None:
            return vote.visit
        return found

    @property
    def visits(self) -> tuple[ToldVisit, ...]:
        """The newest that were told, of every subject."""
        with self._lock:
            return tuple(self._visits.values())

    def newest_visit(self, camera: str, watch: str) -> ToldVisit | None:
        """The one that was told last; others may have ended after it began."""
        with self._lock:
            for visit in reversed(self._visits.values()):
                if (visit.subject.camera, visit.subject.watch) == (camera, watch):
                    return visit
        return None

    def of_camera(self, camera: str) -> str:
        """All that was learnt of a camera, as text for `take_over`."""
        learnt = {key: it for key, it in self._learnt_now().items() if key.camera == camera}
        with self._lock:
            visits = [each for each in self._visits.values() if each.subject.camera == camera]
        votes = [each for each in self.votes if each.visit.subject.camera == camera]
        return rows.handing_over(camera, learnt, visits, votes)

    # --- learning ---------------------------------------------------------------------------------

    def tell(self, visit: ToldVisit) -> ToldVisit:
        """Take a visit that was told, and return it with what was known of it before."""
        with self._lock:
            # What a crash has left open is told again under the same id, without a look.
            before = self._visits.get(visit.id)
            if before is not None:
                vector = before.vector if visit.vector is None else visit.vector
                visit = replace(visit, vector=vector, reach=max(before.reach, visit.reach))
            self._visits[visit.id] = visit
        return visit

    def settle(self, visit: ToldVisit) -> None:
        """Have a visit that was told be saved, and leave no more of its subject than the newest."""
        self._unsaved_visits[visit.id] = visit
        with self._lock:
            same = [id for id, each in self._visits.items() if each.subject == visit.subject]
            for id in same[:-MOST_VISITS]:
                del self._visits[id]
                self._gone_visits.append(id)
            voted = self.votes.get(visit.id)
            if voted is None:
                return
            # It was voted on while it lasted.
            vote = Vote(visit, voted.right, voted.at)
            self.votes.update(vote)
        self.write(lambda store: store.save({}, votes=[vote]))

    def vote(self, vote: Vote) -> tuple[Vote | None, list[str]]:
        """Take a vote; returns the one before it on the same visit, and the ids of the visits whose
        votes are forgotten for it."""
        with self._lock:
            before = self.votes.get(vote.visit.id)
            gone = self.votes.put([vote])

        def write(store: Store) -> None:
            store.save({}, votes=[vote])
            store.forget(votes=gone)

        if not self.write(write):
            self._gone_votes += gone
        return before, gone

    def forget_vote(self, id: str) -> bool:
        """Whether there was one on this visit."""
        with self._lock:
            known = self.votes.get(id) is not None
            self.votes.drop([id])
        if known and not self.write(lambda store: store.forget(votes=[id])):
            self._gone_votes.append(id)
        return known

    def forget_former(self, needed: Collection[Subject]) -> None:
        """Leave no more than some of the subjects that no watch needs any more."""
        with self._lock:
            former = [subject for subject in self._memories if subject not in needed]
            gone = former[:-MOST_FORMER]
            for subject in gone:
                del self._memories[subject]
                self._saved.pop(subject, None)
            for id in [id for id, each in self._visits.items() if each.subject in gone]:
                del self._visits[id]
            self.votes.drop([vote.visit.id for vote in self.votes if vote.visit.subject in gone])
        if gone:
            self.write(lambda store: store.forget(subjects=gone))

    def take_over(self, text: str) -> Callable[[], None]:
        """Put what another machine has learnt of a camera in place of what is known of it here.

        Returns what writes it. Raises NotUnderstood, and changes nothing then.
        """
        camera, learnt, visits, votes = rows.handed_over(text)
        with self._lock:
            gone = [subject for subject in self._memories if subject.camera == camera]
            for subject in gone:
                del self._memories[subject]
            gone_visits = [id for id, each in self._visits.items() if each.subject.camera == camera]
            for id in gone_visits:
                del self._visits[id]
            gone_votes = [v.visit.id for v in self.votes if v.visit.subject.camera == camera]
            self.votes.drop(gone_votes)
            for subject, found in learnt.items():
                self._memories[subject] = Memory(subject, found)
            self._visits |= {visit.id: visit for visit in visits}
            too_many = self.votes.put(votes)

        def write(store: Store) -> None:
            store.forget(subjects=gone, visits=gone_visits, votes=gone_votes)
            store.save(learnt, visits, votes)
            store.forget(votes=too_many)

        def task() -> None:
            for id in gone_visits:
                self._unsaved_visits.pop(id, None)
            if not self.write(write):
                self._gone_visits += gone_visits
                self._gone_votes += [*gone_votes, *too_many]

        return task

    # --- the file ---------------------------------------------------------------------------------

    def save(self) -> None:
        """Write what has changed."""
        now = self._learnt_now()
        changed = {
            subject: learnt
            for subject, learnt in now.items()
            if learnt is not self._saved.get(subject) and learnt != Learnt()
        }
        visits, gone = self._unsaved_visits, self._gone_visits

        def write(store: Store) -> None:
            store.save(changed, visits.values())
            store.forget(visits=gone)

        if (changed or visits or gone) and self.write(write):
            self._saved |= changed
            self._unsaved_visits, self._gone_visits = {}, []

    def write(self, write: Callable[[Store], None]) -> bool:
        """Whether it could be written."""
        return self._saving is not None and self._saving.write(write)

    def close(self) -> None:
        if self._saving is not None:
            self._saving.close()

    def _take_what_was_saved(self, found: Contents) -> None:
        """Something may have been learnt before, where the file could not be read at first: of a
        subject goes on what was seen more of."""
        self._saved = dict(found.learnt)
        with self._lock:
            for subject, learnt in found.learnt.items():
                memory = self._memories.setdefault(subject, Memory(subject))
                if _entries(memory.learnt) <= _entries(learnt):
                    memory.learnt = learnt
            self._visits = {visit.id: visit for visit in found.visits} | self._visits
            self.votes.put([*found.votes, *self.votes])
        self._recall(found)

    def _write_everything(self, store: Store) -> None:
        with self._lock:
            visits = list(self._visits.values())
        now = self._learnt_now()
        store.forget(visits=self._gone_visits, votes=self._gone_votes)
        store.save(now, visits, self.votes)
        self._saved = now
        self._unsaved_visits, self._gone_visits, self._gone_votes = {}, [], []

    def _learnt_now(self) -> dict[Subject, Learnt]:
        with self._lock:
            return {subject: memory.learnt for subject, memory in self._memories.items()}


def _entries(learnt: Learnt) -> int:
    return sum(learnt.visits) + sum(learnt.weak)
