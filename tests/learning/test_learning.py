"""What is learnt and taught, with a real file, a real folder and the real thread."""

from __future__ import annotations

import json
import logging
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamwatch.config import Config
from streamwatch.errors import SourceError, StreamwatchError
from streamwatch.geometry import Box
from streamwatch.learning import known, saving
from streamwatch.learning import learning as module
from streamwatch.learning.known import MOST_VISITS, Known
from streamwatch.learning.learning import Learning, Lesson
from streamwatch.learning.learnt import Learnt, NearMiss, Subject, words_of
from streamwatch.learning.rows import NotUnderstood
from streamwatch.learning.store import Store
from streamwatch.learning.votes import MOST_VOTES
from streamwatch.pixels import Pixels
from streamwatch.records import Image, Luma, MarkedPicture
from tests.learning.lessons import BOX, MOMENT, near_miss, told_visit, vector
from tests.parts.waiting import wait_until


def configured(watches: Mapping[str, Mapping[str, Any]] | None = None, **sections: Any) -> Config:
    return Config.model_validate(
        {
            "detector": {"model": "toybox"},
            "cameras": {"porch": {"url": "/dev/video0"}, "garden": {"url": "/dev/video1"}},
            "watches": watches or {"car": {"prompt": "car"}, "dogs": {"prompt": "dog"}},
            "timezone": "UTC",
            **sections,
        }
    )


def subject(camera: str, watch: str, config: Config | None = None) -> Subject:
    config = config or configured()
    return Subject(camera, watch, words_of(config.watches[watch], config.detector))


CAR = subject("porch", "car")
GARDEN_CAR = subject("garden", "car")
DOGS = subject("porch", "dogs")


class School:
    """A `Learning` in a folder, with what it has said."""

    def __init__(self, folder: Path, config: Config | None = None, *, kept: bool = True) -> None:
        self.pictures = folder / "near-misses"
        self.file = folder / "state" / "learnt.sqlite3"
        self.complaints: list[str] = []
        self.near_misses: list[tuple[NearMiss, Path | None]] = []
        self.changes = 0
        self.now = MOMENT
        self.learning = Learning(
            self.file if kept else None,
            config or self.config(),
            on_near_miss=lambda miss, path: self.near_misses.append((miss, path)),
            on_change=self._count_change,
            complain=self.complaints.append,
            now=lambda: self.now,
        )

    def config(self, *, a_day: int = 20, **sections: Any) -> Config:
        near_misses = {"path": str(self.pictures), "a_day": a_day}
        return configured(near_misses=near_misses, **sections)

    def _count_change(self) -> None:
        self.changes += 1

    def settle(self) -> None:
        """Wait until the thread has done what was asked of it so far."""
        done = threading.Event()
        self.learning.teach("no such visit", right=True, then=lambda _: done.set())
        assert done.wait(10)

    def teach(self, visit: str | tuple[str, str], right: bool) -> Lesson | StreamwatchError:
        answers: list[Lesson | StreamwatchError] = []
        self.learning.teach(visit, right=right, then=answers.append)
        wait_until(lambda: bool(answers))
        return answers[0]

    def taught(self, visit: str | tuple[str, str], right: bool) -> Lesson:
        lesson = self.teach(visit, right)
        assert isinstance(lesson, Lesson)
        return lesson

    def refused(self, visit: str | tuple[str, str], right: bool = False) -> str:
        error = self.teach(visit, right)
        assert isinstance(error, StreamwatchError)
        return str(error)

    def forget(self, id: str) -> StreamwatchError | None:
        answers: list[StreamwatchError | None] = []
        self.learning.forget(id, answers.append)
        wait_until(lambda: bool(answers))
        return answers[0]

    @property
    def votes(self) -> list[tuple[str, bool]]:
        return [(each.visit.id, each.right) for each in self.learning.all_votes]

    @property
    def saved_pictures(self) -> list[Path]:
        return sorted(self.pictures.iterdir()) if self.pictures.exists() else []

    def rows(self, columns: str, table: str) -> list[Any]:
        with closing(sqlite3.connect(self.file)) as database:
            return database.execute(f"SELECT {columns} FROM {table} ORDER BY number").fetchall()


