"""The second looks of a configuration: who looks, and at the things of which watch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from streamwatch.config import (
    Config,
    DetectorSettings,
    SecondLookSettings,
    mask_url,
    texts_among,
)
from streamwatch.config.catalogue import ImageTower
from streamwatch.errors import DetectorError, UnavailableSetting
from streamwatch.learning.learnt import words_of
from streamwatch.learning.lessons import Lessons
from streamwatch.models.provision import image_tower
from streamwatch.records import Detection, Finding, Frame, LookRequest, Vectors
from streamwatch.second_look.contrast import contrast
from streamwatch.second_look.language_model import LanguageModel
from streamwatch.second_look.looking import ByQuestion, ByWords, Lane, Look, gathered
from streamwatch.second_look.process import TowerProcess

CLOSE_SECONDS = 2.0
"""How long to wait for a look under way, when they are no longer needed."""

OnProblem = Callable[[str, str | None], None]
"""Is called with (who looks, sentence) when looking begins to fail, with None when it is over."""


@dataclass(frozen=True, slots=True)
class _Server:
    """A language model, and what reaches it."""

    url: str
    model: str
    token: str | None = field(repr=False)


_Key = tuple[ImageTower, Path] | _Server


@dataclass(frozen=True, slots=True, eq=False)
class _Looker:
    """`near` and `same` are those of `catalogue.ImageTower`; of no use to a language model."""

    lane: Lane
    by: TowerProcess | LanguageModel
    near: float = 1.0
    same: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Lookers:
    """Who looks for a configuration: each once, and by watch."""

    by_key: Mapping[_Key, _Looker]
    of_watch: Mapping[str, _Looker]

    def wait_until_ready(self) -> None:
        """Wait until what looks by words is loaded. Raises DetectorError."""
        for looker in self.by_key.values():
            looker.lane.ready.result()

    def close(self, kept: Lookers | None = None) -> None:
        """End those that look, but not those that are `kept` too."""
        gone = [
            looker
            for key, looker in self.by_key.items()
            if kept is None or kept.by_key.get(key) is not looker
        ]
        for looker in gone:
            looker.lane.close()
            if isinstance(looker.by, LanguageModel):
                looker.by.close()
        for looker in gone:
            looker.lane.join(CLOSE_SECONDS)


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """The looks of one configuration, by watch, and who they need."""

    by_watch: Mapping[str, tuple[Lane, Look]]
    lookers: Lookers

    def look(self, request: LookRequest) -> Future[Finding]:
        """From any thread; never blocks. The future always gives a finding."""
        lane, look = self.by_watch[request.watch]
        return lane.look(look, request)


def start_looking(config: Config, before: Lookers | None, on_problem: OnProblem) -> Lookers:
    """Start who looks for a configuration, without waiting; those of `before` are kept if possible.

    Raises UnavailableSetting where the text encoder has no image tower; then nothing is started.
    """
    keys = {name: _key(config, name, look) for name, look in _looks(config)}
    kept = {} if before is None else before.by_key
    by_key = {
        key: kept.get(key) or _looker(key, on_problem) for key in dict.fromkeys(keys.values())
    }
    return Lookers(by_key, {name: by_key[key] for name, key in keys.items()})


def with_words(
    config: Config, lookers: Lookers, vectors: Mapping[str, Vectors], lessons: Lessons
) -> Looks:
    """What looks, and how.

    `vectors` has those of the watches' prompts and of `texts.words_of_looks`. What people have said
    of a watch's visits is asked of `lessons` at each look.
    """
    by_watch: dict[str, tuple[Lane, Look]] = {}
    for name, look in _looks(config):
        watch, looker = config.watches[name], lookers.of_watch[name]
        if isinstance(looker.by, TowerProcess):
            against = (*texts_among(watch.not_), *look.against)
            words = contrast(watch.words, against, vectors, looker.near)
            taught = partial(lessons.taught, name, words_of(watch, config.detector))
            look_by_words = ByWords(looker.by, words, look.at_least, taught, looker.same)
            by_watch[name] = looker.lane, look_by_words
        else:
            assert look.ask is not None
            by_watch[name] = looker.lane, ByQuestion(looker.by, look.ask, look.expect)
    return Looks(by_watch, lookers)


def look_at(
    lookers: Lookers,
    settings: DetectorSettings,
    frame: Frame,
    detections: Sequence[Detection],
    vectors: Mapping[str, Vectors],
) -> Future[tuple[Finding, ...]]:
    """Compare each detection's crop with its prompt and with common things.

    By the image tower among `lookers`, or by one that is loaded for this alone. `vectors` has
    those of the prompts and of `kinds.all_rivals()`. The future never fails.
    """
    key = image_tower(settings)
    kept = lookers.by_key.get(key)
    looker = _looker(key, lambda _who, _sentence: None) if kept is None else kept
    assert isinstance(looker.by, TowerProcess)
    found = []
    for detection in detections:
        words = contrast((detection.prompt,), (), vectors, looker.near)
        request = LookRequest(frame.camera, "", 0, frame.picture, detection.box)
        found.append(looker.lane.look(ByWords(looker.by, words, at_least=0.5), request))
    all_found = gathered(found)
    if kept is None:
        all_found.add_done_callback(lambda _: looker.lane.close())
    return all_found


def _looks(config: Config) -> Iterable[tuple[str, SecondLookSettings]]:
    for name, watch in config.watches.items():
        if watch.enabled and watch.look is not None:
            yield name, watch.look


def _key(config: Config, watch: str, look: SecondLookSettings) -> _Key:
    if look.by_words:
        try:
            return image_tower(config.detector)
        except DetectorError as error:
            raise UnavailableSetting(f"watches.{watch}.second_look", str(error)) from error
    assert look.url is not None
    assert look.model is not None
    token = None if look.token is None else look.token.get_secret_value()
    return _Server(look.url, look.model, token)


def _looker(key: _Key, on_problem: OnProblem) -> _Looker:
    if isinstance(key, _Server):
        model = LanguageModel(key.url, key.model, key.token)
        name = f"{key.model} at {mask_url(key.url)}"
        return _Looker(Lane("vlm", name, lambda said: on_problem(name, said)), model)
    tower, path = key
    process = TowerProcess(tower.kind, path)
    lane = Lane(
        "clip",
        tower.kind,
        lambda said: on_problem(tower.kind, said),
        start=process.start,
        end=process.stop,
    )
    return _Looker(lane, process, tower.near, tower.same)
