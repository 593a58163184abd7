"""Wires pipeline, publisher, HTTP, reloading and commands together."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from streamwatch import logs
from streamwatch.clips.recorder import Recorder
from streamwatch.config import Config, MqttSettings, snapshot_folder
from streamwatch.daemon.advising import Advising
from streamwatch.daemon.changing import Applied, Changing, Outcome, differences
from streamwatch.daemon.commands.answering import Answered, Asked, Commands, Said
from streamwatch.daemon.commands.looking import Looking
from streamwatch.daemon.commands.parsing import CameraRequest, parse
from streamwatch.daemon.fetch_first import fetch_first
from streamwatch.daemon.frames import look
from streamwatch.daemon.instance import instance_id
from streamwatch.daemon.page.answering import PageAnswers
from streamwatch.daemon.page.marking import Marks
from streamwatch.daemon.part import Part, Place, part_of
from streamwatch.daemon.problems import (
    Kind,
    Problems,
    no_clips_of,
    not_compiled,
    not_looking,
    not_told,
    too_slow,
)
from streamwatch.daemon.reloading import Followed, Reloading, keep
from streamwatch.daemon.starting import shown_alive
from streamwatch.daemon.supervision import Supervision
from streamwatch.errors import StreamwatchError, first_line
from streamwatch.history.history import History
from streamwatch.learning.learning import Learning
from streamwatch.learning.overview import Experience
from streamwatch.learning.votes import shown
from streamwatch.live.pictures import LivePictures
from streamwatch.paths import state_file, status_socket
from streamwatch.pipeline.analysis import Until, log_event
from streamwatch.pipeline.pipeline import Moved, Pipeline, Setup
from streamwatch.publisher import Command, EmbeddedBrokers, ErrorKind, ErrorReport, Publisher
from streamwatch.publisher.notices.notices import Notices
from streamwatch.publisher.notices.wording import Names
from streamwatch.records import Event
from streamwatch.status import report
from streamwatch.status.metrics import Metrics, exposition
from streamwatch.status.shortage import Short
from streamwatch.web.app import Pages
from streamwatch.web.server import Web
from streamwatch.web.status_socket import StatusServer

log = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0
"""How long a clean stop waits until the last messages are delivered."""


class Daemon:
    """One configuration, running.

    with Daemon(config) as daemon:   # broker, publisher and detector are up, or it raises
        daemon.run()                 # until stopped, or until all files have ended

    With `followed`, edits of that file take effect while it runs. The embedded broker outlives
    `run`, so that its subscribers get the last messages.

    With a `place` it is one of several on the topic prefix, and watches no camera until `part` is
    told to.

    `request_stop` and `request_reload` may be called from a signal handler or any thread.
    """

    def __init__(
        self, config: Config, followed: Followed | None = None, place: Place | None = None
    ) -> None:
        self._first_config = config if place is None else part_of(config, ())
        self._followed = followed
        self._place = place
        self._advising = Advising()
        self._instance = instance_id(None if followed is None else followed.path)
        self._started_at = datetime.now(UTC)
        self._stop = threading.Event()
        self._resources = ExitStack()
        self._brokers = EmbeddedBrokers()
        self._commands: Commands | None = None
        self._reloading: Reloading | None = None
        self._part: Part | None = None
        if place is not None:
            self._part = Part(
                config,
                lambda: self._publisher,
                lambda: self._pipeline,
                lambda: self._learning,
                apply=self._apply,
                unknown=self._unknown,
                encode=self._encode,
            )
        if followed is not None:
            self._reloading = Reloading(
                config,
                followed,
                apply=self._apply,
                unknown=self._unknown,
                encode=self._encode,
                on_outcome=self._on_outcome,
                on_cut_off=self._on_cut_off,
            )

    @property
    def part(self) -> Part:
        """What is watched here, of a daemon with a `place`."""
        assert self._part is not None
        return self._part

    def ask(self, command: Command) -> Future[Answered]:
        """As one of several: carry out a command that concerns a camera here, or its alerts."""
        found: Future[Answered] = Future()

        def answer(
            *, ok: bool, message: str | None = None, result: Mapping[str, Any] | None = None
        ) -> None:
            found.set_result(Answered(ok, message, result))

        def begin() -> None:
            asked = Asked(command, answer, Said())
            try:
                request = parse(command)
                if isinstance(request, CameraRequest):
                    self._looking.start(request, asked)
                else:
                    asked.refuse(f"{command.verb} is not for a worker")
            except Exception as error:
                asked.refuse_because_of(error)

        self.part.do(begin)
        return found

    @property
    def pages(self) -> Pages:
        """What it tells of itself over HTTP and to commands on this machine."""
        return self._pages

    def experience(self) -> Experience:
        """What it has learnt of its cameras."""
        return self._learning.experience()

    @property
    def device(self) -> str:
        """What the detector runs on."""
        return self._pipeline.current.detector.running.device

    @property
    def finished(self) -> frozenset[str]:
        """The cameras whose file has ended."""
        return self._pipeline.finished

    def frames_per_second(self) -> float:
        """How many frames a second the detector manages."""
        return self._pipeline.frames_per_second()

    def learn_words(self, config: Config) -> None:
        """Have all prompts of a configuration encoded; waits for it. Raises DetectorError."""
        unknown = self._pipeline.unknown(config)
        if unknown:
            self._pipeline.encode(unknown, config.detector).result()

    @property
    def mqtt(self) -> MqttSettings:
        """Where the broker really is: with the embedded one, its host and port."""
        return self._mqtt

    def __enter__(self) -> Self:
        config = self._first_config
        with ExitStack() as started:
            started.callback(self._brokers.close)
            self._mqtt = self._brokers.reachable(config.mqtt)
            self._publisher = Publisher(
                self._mqtt,
                config.snapshots,
                snapshot_folder(config.snapshots),
                outbox=self._state("outbox"),
                instance=self._instance if self._place is None else None,
                worker=None if self._place is None else self._place.worker,
                on_lost=lambda camera, visits: self.part.lose(camera, visits),
                on_command=None if self._reloading is None else self._take_command,
                on_alert=lambda event, jpeg: self._notices.take(event, jpeg),
            )
            self._publisher.start()
            started.callback(self._publisher.stop, DRAIN_SECONDS)
            started.enter_context(self._published_if_unforeseen())
            self._problems = Problems(self._publisher)
            self._notices = Notices(
                self._state("notices"),
                config.notify,
                _names(config),
                config.mqtt.outbox,
                tell=self._report_notices,
                complain=partial(self._complain, "publisher"),
            )
            started.callback(self._notices.stop, DRAIN_SECONDS)
            self._learning = Learning(
                self._state("learnt"),
                config,
                on_near_miss=self._publisher.near_miss,
                on_change=self._declare_later,
                complain=partial(self._complain, "detector"),
            )
            started.callback(self._learning.stop, DRAIN_SECONDS)
            self._history = History(
                self._state("history"),
                config.snapshots.keep,
                complain=partial(self._complain, "publisher"),
            )
            started.callback(self._history.stop, DRAIN_SECONDS)
            self._live = LivePictures(
                Marks(lambda: self._pipeline.current, self._learning),
                lambda camera: self._pipeline.look(camera),
            )
            started.callback(self._live.close)
            self._recorder = Recorder(
                config,
                self._instance if self._place is None else self._place.worker,
                on_clip=self._publisher.clip,
                complain=partial(self._complain, "publisher"),
                on_refused=self._report_clips,
            )
            started.callback(self._recorder.stop, DRAIN_SECONDS)
            with shown_alive(self._publisher, config, self._instance, self._started_at):
                self._pipeline = Pipeline(
                    config,
                    publish=self._publish,
                    remember=self._remember,
                    on_problem=self._report_camera,
                    on_look_problem=self._report_looks,
                    on_detector=self._declare_later,
                    lessons=self._learning,
                    observer=self._live,
                    sources=self._recorder.source_of,
                    until=self._until,
                )
            self._advising.look_at(config, self._right_file())
            if self._reloading is not None:
                self._commands = Commands(
                    self._reloading,
                    self._publisher,
                    lambda: self._pipeline.current.config,
                    Looking(self._reloading, self._pipeline, self._learning).start,
                )
            if self._part is not None:
                self._looking = Looking(self._part, self._pipeline, self._learning)
            self._supervision = Supervision(
                self._pipeline,
                self._publisher,
                self._changing,
                self._instance,
                self._failed,
                self._report_shortage,
                self._learning,
                self._notices,
            )
            self._pages = Pages(
                self._supervision.what_is_stuck,
                lambda: self._supervision.ready,
                exposition(self._metrics),
                self._status,
                partial(look, self._pipeline),
                lambda: [shown(vote) for vote in self._learning.all_votes],
                self._learning.forget_now,
                self._learning.overview,
                self._page_answers(),
            )
            self._web = Web(self._pages, self._web_changed)
            started.callback(self._web.close)
            self._web.open(config.http)
            self._resources = started.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._resources.close()

    def request_stop(self) -> None:
        self._stop.set()

    def request_reload(self) -> None:
        if self._reloading is not None:
            self._reloading.request()

    def run(self) -> None:
        """Watch the cameras; raises StreamwatchError if a thread of the daemon has failed."""
        status = None
        try:
            with self._published_if_unforeseen():
                self._recall()
                self._declare()
                if self._followed is not None:
                    if self._followed.error is None:
                        keep(self._followed.path, self._followed.text)
                    else:
                        self._on_outcome(Outcome(error=self._followed.error))
                    status = StatusServer(status_socket(self._followed.path), self._pages)
                self._learning.start()
                self._history.start()
                self._recorder.start()
                self._pipeline.start()
                if self._changing is not None:
                    self._changing.start()
                self._supervision.run(self._stop)
        finally:
            if status is not None:
                status.close()
            self._shut_down()
        self._supervision.raise_failures()

    @property
    def _changing(self) -> Changing | None:
        return self._part or self._reloading

    @property
    def _until(self) -> Until:
        if self._part is not None:
            return "stopped"
        return "finished" if self._followed is None else "last finished"

    def _state(self, kind: str) -> Path | None:
        """The file in the state folder; None where nothing outlives the daemon."""
        if self._place is not None:
            return self._place.folder / f"{kind}.sqlite3"
        if self._followed is not None:
            return state_file(kind, self._followed.path, ".sqlite3")
        return None

    @contextmanager
    def _published_if_unforeseen(self) -> Iterator[None]:
        """Publish an error on `P/errors` that nobody has foreseen, while that is still possible."""
        try:
            yield
        except StreamwatchError:
            raise
        except Exception as error:
            sentence = f"streamwatch ends: {first_line(error)}"
            self._publisher.error(ErrorReport("detector", sentence))
            raise

    def _right_file(self) -> Path | None:
        """The file that the daemon starts with, unless that is the last good one in its place."""
        followed = self._followed
        return None if followed is None or followed.error is not None else followed.path

    def _recall(self) -> None:
        """Continue the visits of the previous run; end those that are no longer watched for."""
        remembered = self._publisher.remembered
        if self._part is not None:  # another may go on with them already
            there = [visit.last for visit in remembered]
            self._part.adopt_orphans((*self._publisher.left_over, *there))
            return
        for event in self._pipeline.recall(remembered):
            self._publish(event)
            log_event(event)
        pairs = {(visit.last.camera, visit.last.watch) for visit in remembered}
        self._publisher.forget((), pairs - self._pipeline.current.config.pairs)

    def _publish(self, event: Event) -> None:
        event = self._recorder.take(event)
        self._publisher.event(event)
        self._history.take(event)

    def _remember(self, visits: Iterable[Event]) -> None:
        orphans = () if self._part is None else self._part.orphans
        self._publisher.remember((*visits, *orphans))

    def _page_answers(self) -> PageAnswers | None:
        if self._reloading is None or self._followed is None:
            return None
        return PageAnswers(
            self._pipeline,
            self._live,
            self._history,
            self._learning,
            self._reloading,
            self._followed.path,
            self._status,
        )

    def _declare(self) -> None:
        """Publish the cameras, the states of all watches, and `P/info`."""
        setup = self._pipeline.current
        problem = setup.detector.running.problem
        if problem is None:
            self._problems.end("compiling")
        elif not self._problems.lasts("compiling"):
            self._problems.begin("compiling", not_compiled(problem))
        self._publisher.declare(setup.config.cameras, setup.config.pairs)
        if self._part is None:
            self._publisher.announce(report.roster(setup.config))
        self._publisher.info(
            report.info(
                setup.config,
                self._instance,
                setup.detector.running,
                self._started_at,
                self._problems.lasting,
                self._learning,
            )
        )

    def _shut_down(self) -> None:
        self._stop.set()
        if self._changing is not None:
            self._changing.request_stop()
        if not self._pipeline.stop(DRAIN_SECONDS):
            log.error("the detector is still busy after %.0f s; leaving it", DRAIN_SECONDS)
        self._recorder.stop(DRAIN_SECONDS)
        self._learning.stop(DRAIN_SECONDS)
        self._history.stop(DRAIN_SECONDS)
        self._supervision.say_offline()
        self._supervision.publish_stats()
        self._publisher.stop(DRAIN_SECONDS)
        self._notices.stop(DRAIN_SECONDS)

    # --- changing, in the thread `reload` ---------------------------------------------------------

    def _apply(
        self, config: Config, moved: Moved | None = None, prepared: Setup | None = None
    ) -> Applied:
        """Apply another configuration, perhaps one that is `prepared`. See `Changing`.

        Everything slow happens before the exchange, while the present one runs; a StreamwatchError
        leaves that unchanged.
        """
        before = self._pipeline.current.config
        changes = differences(before, config)
        if not changes:
            return Applied((), time.monotonic())
        prepared = prepared or self._pipeline.prepare(config)
        try:
            mqtt = self._brokers.reachable(config.mqtt)
        except StreamwatchError:
            self._pipeline.discard(prepared)
            raise
        if before.http != config.http:
            self._web.change(before.http, config.http)
        self._learning.change(config)
        self._recorder.change(config)
        self._history.change(config.snapshots.keep)
        self._notices.change(config.notify, _names(config), config.mqtt.outbox)
        exchanged = self._pipeline.exchange(prepared, moved)
        leave = () if moved is None else moved.leave
        self._supervision.leave(leave)
        gone = before.pairs - config.pairs
        self._supervision.forget(
            before.cameras.keys() - config.cameras.keys() - {*leave},
            {pair for pair in gone if pair[0] not in leave},
        )
        if (self._mqtt, before.snapshots) != (mqtt, config.snapshots):
            self._publisher.reconfigure(mqtt, config.snapshots, snapshot_folder(config.snapshots))
        self._mqtt = mqtt
        self._declare()
        if before.log != config.log:
            logs.set_up(config.log.level, config.log.format)
        self._pipeline.join_replaced()
        self._advising.look_at(config, None if self._followed is None else self._followed.path)
        return Applied(changes, exchanged.live_at, exchanged.left)

    def _unknown(self, config: Config) -> tuple[str, ...]:
        """The prompts whose vectors must be made first; fetches the model for that if it is
        another."""
        old, new = self._pipeline.current.config.detector, config.detector
        if old.differs(new, ("model", "text_encoder")):
            fetch_first(new, self._show_life)
        return self._pipeline.unknown(config)

    def _encode(self, prompts: Sequence[str], config: Config) -> Future[Any]:
        return self._pipeline.encode(tuple(prompts), config.detector)

    def _show_life(self) -> None:
        if self._changing is not None:
            self._changing.turned_at = time.monotonic()

    def _on_outcome(self, outcome: Outcome) -> None:
        """Report the outcome of a reload: in the log, on `P/errors` and in `P/info`."""
        if self._problems.take_outcome(outcome):
            self._declare()

    def _on_cut_off(self, cut_off: bool) -> None:
        """Report that saves of the file can't be seen, in the same places."""
        assert self._followed is not None
        self._problems.take_cut_off(self._followed.path, cut_off=cut_off)
        self._declare()

    # --- what others ask, in their threads --------------------------------------------------------

    def _take_command(self, command: Command) -> None:
        if self._commands is not None:
            self._commands.take(command)

    def _report_camera(self, camera: str, message: str) -> None:
        self._publisher.error(ErrorReport("camera", message, camera=camera))

    def _report_looks(self, who: str, sentence: str | None) -> None:
        """That second looks can't be made: in the log, on `P/errors`, and in `P/info` until it is
        over."""
        kind: Kind = ("looks", who)
        if sentence is not None:
            report = not_looking(sentence)
            log.warning("%s", report.message)
            self._problems.begin(kind, report)
        else:
            self._problems.end(kind)
        self._declare_later()

    def _report_clips(self, camera: str, sentence: str | None) -> None:
        """That a camera's clips can't be made: in the same places."""
        kind: Kind = ("clips", camera)
        if sentence is not None:
            report = no_clips_of(camera, sentence)
            log.warning("camera %s: %s", camera, report.message)
            self._problems.begin(kind, report)
        else:
            self._problems.end(kind)
        self._declare_later()

    def _report_notices(self, service: str, sentence: str | None) -> None:
        """That notices to a service can't be sent: on `P/errors`, and in `P/info` until it is
        over."""
        if sentence is not None:
            self._problems.begin(("notices", service), not_told(sentence))
        else:
            self._problems.end(("notices", service))
        self._declare_later()

    def _report_shortage(self, short: Mapping[str, Short]) -> None:
        """For which cameras the detector is too slow: in the same places."""
        if short:
            cameras = self._pipeline.current.config.cameras
            report = too_slow(short, [n for n, each in cameras.items() if each.motion == "off"])
            log.warning("%s", report.message)
            if self._problems.lasts("slow"):
                self._problems.amend("slow", report)
            else:
                self._problems.begin("slow", report)
        else:
            self._problems.end("slow")
            log.info("the detector keeps up with its cameras again")
        self._declare_later()

    def _complain(self, kind: ErrorKind, sentence: str) -> None:
        """What is lost, and alerts go on without: of notices, of what is learnt, of past alerts."""
        log.error("%s", sentence)
        self._publisher.error(ErrorReport(kind, sentence))

    def _declare_later(self) -> None:
        """Publish `P/info` again: the detector runs compiled now, or something was learnt."""
        if self._changing is not None:
            self._changing.do(self._declare)

    def _web_changed(self) -> None:
        """What `http` can't be listened on, or can again."""
        if self._problems.take_web(self._web.problem) and self._reloading is not None:
            self._reloading.do(self._declare)

    def _metrics(self) -> Metrics:
        return self._supervision.metrics(config_taken_over=not self._problems.lasts("file"))

    def _status(self) -> dict[str, Any]:
        assert self._followed is not None
        return self._supervision.status(
            self._followed.path, self._mqtt.address, self._problems.lasting
        )

    def _failed(self) -> list[tuple[BaseException, ErrorReport]]:
        parts: tuple[tuple[ErrorKind, str, BaseException | None], ...] = (
            ("publisher", "publishing", self._publisher.failure),
            ("config", "reloading", self._changing.failure if self._changing else None),
        )
        return [
            (error, ErrorReport(kind, _why(part, error)))
            for kind, part, error in parts
            if error is not None
        ]


def _why(part: str, error: BaseException) -> str:
    if isinstance(error, StreamwatchError):
        return str(error)
    return f"{part} failed: {first_line(error)}"


def _names(config: Config) -> Names:
    return Names(
        {name: camera.name for name, camera in config.cameras.items()},
        {name: watch.name for name, watch in config.watches.items()},
        config.zone,
    )