@contextmanager
def open_school(folder: Path, config: Config | None = None, **options: Any) -> Iterator[School]:
    school = School(folder, config, **options)
    school.learning.start()
    try:
        yield school
    finally:
        school.learning.stop(10)
        assert not school.learning._thread.is_alive()


@pytest.fixture
def school(tmp_path: Path) -> Iterator[School]:
    with open_school(tmp_path) as school:
        yield school


def see_two_kinds(learning: Learning, of: Subject = CAR) -> None:
    """Enough for a threshold between 0.3 and 0.8 to be suggested."""
    memory = learning.memory(of)
    for _ in range(20):
        memory.note_visit(0.8, {})
        memory.note_weak(0.3)


# --- what is learnt -------------------------------------------------------------------------------


def test_what_was_learnt_is_there_after_a_stop_and_a_new_start(tmp_path: Path) -> None:
    with open_school(tmp_path) as school:
        memory = school.learning.memory(CAR)
        assert school.learning.memory(CAR) is memory
        memory.note_visit(0.6, {})
        memory.note_weak(0.2)
        memory.note_threshold(0.35)
        school.learning.told(told_visit("a", 0.6, CAR, vector(1, 2)))
        school.learning.told(told_visit("b", 0.7, DOGS))
        school.taught("a", right=False)
        learnt = memory.learnt
    with open_school(tmp_path) as school:
        assert school.learning.memory(CAR).learnt == learnt
        assert school.learning.learnt()[CAR] == learnt
        assert school.votes == [("a", False)]
        assert school.learning.taught("car", CAR.words).ids == ("a",)
        assert [each.visit.id for each in school.learning.votes(CAR)] == ["a"]
        assert school.taught(("porch", "dogs"), right=True).visit.id == "b"
    with open_school(tmp_path) as school:
        assert school.votes == [("a", False), ("b", True)]
        assert school.complaints == []


def test_what_was_learnt_is_written_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAVE_SECONDS", 0.05)
    with open_school(tmp_path) as school:
        school.learning.memory(CAR).note_visit(0.6, {})
        school.learning.told(told_visit("a", subject=CAR))
        wait_until(lambda: len(school.rows("id", "visits")) == 1)
        wait_until(lambda: len(school.rows("camera", "subjects")) == 1)


def test_a_watch_that_has_seen_nothing_takes_no_row(tmp_path: Path) -> None:
    with open_school(tmp_path) as school:
        school.learning.memory(CAR)
    assert school.rows("camera", "subjects") == []


def test_without_a_file_everything_is_kept_in_memory(tmp_path: Path) -> None:
    with open_school(tmp_path, kept=False) as school:
        school.learning.memory(CAR).note_visit(0.6, {})
        school.learning.told(told_visit("a", subject=CAR, vector=vector(1, 2)))
        assert school.taught("a", right=False).remarks == ()
        assert school.votes == [("a", False)]
    assert not school.file.parent.exists()
    assert school.complaints == []


def test_a_threshold_is_suggested_of_what_all_cameras_have_seen(school: School) -> None:
    for camera in (CAR, GARDEN_CAR):
        memory = school.learning.memory(camera)
        for _ in range(10):
            memory.note_visit(0.8, {})
            memory.note_weak(0.3)
        assert (camera is GARDEN_CAR) == bool(school.learning.suggestions())
    suggestions = school.learning.suggestions()
    assert list(suggestions) == ["car"]
    assert 0.3 < suggestions["car"] < 0.8


def test_what_is_suggested_anew_is_told(school: School) -> None:
    see_two_kinds(school.learning)
    school.learning.told(told_visit("a", 0.8, CAR))
    school.taught("a", right=True)
    wait_until(lambda: school.changes == 1)
    school.taught("a", right=True)
    school.settle()
    assert school.changes == 1


def test_only_learnt_thresholds_are_told_as_being_in_force(tmp_path: Path) -> None:
    watches = {"car": {"prompt": "car", "confidence": "auto"}, "dogs": {"prompt": "dog"}}
    with open_school(tmp_path, configured(watches)) as school:
        assert school.learning.in_force("car") == {"porch": 0.3, "garden": 0.3}
        school.learning.memory(CAR).note_threshold(0.35)
        assert school.learning.in_force("car") == {"porch": 0.35, "garden": 0.3}
        assert school.learning.in_force("dogs") == {}
        assert school.learning.in_force("unknown") == {}


