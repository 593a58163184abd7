"""A Ray actor: a daemon with a detector, which watches the cameras that the controller gives it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from streamwatch import __version__, logs
from streamwatch.errors import StreamwatchError, first_line, foreseen
from streamwatch.fleet.calls import Hello, News, Refusal
from streamwatch.learning.overview import Experience
from streamwatch.paths import state_dir
from streamwatch.records import Event
from streamwatch.source.choice import file_of

if TYPE_CHECKING:
    from streamwatch.config import Config
    from streamwatch.daemon.commands.answering import Answered
    from streamwatch.daemon.daemon import Daemon
    from streamwatch.daemon.part import Left
    from streamwatch.publisher import Command

log = logging.getLogger(__name__)

PARENT_SECONDS = 0.1
"""How often the worker looks whether its raylet lives."""
NEWS_SECONDS = 0.1
"""How often it looks for news."""
STOP_SECONDS = 15.0

_Result = TypeVar("_Result")


class Worker:
    """Does what the newest controller tells; what an older one says is refused.

    Ray calls the methods in threads of its own, several at once.
    """

    def __init__(self, name: str) -> None:
        os.environ.pop("NOTIFY_SOCKET", None)  # the service of Ray is not ours to speak for
        self._name = name
        self._epoch = 0
        self._lock = threading.Lock()
        """Held while it begins or stops, and while the epoch is compared."""
        self._daemon: Daemon | None = None
        self._main: threading.Thread | None = None
        self._capacity: float | None = None
        self._lacks: frozenset[str] = frozenset()
        parent = os.getppid()
        threading.Thread(target=_end_with, args=(parent,), name="parent", daemon=True).start()

    def hello(self) -> Hello:
        """Where it stands, once it runs."""
        daemon = self._daemon
        return Hello(
            self._name,
            os.getpid(),
            __version__,
            self._epoch,
            self._capacity,
            "" if daemon is None else _hardware(daemon.device),
            frozenset() if daemon is None else daemon.part.cameras,
            self._lacks,
        )

    def begin(self, config: Config, epoch: int) -> Hello | Refusal:
        """Load the detector and connect to the broker; takes seconds, or as long as it takes to
        fetch a model. Watches no camera yet. One that runs already takes the configuration."""

        def begin() -> Hello:
            if self._daemon is None:
                self._start(config)
                return self._with(config)
            return self._changed(config)

        return self._answered(begin, epoch)

    def change(self, config: Config, epoch: int) -> Hello | Refusal:
        """Apply another configuration; returns once all of it is in force."""
        return self._answered(lambda: self._changed(config), epoch)

    def open(self, cameras: Collection[str], epoch: int) -> Refusal | None:
        """Read cameras that are about to come; returns when they give frames."""
        return self._answered(lambda: self._running.part.open(cameras).result(), epoch)

    def release(self, cameras: Collection[str], epoch: int) -> Left | Refusal:
        """Leave cameras to others; gives their open visits, and what is learnt of them."""
        return self._answered(lambda: self._running.part.release(cameras).result(), epoch)

    def take(
        self,
        cameras: Collection[str],
        visits: Sequence[Event],
        learnt: Mapping[str, str],
        resend: bool,
        epoch: int,
    ) -> Refusal | None:
        """Watch cameras, going on with their visits. See `Part.take`."""

        def take() -> None:
            self._running.part.take(cameras, visits, learnt, resend=resend).result()

        return self._answered(take, epoch)

    def settle(self, end: Collection[str], drop: Collection[str], epoch: int) -> Refusal | None:
        """What becomes of its orphans, by their ids. See `Part.orphans`."""

        def settle() -> None:
            self._running.part.drop(drop)
            self._running.part.end(end)

        return self._answered(settle, epoch)

    def ask(self, command: Command, epoch: int) -> Answered | Refusal:
        """Carry out a command that concerns a camera here, or its alerts."""
        return self._answered(lambda: self._running.ask(command).result(), epoch)

    def learnt(self, camera: str, epoch: int) -> str | Refusal:
        """What is learnt of a camera, as text for `take`."""
        return self._answered(lambda: self._running.part.learnt(camera), epoch)

    def metrics(self) -> bytes:
        """In the text format of Prometheus; empty before it has begun."""
        return b"" if self._daemon is None else self._daemon.pages.metrics()

    def experience(self) -> Experience:
        """What it has learnt; nothing before it has begun."""
        return Experience() if self._daemon is None else self._daemon.experience()

    def forget(self, visit: str, epoch: int) -> Refusal | None:
        """Take back what was taught of an alert, by its id."""
        return self._answered(lambda: self._running.pages.forget(visit), epoch)

    def look(self, camera: str, epoch: int) -> bytes | Refusal | None:
        """A camera's next frame as a JPEG; None for one that is not read here."""
        return self._answered(lambda: self._running.pages.look(camera), epoch)

    def news(self, known: News, patience_seconds: float) -> News:
        """What is new; what is `known` once nothing was new for so long."""
        until = time.monotonic() + patience_seconds
        while True:
            daemon = self._daemon
            found = known
            if daemon is not None:
                part = daemon.part
                found = News(part.orphans, part.cameras, daemon.finished)
            if not found.is_like(known) or time.monotonic() >= until:
                return found
            time.sleep(NEWS_SECONDS)

    def stop(self, epoch: int) -> Refusal | None:
        """Stop as a daemon does: visits end, everything is delivered as far as possible."""

        def stop() -> None:
            daemon, self._daemon = self._daemon, None
            if daemon is None or self._main is None:
                return
            daemon.request_stop()
            self._main.join(STOP_SECONDS)

        return self._answered(stop, epoch)

    @property
    def _running(self) -> Daemon:
        if self._daemon is None:
            raise StreamwatchError(f"worker {self._name} has not begun")
        return self._daemon

    def _answered(self, task: Callable[[], _Result], epoch: int) -> _Result | Refusal:
        with self._lock:
            if epoch < self._epoch:
                return Refusal("another controller has taken over", outdated=True)
            self._epoch = epoch
        try:
            return task()
        except Exception as error:
            return Refusal(str(foreseen(error)))

    def _changed(self, config: Config) -> Hello:
        outcome = self._running.part.change(config).result()
        if outcome.error is not None:
            raise outcome.error
        return self._with(config)

    def _with(self, config: Config) -> Hello:
        self._lacks = frozenset(
            name
            for name, camera in config.cameras.items()
            if camera.kind == "file" and not Path(file_of(camera)).is_file()
        )
        return self.hello()

    def _start(self, config: Config) -> None:
        from streamwatch.daemon.daemon import Daemon
        from streamwatch.daemon.fetch_first import fetch_first
        from streamwatch.daemon.part import Place
        from streamwatch.detector.device import require_runnable

        logs.set_up(config.log.level, config.log.format)
        require_runnable(config.detector)
        fetch_first(config.detector)
        daemon = Daemon(config, place=Place(self._name, _folder(config, self._name)))
        began = threading.Event()
        failures: list[Exception] = []
        self._main = threading.Thread(
            target=self._run, args=(daemon, began, failures), name="main", daemon=True
        )
        self._main.start()
        began.wait()
        if failures:
            raise failures[0]
        daemon.learn_words(config)
        self._capacity = daemon.frames_per_second()
        self._daemon = daemon

    def _run(self, daemon: Daemon, began: threading.Event, failures: list[Exception]) -> None:
        try:
            with daemon:
                began.set()
                daemon.run()
        except Exception as error:
            if not began.is_set():
                failures.append(error)
                began.set()
                return
            log.error("the worker ends: %s", first_line(error))
            logging.shutdown()
            os._exit(1)  # Ray starts it again


def _hardware(device: str) -> str:
    """What the detector runs on, in words."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name()
    from streamwatch.detector.compiled.conversion import cpu_name

    return f"{cpu_name()}, cores: {len(os.sched_getaffinity(0))}"


def _folder(config: Config, worker: str) -> Path:
    return state_dir() / "fleet" / config.mqtt.topic_prefix / worker


def _end_with(parent: int) -> None:
    """Ray leaves a busy worker running when its raylet is gone; its cameras are elsewhere then."""
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os._exit(1)
