"""Answers the page, in its threads."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from streamwatch import files
from streamwatch.clips.folder import clip_name, poster_of
from streamwatch.clips.writing import PART
from streamwatch.config import (
    Edit,
    Preview,
    WatchSettings,
    clip_folder,
    first_mistake,
    near_miss_folder,
    preview,
    snapshot_folder,
)
from streamwatch.daemon.changing import Outcome
from streamwatch.daemon.page import documents
from streamwatch.daemon.reloading import Reloading
from streamwatch.errors import StreamwatchError
from streamwatch.history.history import History, Wanted
from streamwatch.history.visits import Visit
from streamwatch.learning.learning import Learning, Lesson
from streamwatch.live.pictures import LivePictures, Viewer
from streamwatch.live.trials import MOST_PROMPTS, Trial, Trials
from streamwatch.live.trials import Words as Tried
from streamwatch.pictures.folder import crop_name
from streamwatch.pictures.keeping import named
from streamwatch.pictures.shots import Shot
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.web.page.answers import Document, Words

APPLY_SECONDS = 7.0
"""How long an edit is waited for; a connection ends after ten."""
TEACH_SECONDS = 5.0
MOST_ALERTS = 40
"""In one list."""
MOST_NEAR_MISSES = 200
LARGEST_PICTURE = 32 * 1024 * 1024
_FILE = re.compile(r"[A-Za-z0-9_.-]{1,255}\.jpg")


class PageAnswers:
    """See `web.page.answers.Answers`.

    `status` gives the document for `streamwatch status`. `file` is the configuration's.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        live: LivePictures,
        history: History,
        learning: Learning,
        reloading: Reloading,
        file: Path,
        status: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._pipeline = pipeline
        self._live = live
        self._history = history
        self._learning = learning
        self._reloading = reloading
        self._file = file
        self._status = status
        self._trials = Trials(pipeline)

    @property
    def state(self) -> Document:
        setup = self._pipeline.current
        newest = self._history.newest
        return documents.state(setup.config, self._status(), setup.cameras, newest)

    def camera(self, name: str) -> Document | None:
        return documents.camera(self._pipeline.current.config, name)

    def watches(self) -> list[Document]:
        return documents.watches(self._pipeline.current.config, self._learning.overview())

    def alerts(self, wanted: Wanted) -> list[Document]:
        return self._alerts(self._history.recent(wanted, MOST_ALERTS))

    def alert(self, id: str) -> Document | None:
        found = self._history.visit(id)
        return None if found is None else self._alerts([found])[0]

    def _alerts(self, visits: Sequence[Visit]) -> list[Document]:
        config = self._pipeline.current.config
        taught = {vote.visit.id: vote.right for vote in self._learning.all_votes}
        folder = snapshot_folder(config.snapshots)
        clips = clip_folder(config.clips)
        return [
            documents.alert(
                config,
                visit,
                taught,
                has_picture=(folder / _picture_name(visit)).is_file(),
                has_crop=(folder / _picture_name(visit, crop=True)).is_file(),
                clip=_state_of(clips / clip_name(visit)),
            )
            for visit in visits
        ]

    def near_misses(self, camera: str | None, watch: str | None) -> list[Document]:
        config = self._pipeline.current.config
        rows = [
            row
            for row in self._learning.near_misses()
            if camera in (None, row["camera"]) and watch in (None, row["watch"])
        ]
        return [documents.near_miss(config, row) for row in rows[::-1][:MOST_NEAR_MISSES]]

    def picture(self, id: str, *, crop: bool) -> bytes | None:
        visit = self._history.visit(id)
        if visit is None:
            return None
        folder = snapshot_folder(self._pipeline.current.config.snapshots)
        return read_picture(folder, _picture_name(visit, crop=crop))

    def clip(self, id: str) -> Path | None:
        visit = self._history.visit(id)
        if visit is None:
            return None
        return clip_folder(self._pipeline.current.config.clips) / clip_name(visit)

    def poster(self, id: str) -> bytes | None:
        clip = self.clip(id)
        return None if clip is None else read_picture(clip.parent, poster_of(clip).name)

    def near_miss_picture(self, file: str) -> bytes | None:
        return read_picture(near_miss_folder(self._pipeline.current.config.near_misses), file)

    # --- changing ---------------------------------------------------------------------------------

    def teach(self, id: str, *, right: bool) -> str:
        done: Future[Lesson | StreamwatchError] = Future()
        self._learning.teach(id, right=right, then=done.set_result)
        try:
            lesson = done.result(TEACH_SECONDS)
        except NotInTime:
            raise StreamwatchError("what is learnt can't be reached; try later") from None
        if isinstance(lesson, StreamwatchError):
            raise lesson
        return "; ".join(lesson.remarks)

    def preview(self, edit: Edit) -> Preview:
        return preview(self._file, [edit])

    def apply(self, edit: Edit, seen: str) -> str:
        if self.preview(edit).of != seen:
            raise StreamwatchError("the file was changed meanwhile; look at the change again")
        done: Future[Outcome] = Future()
        change = partial(self._reloading.edit, edit, persist=True, then=done.set_result)
        if not self._reloading.offer(change):
            raise StreamwatchError("too much is asked for at once; try again")
        try:
            outcome = done.result(APPLY_SECONDS)
        except NotInTime:
            return "it is written, and takes effect in a moment"
        if outcome.error is not None:
            raise outcome.error
        return ", ".join(outcome.changes) or "nothing changed"

    # --- looking ----------------------------------------------------------------------------------

    def viewer(self, wake: Callable[[], None]) -> Viewer:
        return self._live.viewer(wake)

    def try_words(self, words: Words, give: Callable[[Shot | str], None]) -> Trial:
        if len(words.prompts) > MOST_PROMPTS:
            raise StreamwatchError(f"try {MOST_PROMPTS} texts at most at once")
        try:
            rivals = {"not": list(words.rivals)} if words.rivals else {}
            watch = WatchSettings.model_validate({"prompt": list(words.prompts), **rivals})
        except ValidationError as error:
            raise StreamwatchError(first_mistake(error)) from None
        return self._trials.begin(Tried(words.camera, watch, words.width), give)


def read_picture(folder: Path, name: str) -> bytes | None:
    """A regular file directly in the folder; None where there is none of this name.

    Neither a path nor a link leads out of it.
    """
    if not _FILE.fullmatch(name) or name.startswith("."):
        return None
    try:
        return files.read(folder / name, LARGEST_PICTURE, follow=False)
    except OSError:
        return None


def _state_of(clip: Path) -> documents.ClipState | None:
    if clip.is_file():
        return "whole"
    return "coming" if clip.with_name(clip.name + PART).is_file() else None


def _picture_name(visit: Visit, *, crop: bool = False) -> str:
    name = named(visit.started_at, visit.camera, visit.watch, visit.id)
    return crop_name(name) if crop else name