def test_a_step_is_logged_and_told(school: School, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "streamwatch")
    school.learning.stepped(CAR, 0.3, 0.35)
    wait_until(lambda: school.changes == 1)
    assert "porch: car: the confidence it needs was learnt anew: 0.35, it was 0.30" in caplog.text


def test_a_watch_written_with_other_words_begins_anew_and_goes_on_when_it_is_as_before(
    school: School,
) -> None:
    see_two_kinds(school.learning)
    lorries = school.config(watches={"car": {"prompt": "lorry"}})
    school.learning.change(lorries)
    assert school.learning.suggestions() == {}
    school.settle()
    school.learning.change(school.config())
    assert list(school.learning.suggestions()) == ["car"]


def test_of_words_that_no_watch_uses_any_more_so_many_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "MOST_FORMER", 2)
    former = [Subject("porch", "car", f"words {number}") for number in range(4)]
    with open_school(tmp_path) as school:
        for each in [*former, CAR]:
            school.learning.memory(each).note_visit(0.6, {})
            school.learning.told(told_visit(each.words, subject=each))
            school.taught(each.words, right=True)
    with open_school(tmp_path) as school:
        school.settle()
        assert [id for id, _ in school.votes] == ["words 2", "words 3", CAR.words]
        assert school.refused("words 1").startswith("there is no alert words 1")
    assert [row[0] for row in school.rows("words", "subjects")] == ["words 2", "words 3", CAR.words]
    assert len(school.rows("id", "visits")) == len(school.rows("id", "votes")) == 3


# --- what is taught -------------------------------------------------------------------------------


def test_an_alert_is_taught_by_its_id(school: School) -> None:
    school.learning.told(told_visit("a", 0.6, CAR, vector(1, 2)))
    lesson = school.taught("a", right=False)
    assert (lesson.visit.id, lesson.right, lesson.remarks) == ("a", False, ())
    assert school.votes == [("a", False)]
    assert school.rows("id", "votes") == [("a",)]  # at once
    (vote,) = school.learning.votes(CAR)
    assert vote.at == MOMENT.timestamp()


def test_the_newest_alert_is_the_one_that_began_last(school: School) -> None:
    """An earlier one that ends after that is told once more."""
    for id in ("first", "second", "first"):
        school.learning.told(told_visit(id, subject=CAR, vector=vector(1, 2)))
    school.taught(("porch", "car"), right=False)
    assert school.votes == [("second", False)]


def test_the_newest_alert_of_a_camera_and_watch_is_taught(school: School) -> None:
    for id, of in (("a", CAR), ("b", CAR), ("c", GARDEN_CAR), ("d", DOGS)):
        school.learning.told(told_visit(id, subject=of))
    assert school.taught(("porch", "car"), right=True).visit.id == "b"
    assert school.taught(("garden", "car"), right=True).visit.id == "c"


def test_what_can_not_be_taught_is_said(school: School) -> None:
    assert school.refused("unknown") == (
        "there is no alert unknown; the newest 100 of each camera and watch can be taught"
    )
    assert school.refused(("porch", "car")) == "there was no alert of car on porch yet"
    assert school.refused(("attic", "car")) == "attic is none of the cameras"
    assert school.refused(("porch", "cats")) == "cats is none of the watches"
    assert school.votes == []


def test_without_a_second_look_a_lesson_says_what_is_not_learnt(school: School) -> None:
    school.learning.told(told_visit("a", subject=CAR))
    assert school.taught("a", right=False).remarks == (
        "no second look was taken at the whole of it, so its crop is not learnt, only how sure it"
        " was",
    )


def test_the_same_vote_again_says_so(school: School) -> None:
    school.learning.told(told_visit("a", subject=CAR, vector=vector(1, 2)))
    school.taught("a", right=False)
    assert school.taught("a", right=False).remarks == ("it was taught wrong already",)
    assert school.votes == [("a", False)]


