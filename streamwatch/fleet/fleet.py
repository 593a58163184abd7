"""The process of a fleet's controller: file, broker and cluster together."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, Self

from streamwatch import logs
from streamwatch.config import Config
from streamwatch.daemon.changing import Applied, Outcome, differences
from streamwatch.daemon.commands.answering import Answered, Asked, Commands
from streamwatch.daemon.commands.parsing import CameraRequest, LearnRequest, TeachRequest
from streamwatch.daemon.commands.places import MOST_LOOKS, Places
from streamwatch.daemon.instance import instance_id
from streamwatch.daemon.problems import Problems
from streamwatch.daemon.reloading import Followed, Reloading, keep
from streamwatch.errors import StreamwatchError, UnavailableSetting
from streamwatch.fleet.cluster import Cluster
from streamwatch.fleet.controller import Controller
from streamwatch.fleet.fitness import require_fit
from streamwatch.fleet.learnt import together
from streamwatch.fleet.ledger import Ledger
from streamwatch.fleet.metrics import merged
from streamwatch.fleet.telling import status_document, summed
from streamwatch.learning.overview import Experience, overview
from streamwatch.learning.votes import shown
from streamwatch.paths import status_socket
from streamwatch.publisher import STATS_SECONDS, Publisher
from streamwatch.status import report, systemd
from streamwatch.status.liveness import idle
from streamwatch.web.app import Pages
from streamwatch.web.server import Web
from streamwatch.web.status_socket import StatusServer

log = logging.getLogger(__name__)

STOP_SECONDS = 20.0
DRAIN_SECONDS = 5.0
ASKED_AT_ONCE = 8
"""So many commands wait for workers at once."""
LEAST_SECONDS = 5.0
"""How often at most `P/info` is published because cameras have moved."""


class Fleet:
    """A configuration on the machines of a cluster, until it is stopped or all files have ended.

    Raises StreamwatchError where it can't be: the sentence says why.
    """

    def __init__(self, config: Config, followed: Followed, cluster: Cluster) -> None:
        require_fit(config, cluster.machines())
        self._config = config
        self._followed = followed
        self._cluster = cluster
        self._instance = instance_id(followed.path)
        self._started_at = datetime.now(UTC)
        self._stop = threading.Event()
        self._resources = ExitStack()
        self._publisher = Publisher(
            config.mqtt,
            config.snapshots,
            None,
            instance=self._instance,
            on_command=lambda command: self._commands.take(command),
        )
        self._problems = Problems(self._publisher)
        self._ledger = Ledger(config.mqtt)
        self._controller = Controller(config, cluster, self._publisher, self._ledger)
        self._reloading = Reloading(
            config,
            followed,
            apply=self._apply,
            unknown=lambda _: (),
            encode=_never,
            on_outcome=self._on_outcome,
            on_cut_off=self._on_cut_off,
        )
        self._commands = Commands(
            self._reloading, self._publisher, lambda: self._config, self._pass_on
        )
        self._asking = ThreadPoolExecutor(ASKED_AT_ONCE, thread_name_prefix="asking")
        self._asked = Places(MOST_LOOKS, of_one=MOST_LOOKS)
        self._told: dict[str, str] = {}
        """Where each camera was when `P/info` was published last."""
        self._tell_at = 0.0
        self._started = self._turned_at = time.monotonic()
        self._stats_at = self._started + STATS_SECONDS
        self._is_ready = False
        self._pages = Pages(
            lambda: (*idle("the controller", self._turned_at, time.monotonic()),),
            lambda: self._is_ready,
            lambda: merged(self._controller.ask_all("metrics")),
            self._status,
            self._look,
            lambda: [shown(vote) for vote in self._experience().votes],
            self._forget,
            lambda: overview(self._config, self._experience()),
        )
        self._web = Web(self._pages, self._web_changed)

    def __enter__(self) -> Self:
        with ExitStack() as started:
            self._publisher.start()
            started.callback(self._publisher.stop, DRAIN_SECONDS)
            self._ledger.start()
            started.callback(self._ledger.stop)
            started.callback(self._web.close)
            self._web.open(self._config.http)
            self._resources = started.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._resources.close()
        self._asking.shutdown(wait=False, cancel_futures=True)

    def request_stop(self) -> None:
        self._stop.set()

    def request_reload(self) -> None:
        self._reloading.request()

    def run(self) -> None:
        """Raises StreamwatchError if it can't go on; the workers do then."""
        if self._followed.error is None:
            keep(self._followed.path, self._followed.text)
        else:
            self._on_outcome(Outcome(error=self._followed.error))
        self._declare()
        self._reloading.start()
        status = StatusServer(status_socket(self._followed.path), self._pages)
        try:
            while not self._stop.is_set():
                self._turn()
                if self._controller.finished:
                    log.info("all cameras have ended")
                    break
        finally:
            status.close()
        systemd.stopping()
        self._reloading.request_stop()
        log.info("stopping the workers")
        self._controller.stop(STOP_SECONDS)

    def _turn(self) -> None:
        self._controller.turn()
        self._turned_at = time.monotonic()
        if not self._is_ready and self._controller.workers and self._publisher.tried:
            self._is_ready = True
            systemd.ready()
        systemd.alive()
        self._tell_where()
        self._publish_stats_if_due()
        self._raise_failures()

    def _raise_failures(self) -> None:
        for error in (self._publisher.failure, self._reloading.failure):
            if error is not None:
                raise StreamwatchError(str(error)) from error

    def _tell_where(self) -> None:
        """Publish `P/info` anew when cameras have moved."""
        at = self._controller.at
        if at != self._told and time.monotonic() >= self._tell_at:
            self._told = at
            self._tell_at = time.monotonic() + LEAST_SECONDS
            self._declare()

    def _declare(self) -> None:
        config = self._config
        if self._controller.at:  # before that, it is not known yet which workers there are
            self._publisher.declare(config.cameras, config.pairs, self._controller.known)
        self._publisher.announce(report.roster(config))
        told = report.info(config, self._instance, None, self._started_at, self._problems.lasting)
        self._publisher.info(replace(told, workers=self._controller.described))

    def _stats(self) -> dict[str, Any]:
        stats = self._ledger.stats(self._controller.workers)
        return summed(stats, self._instance, time.monotonic() - self._started)

    def _publish_stats_if_due(self) -> None:
        if time.monotonic() >= self._stats_at:
            self._stats_at += STATS_SECONDS
            self._publisher.summed_stats(self._stats())

    def _status(self) -> dict[str, Any]:
        return status_document(
            self._config,
            self._followed.path,
            self._publisher.connected,
            self._controller.described,
            self._controller.at,
            self._ledger.statuses,
            self._ledger.open_visits,
            self._stats(),
            self._problems.lasting,
            self._controller.nowhere,
        )

    # --- for commands on this machine, in their threads -------------------------------------------

    def _look(self, camera: str) -> bytes | None:
        if camera not in self._controller.at:
            return None
        found: bytes | None = self._controller.ask(camera, "look", camera)
        return found

    def _experience(self) -> Experience:
        return together(self._controller.ask_all("experience"), self._controller.at)

    def _forget(self, visit: str) -> None:
        votes = {vote.visit.id: vote for vote in self._experience().votes}
        if visit not in votes:
            raise StreamwatchError(f"nothing was taught of {visit}")
        camera = votes[visit].visit.subject.camera
        self._controller.ask(camera, "forget", visit)
        self._controller.note_learnt(camera)

    # --- in the thread `reload` -------------------------------------------------------------------

    def _apply(self, config: Config) -> Applied:
        changes = differences(self._config, config)
        if not changes:
            return Applied((), time.monotonic())
        before = self._config
        kept = {key: getattr(before.mqtt, key) for key in ("commands", "homeassistant", "outbox")}
        if before.mqtt != config.mqtt.model_copy(update=kept):
            raise UnavailableSetting(
                "mqtt", "a fleet keeps its broker and prefix while it runs; stop and start it"
            )
        require_fit(config, self._cluster.machines())
        gone = self._config.cameras.keys() - config.cameras.keys()
        logs.set_up(config.log.level, config.log.format)
        self._publisher.reconfigure(config.mqtt, config.snapshots, None)
        self._config = config
        if before.http != config.http:
            self._web.change(before.http, config.http)
        self._controller.change(config)
        self._publisher.forget(gone, ())
        self._declare()
        return Applied(changes, time.monotonic())

    def _pass_on(self, request: CameraRequest, asked: Asked) -> None:
        """Have the worker of a camera carry out a command."""
        if isinstance(request, LearnRequest):
            raise StreamwatchError("learn is not for a fleet: its picture would be on one machine")
        if isinstance(request, TeachRequest) and request.visit is not None:
            camera = self._ledger.camera_of(request.visit)
            if camera is None:
                raise StreamwatchError(f"there is no visit {request.visit} that is known here")
        else:
            assert request.camera is not None
            camera = request.camera
        self._asked.take(camera)
        asked.afterwards = partial(self._asked.leave, camera)

        def ask() -> None:
            try:
                answer = self._controller.ask(camera, "ask", asked.command)
                if isinstance(request, TeachRequest):
                    self._controller.note_learnt(camera)
            except Exception as error:
                self._reloading.do(partial(asked.refuse_because_of, error))
            else:
                self._reloading.do(partial(_tell, asked, answer))

        self._asking.submit(ask)

    def _on_outcome(self, outcome: Outcome) -> None:
        if self._problems.take_outcome(outcome):
            self._declare()

    def _web_changed(self) -> None:
        if self._problems.take_web(self._web.problem):
            self._reloading.do(self._declare)

    def _on_cut_off(self, cut_off: bool) -> None:
        self._problems.take_cut_off(self._followed.path, cut_off=cut_off)
        self._declare()


def _tell(asked: Asked, answer: Answered) -> None:
    if answer.ok:
        asked.answer(answer.result or {}, answer.message)
    else:
        asked.refuse(answer.message or "")


def _never(_prompts: Sequence[str], _config: Config) -> Future[Any]:
    """The workers encode prompts; the controller waits for none."""
    raise NotImplementedError