def test_a_vote_that_contradicts_an_earlier_one_replaces_it_and_says_so(school: School) -> None:
    school.learning.told(told_visit("a", subject=CAR, vector=vector(1, 2)))
    school.taught("a", right=False)
    lesson = school.taught("a", right=True)
    assert lesson.remarks == ("it was taught wrong before; now it is right",)
    assert school.votes == [("a", True)]
    assert school.taught("a", right=False).remarks == (
        "it was taught right before; now it is wrong",
    )


def test_the_oldest_vote_is_forgotten_for_one_too_many(tmp_path: Path) -> None:
    with open_school(tmp_path) as school:
        for number in range(MOST_VOTES + 1):
            school.learning.told(told_visit(f"{number}", subject=CAR, vector=vector(1, 2)))
            lesson = school.taught(f"{number}", right=False)
        assert lesson.remarks == ("the oldest of more than 64 was forgotten for it",)
        kept = [f"{number}" for number in range(1, MOST_VOTES + 1)]
        assert [id for id, _ in school.votes] == kept
    assert [id for (id,) in school.rows("id", "votes")] == kept


def test_a_vote_is_forgotten(tmp_path: Path) -> None:
    with open_school(tmp_path) as school:
        school.learning.told(told_visit("a", subject=CAR, vector=vector(1, 2)))
        school.taught("a", right=False)
        assert school.forget("a") is None
        assert school.votes == []
        assert school.learning.taught("car", CAR.words).ids == ()
        assert str(school.forget("a")) == "nothing was taught of a"
        assert str(school.forget("unknown")) == "nothing was taught of unknown"
    with open_school(tmp_path) as school:
        assert school.votes == []


def test_a_vote_on_a_visit_that_lasts_takes_its_final_reach(tmp_path: Path) -> None:
    with open_school(tmp_path) as school:
        school.learning.told(told_visit("a", 0.4, CAR))
        school.taught("a", right=False)
        school.learning.told(told_visit("a", 0.7, CAR, vector(1, 2)))
        school.settle()
        (vote,) = school.learning.votes(CAR)
        assert (vote.visit.reach, vote.right) == (0.7, False)
        assert school.learning.taught("car", CAR.words).ids == ("a",)
    with open_school(tmp_path) as school:
        (vote,) = school.learning.votes(CAR)
        assert (vote.visit.reach, vote.right, vote.at) == (0.7, False, MOMENT.timestamp())


def test_a_visit_told_again_after_a_crash_keeps_its_crop_and_its_reach(school: School) -> None:
    school.learning.told(told_visit("a", 0.7, CAR, vector(1, 2)))
    school.taught("a", right=False)
    school.learning.told(told_visit("a", 0.0, CAR))
    school.settle()
    (vote,) = school.learning.votes(CAR)
    assert vote.visit.reach == 0.7
    assert vote.visit.vector is not None


def test_older_alerts_than_the_newest_of_a_camera_and_watch_can_not_be_taught(
    tmp_path: Path,
) -> None:
    with open_school(tmp_path) as school:
        school.learning.told(told_visit("voted", subject=CAR))
        school.taught("voted", right=False)
        school.learning.told(told_visit("other", subject=DOGS))
        for number in range(MOST_VISITS + 1):
            school.learning.told(told_visit(f"{number}", subject=CAR))
            if number % 50 == 0:
                school.settle()
        school.settle()
        assert school.refused("0").startswith("there is no alert 0;")
        school.taught("1", right=True)
        school.taught("other", right=True)
        assert school.taught("voted", right=True).visit.id == "voted"
    ids = [id for (id,) in school.rows("id", "visits")]
    assert len(ids) == MOST_VISITS + 1
    assert "0" not in ids
    assert "other" in ids


# --- for another machine --------------------------------------------------------------------------


def test_what_is_learnt_of_a_camera_goes_on_on_another_machine(tmp_path: Path) -> None:
    with open_school(tmp_path / "one") as one:
        see_two_kinds(one.learning)
        see_two_kinds(one.learning, GARDEN_CAR)
        for id, of in (("a", CAR), ("b", DOGS), ("c", GARDEN_CAR)):
            one.learning.told(told_visit(id, subject=of, vector=vector(1, 2)))
            one.taught(id, right=False)
        learnt = one.learning.memory(CAR).learnt
        text = one.learning.of_camera("porch")
    with open_school(tmp_path / "other") as other:
        other.learning.memory(CAR).note_visit(0.1, {})
        other.learning.told(told_visit("before", subject=CAR))
        other.taught("before", right=True)
        other.learning.told(told_visit("elsewhere", subject=GARDEN_CAR))
        other.taught("elsewhere", right=True)
        other.learning.take_over(text)
        assert other.learning.memory(CAR).learnt == learnt
        assert other.votes == [("elsewhere", True), ("a", False), ("b", False)]
        assert other.taught(("porch", "dogs"), right=True).visit.id == "b"
        assert other.refused("before").startswith("there is no alert")
        assert other.learning.memory(GARDEN_CAR).learnt == Learnt()
    with open_school(tmp_path / "other") as other:
        assert other.learning.memory(CAR).learnt == learnt
        assert other.votes == [("elsewhere", True), ("a", False), ("b", True)]
        assert other.refused("before").startswith("there is no alert")
        assert other.taught("a", right=True).visit.id == "a"


def test_of_votes_that_are_taken_over_too_the_oldest_are_forgotten(tmp_path: Path) -> None:
    with open_school(tmp_path / "one") as one:
        one.learning.told(told_visit("new", subject=CAR))
        one.taught("new", right=False)
        text = one.learning.of_camera("porch")
    with open_school(tmp_path / "other") as other:
        for number in range(MOST_VOTES):
            other.learning.told(told_visit(f"{number}", subject=GARDEN_CAR))
            other.taught(f"{number}", right=False)
        other.learning.take_over(text)
    ids = [id for (id,) in other.rows("id", "votes")]
    assert ids == [*(f"{number}" for number in range(1, MOST_VOTES)), "new"]


def test_taking_over_twice_changes_nothing_more(tmp_path: Path) -> None:
    with open_school(tmp_path / "one") as one:
        see_two_kinds(one.learning)
        one.learning.told(told_visit("a", subject=CAR))
        one.taught("a", right=False)
        text = one.learning.of_camera("porch")
        one.learning.take_over(text)
        assert one.learning.of_camera("porch") == text
    with open_school(tmp_path / "one") as one:
        assert one.learning.of_camera("porch") == text


def test_text_that_is_not_understood_changes_nothing(tmp_path: Path) -> None:
    with open_school(tmp_path) as school:
        see_two_kinds(school.learning)
        school.learning.told(told_visit("a", subject=CAR))
        school.taught("a", right=False)
        before = school.learning.of_camera("porch")
        broken = json.loads(before)
        broken["subjects"][0]["votes"][0]["right"] = "perhaps"
        for text in ("", "{}", before[:-2], json.dumps(broken)):
            with pytest.raises(NotUnderstood):
                school.learning.take_over(text)
        assert school.learning.of_camera("porch") == before
    with open_school(tmp_path) as school:
        assert school.learning.of_camera("porch") == before


# --- a disk that fails ----------------------------------------------------------------------------


def fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Nothing can be saved until the returned function is called."""
    monkeypatch.setattr(saving, "RETRY_SECONDS", 0.0)

    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    whole = {name: getattr(Store, name) for name in ("save", "forget", "keep_near_miss")}
    for name in whole:
        monkeypatch.setattr(Store, name, full)

    def give_room() -> None:
        for name, method in whole.items():
            monkeypatch.setattr(Store, name, method)

    return give_room


def test_on_a_full_disk_votes_count_and_are_written_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_school(tmp_path) as school:
        school.learning.told(told_visit("before", subject=CAR))
        school.taught("before", right=True)
        give_room = fill_the_disk(monkeypatch)
        for id in ("a", "b", "c"):
            school.learning.told(told_visit(id, subject=CAR, vector=vector(1, 2)))
            lesson = school.taught(id, right=False)
            assert lesson.remarks == ("it can't be saved and would be lost at a restart",)
        assert school.forget("before") is None
        assert school.complaints == [
            f"what is learnt can't be written to {school.file} (database or disk is full);"
            " it would be lost with the process"
        ]
        school.learning.memory(CAR).note_visit(0.6, {})
        assert school.learning.taught("car", CAR.words).ids == ("a", "b", "c")
        give_room()
        school.learning.told(told_visit("d", subject=CAR, vector=vector(1, 2)))
        assert school.taught("d", right=True).remarks == ()
        assert school.rows("id", "votes") == [("a",), ("b",), ("c",), ("d",)]
        learnt = school.learning.memory(CAR).learnt
    with open_school(tmp_path) as school:
        assert school.votes == [("a", False), ("b", False), ("c", False), ("d", True)]
        assert school.learning.memory(CAR).learnt == learnt
        assert school.taught("before", right=True).visit.id == "before"
        assert school.complaints == []


def test_a_folder_that_can_not_be_made_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "RETRY_SECONDS", 0.0)
    (tmp_path / "state").write_text("in the way")
    with open_school(tmp_path) as school:
        for id in ("a", "b"):
            school.learning.told(told_visit(id, subject=CAR))
            school.taught(id, right=False)
        assert len(school.complaints) == 1
        (tmp_path / "state").unlink()
    with open_school(tmp_path) as school:
        assert school.votes == [("a", False), ("b", False)]


@contextmanager
def locked(file: Path) -> Iterator[sqlite3.Connection]:
    """As by another process, until the connection is closed."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        yield other


def test_what_was_learnt_more_of_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "RETRY_SECONDS", 0.0)
    with open_school(tmp_path) as school:
        school.learning.memory(CAR).note_visit(0.9, {})
    with locked(school.file) as other, open_school(tmp_path) as school:
        see_two_kinds(school.learning)
        memory = school.learning.memory(CAR)
        learnt = memory.learnt
        other.close()
        school.learning.told(told_visit("a", subject=CAR))
        school.taught("a", right=True)
        assert memory.learnt == learnt
    with open_school(tmp_path) as school:
        assert school.learning.memory(CAR).learnt == learnt


def test_what_could_not_be_read_at_first_goes_on_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "RETRY_SECONDS", 0.0)
    with open_school(tmp_path) as school:
        see_two_kinds(school.learning)
        school.learning.told(told_visit("a", subject=CAR))
        school.taught("a", right=False)
        learnt = school.learning.memory(CAR).learnt
    with locked(school.file) as other, open_school(tmp_path) as school:
        assert "locked" in school.complaints[0]
        memory = school.learning.memory(CAR)
        memory.note_visit(0.6, {})
        school.learning.told(told_visit("b", subject=CAR))
        school.taught("b", right=True)
        assert school.votes == [("b", True)]
        other.close()
        school.taught("b", right=True)
        assert school.votes == [("a", False), ("b", True)]
        assert school.taught("a", right=True).visit.id == "a"
        assert memory.learnt == learnt
        assert school.votes == [("b", True), ("a", True)]
        assert len(school.complaints) == 1
    with open_school(tmp_path) as school:
        assert school.learning.memory(CAR).learnt == learnt
        assert set(school.votes) == {("a", True), ("b", True)}


def test_votes_forgotten_for_others_on_a_full_disk_do_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_school(tmp_path) as school:
        for number in range(MOST_VOTES + 1):
            school.learning.told(told_visit(f"{number}", subject=CAR))
            if number < MOST_VOTES:
                school.taught(f"{number}", right=False)
        give_room = fill_the_disk(monkeypatch)
        school.taught(f"{MOST_VOTES}", right=False)
        give_room()
        school.taught(f"{MOST_VOTES}", right=False)
    assert [id for (id,) in school.rows("id", "votes")] == [
        f"{number}" for number in range(1, MOST_VOTES + 1)
    ]


@pytest.mark.expects_errors
def test_what_fails_unexpectedly_does_not_end_the_thread(
    school: School, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(Known, "settle", fail)
    school.learning.told(told_visit("a", subject=CAR))
    school.settle()
    assert "what was just seen is not learnt (division by zero)" in caplog.text


# --- near misses ----------------------------------------------------------------------------------


def picture(size: tuple[int, int] = (640, 360)) -> MarkedPicture:
    return MarkedPicture(Pixels(np.full((size[1], size[0], 3), 90, np.uint8)), BOX, "car 25 %")


def missed(
    confidence: float = 0.25,
    column: int = 0,
    *,
    at: datetime = MOMENT,
    shown: MarkedPicture | None = None,
    of: Subject = CAR,
) -> NearMiss:
    x = 150.0 * column
    box: Box = (x, 0.0, x + 100, 100.0)
    return near_miss("below", confidence, box, subject=of, captured_at=at, picture=shown)


def test_a_near_miss_is_kept_with_its_picture(school: School) -> None:
    miss = missed(shown=picture())
    school.learning.near_miss(miss)
    wait_until(lambda: bool(school.near_misses))
    ((told, path),) = school.near_misses
    assert told is miss
    assert path is not None
    assert school.saved_pictures == [path]
    assert path.name.startswith("20260102T030405.678Z_porch_car_")
    assert path.read_bytes().startswith(b"\xff\xd8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(school.pictures.stat().st_mode) == 0o700
    assert school.rows("camera, watch, day, confidence, file", "near_misses") == [
        ("porch", "car", "2026-01-02", 0.25, path.name)
    ]


def test_a_near_miss_without_a_picture_is_told_without(school: School) -> None:
    school.learning.near_miss(missed())
    wait_until(lambda: bool(school.near_misses))
    assert [path for _, path in school.near_misses] == [None]
    assert school.rows("file", "near_misses") == [(None,)]


def test_the_best_of_a_day_are_kept_and_the_pictures_of_others_deleted(tmp_path: Path) -> None:
    with open_school(tmp_path) as school:
        school.learning.change(school.config(a_day=2))
        for column, confidence in enumerate((0.2, 0.1, 0.25, 0.05, 0.15)):
            school.learning.near_miss(missed(confidence, column, shown=picture()))
            school.settle()
        assert [miss.confidence for miss, _ in school.near_misses] == [0.2, 0.1, 0.25]
        kept = [school.near_misses[0][1], school.near_misses[2][1]]
        assert school.saved_pictures == sorted(path for path in kept if path)
        assert school.rows("confidence", "near_misses") == [(0.2,), (0.25,)]
        assert not school.learning.wants(CAR, "below", 0.15, (600, 0, 700, 100), MOMENT)
        assert school.learning.wants(CAR, "below", 0.22, (600, 0, 700, 100), MOMENT)
        assert school.learning.wants(CAR, "zone", 0.01, (600, 0, 700, 100), MOMENT)
        assert school.learning.wants(GARDEN_CAR, "below", 0.01, (600, 0, 700, 100), MOMENT)


def test_the_day_goes_on_after_a_restart(tmp_path: Path) -> None:
    with open_school(tmp_path) as school:
        school.learning.change(school.config(a_day=1))
        school.learning.near_miss(missed(0.2, shown=picture()))
    with open_school(tmp_path) as school:
        school.learning.change(school.config(a_day=1))
        assert not school.learning.wants(CAR, "below", 0.1, (600, 0, 700, 100), MOMENT)
        school.learning.near_miss(missed(0.25, 1, shown=picture()))
        wait_until(lambda: bool(school.near_misses))
        assert school.saved_pictures == [school.near_misses[0][1]]
    assert school.rows("confidence", "near_misses") == [(0.25,)]


def test_a_day_begins_at_midnight_in_the_configured_time_zone(tmp_path: Path) -> None:
    auckland = timedelta(hours=13)
    with open_school(tmp_path) as school:
        config = school.config(a_day=1, timezone="Pacific/Auckland")
        school.learning.change(config)
        midnight = datetime(2026, 1, 3, tzinfo=UTC) - auckland
        for at, confidence in (
            (midnight - timedelta(seconds=2), 0.25),
            (midnight - timedelta(seconds=1), 0.2),
            (midnight, 0.15),
            (midnight + timedelta(hours=23), 0.1),
        ):
            school.learning.near_miss(missed(confidence, at=at))
            school.settle()
        assert [miss.confidence for miss, _ in school.near_misses] == [0.25, 0.15]
        days = school.rows("day", "near_misses")
        assert days == [("2026-01-02",), ("2026-01-03",)]


def test_what_was_seen_just_before_midnight_does_not_begin_the_old_day_again(
    school: School,
) -> None:
    midnight = datetime(2026, 1, 3, tzinfo=UTC)
    school.learning.near_miss(missed(0.2, at=midnight))
    school.settle()
    school.learning.near_miss(missed(0.25, 1, at=midnight - timedelta(seconds=1)))
    school.settle()
    assert school.rows("day", "near_misses") == [("2026-01-03",)]


def test_a_clock_that_was_far_ahead_for_a_while_costs_no_more_near_misses(school: School) -> None:
    for at in (MOMENT + timedelta(days=400), MOMENT):
        school.learning.near_miss(missed(0.2, at=at))
        school.settle()
    assert len(school.near_misses) == 2


def test_rows_of_days_long_past_are_deleted(school: School) -> None:
    for days in range(8):
        school.learning.near_miss(missed(0.2, at=MOMENT + timedelta(days=days)))
        school.settle()
    school.settle()
    kept = [day for (day,) in school.rows("day", "near_misses")]
    assert kept == [f"2026-01-0{day}" for day in (5, 6, 7, 8, 9)]


def test_none_are_kept_where_none_are_wanted(tmp_path: Path) -> None:
    with open_school(tmp_path) as school:
        school.learning.change(school.config(a_day=0))
        assert not school.learning.wants(CAR, "below", 0.25, BOX, MOMENT)
        school.learning.near_miss(missed(shown=picture()))
        school.settle()
        assert school.near_misses == []
    assert school.saved_pictures == []
    assert school.rows("number", "near_misses") == []


def test_none_are_kept_from_when_none_are_wanted(school: School) -> None:
    school.learning.near_miss(missed(0.2))
    school.settle()
    school.learning.change(school.config(a_day=0))
    school.learning.near_miss(missed(0.25))
    school.settle()
    assert len(school.near_misses) == 1


class Undrawable:
    """A picture that can't be converted."""

    size = (640, 360)

    def luma(self, size: tuple[int, int]) -> Luma:
        raise SourceError("the frame is damaged")

    def bgr(self, size: tuple[int, int] | None = None) -> Image:
        raise SourceError("the frame is damaged")


def test_a_picture_that_can_not_be_drawn_is_told_and_the_near_miss_goes_on_without(
    school: School,
) -> None:
    school.learning.near_miss(missed(shown=MarkedPicture(Undrawable(), BOX, "car 25 %")))
    school.learning.near_miss(missed(column=1, shown=picture()))
    wait_until(lambda: len(school.near_misses) == 2)
    assert school.complaints == ["a near miss of porch can't be drawn: the frame is damaged"]
    assert [path is None for _, path in school.near_misses] == [True, False]


def test_a_folder_that_pictures_can_not_be_saved_in_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "near-misses").write_text("in the way")
    with open_school(tmp_path) as school:
        for column in range(3):
            school.learning.near_miss(missed(column=column, shown=picture()))
        wait_until(lambda: len(school.near_misses) == 3)
        saved = [each for each in school.complaints if "can't be saved" in each]
        assert saved == [
            f"near misses can't be saved in {school.pictures} (file exists); alerts go on without"
        ]
    assert school.rows("file", "near_misses") == [(None,)] * 3


def test_near_misses_are_told_while_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_school(tmp_path) as school:
        school.settle()
        fill_the_disk(monkeypatch)
        school.learning.near_miss(missed(0.2))
        school.learning.near_miss(missed(0.25))
        wait_until(lambda: len(school.near_misses) == 2)
        assert len(school.complaints) == 1


def test_more_near_misses_than_can_be_kept_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 5)
    school = School(tmp_path)
    for column in range(20):
        school.learning.near_miss(missed(column=column))
    school.learning.start()
    school.settle()
    school.learning.stop(10)
    assert 0 < len(school.near_misses) <= 5
    assert caplog.messages == ["more comes than can be learnt; some of it is left out"]


def test_votes_of_many_threads_are_all_taken(school: School) -> None:
    """What is told, taught and read comes from many threads at once."""
    failures: list[Exception] = []

    def one(number: int) -> None:
        try:
            for count in range(20):
                visit = told_visit(f"{number}-{count}", subject=(CAR, GARDEN_CAR)[number % 2])
                school.learning.told(visit)
                school.learning.teach(visit.id, right=number < 2, then=lambda _: None)
                school.learning.suggestions()
                school.learning.of_camera("porch")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    school.settle()
    assert failures == []
    assert len(school.votes) == 80
