"""Changes the configuration that runs, in a thread of its own."""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from streamwatch.config import POLL_SECONDS, Config, listing
from streamwatch.errors import ConfigError, Problem, StreamwatchError, foreseen
from streamwatch.logs import Seldom
from streamwatch.pipeline.texts import texts_of_watch
from streamwatch.prompts.embeddings import other_vectors
from streamwatch.records import Event

log = logging.getLogger(__name__)

SHOWN = 5
"""So many prompts are named in the log."""
MOST_COMMANDS = 32
"""Most commands that wait for the thread."""
_OWN, _COMMANDS = 0, 1
"""What is queued, in the order in which it is done."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a configuration changed, in words, and when it was live, in monotonic seconds.

    `left` are the open visits of cameras that were left to another daemon, by camera.
    """

    changes: tuple[str, ...]
    live_at: float
    left: Mapping[str, tuple[Event, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a change: in words, what it changed of what ran when it was asked for.

    With an `error` nothing was changed.
    """

    changes: tuple[str, ...] = ()
    error: StreamwatchError | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.error.problems if isinstance(self.error, ConfigError) else ()


Then = Callable[[Outcome], None]
"""What to call with the outcome."""


class Changing:
    """Puts configurations into force in a thread of its own, `reload`, and does what it is asked.

    The thread never waits for a text encoder or a camera: what needs vectors of new prompts takes
    effect when they are made, and everything else meanwhile. What goes on after waiting comes
    before new commands.

    `source` is what the log calls the configuration. `apply` applies one, or raises
    StreamwatchError and changes nothing. `unknown` gives the prompts whose vectors it would have to
    wait for, and `encode` starts making them. All are called in the thread.
    """

    def __init__(
        self,
        config: Config,
        source: object,
        *,
        apply: Callable[[Config], Applied],
        unknown: Callable[[Config], Sequence[str]],
        encode: Callable[[Sequence[str], Config], Future[Any]],
    ) -> None:
        self._running = config
        self._source = source
        self._apply = apply
        self._unknown = unknown
        self._encode = encode
        self._tasks: queue.PriorityQueue[tuple[int, int, Callable[[], object]]] = (
            queue.PriorityQueue()
        )
        self._commands = 0
        """How many commands wait."""
        self._commands_lock = threading.Lock()
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._say_live = Seldom(log, logging.INFO)
        self._say_waiting = Seldom(log, logging.INFO)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)
        self.turned_at = time.monotonic()
        """When the thread turned last, or fetched more of a model, in monotonic seconds."""
        self.failure: Exception | None = None

    def start(self) -> None:
        self.turned_at = time.monotonic()
        self._thread.start()

    def request_stop(self) -> None:
        """Take no more requests; does not wait for the present one."""
        self._stopping.set()

    def do(self, task: Callable[[], object]) -> None:
        """Queue a task for the thread; from any thread. The task must not block."""
        self._tasks.put((_OWN, next(self._numbers), task))

    def offer(self, command: Callable[[], object]) -> bool:
        """Queue a command behind everything else; from any thread. False if too many wait."""
        with self._commands_lock:
            if self._commands >= MOST_COMMANDS:
                return False
            self._commands += 1

        def take() -> None:
            with self._commands_lock:
                self._commands -= 1
            command()

        self._tasks.put((_COMMANDS, next(self._numbers), take))
        return True

    # From here on everything is for the thread `reload` alone.

    def later(self, seconds: float, task: Callable[[], object]) -> None:
        """Run a task after this many seconds."""
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._numbers), task))

    def _wait(
        self,
        prompts: Collection[str],
        config: Config,
        go_on: Callable[[], None],
        then: Then,
        say: Callable[..., None],
    ) -> None:
        """Have prompts encoded, then call `go_on`, or `then` with the error."""
        names = sorted(prompts)
        say(
            "%s: %s: waiting for the text encoder to read %s",
            self._source,
            ", ".join(differences(self._running, config)),
            listing([f"'{name}'" for name in names[:SHOWN]], "and")
            + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""),
        )

        def encoded(done: Future[Any]) -> None:
            try:
                done.result()
            except CancelledError:  # the daemon is stopping
                return
            except Exception as error:
                then(Outcome(error=foreseen(error)))
            else:
                go_on()

        future = self._encode(names, config)
        future.add_done_callback(lambda done: self.do(partial(encoded, done)))

    def _put_into_force(self, config: Config, unknown: Collection[str]) -> Applied:
        """Apply all but what waits for the vectors of `unknown` prompts."""
        now = self._meanwhile(config, unknown)
        applied = self._apply(now)
        self._running = now
        return applied

    def _meanwhile(self, config: Config, unknown: Collection[str]) -> Config:
        """The configuration, but watches with `unknown` prompts stay as they are now."""
        if not unknown:
            return config
        if other_vectors(self._running.detector, config.detector):
            config = config.model_copy(update={"detector": self._running.detector})
            unknown = self._unknown(config)
        watches = {
            name: watch
            if not {*unknown}.intersection(texts_of_watch(watch))
            else self._running.watches.get(name)
            for name, watch in config.watches.items()
        }
        return config.model_copy(
            update={"watches": {name: watch for name, watch in watches.items() if watch}}
        )

    def _run(self) -> None:
        try:
            self._begin()
            while not self._stopping.is_set():
                self.turned_at = time.monotonic()
                self._look()
                self._do_next()
        except Exception as error:
            log.debug("the reloading thread failed", exc_info=True)
            self.failure = error

    def _begin(self) -> None:
        """Once, before everything else."""

    def _look(self) -> None:
        """On each turn, before the tasks."""

    def _do_next(self) -> None:
        while self._later and self._later[0][0] <= time.monotonic():
            heapq.heappop(self._later)[2]()
        with suppress(queue.Empty):
            self._tasks.get(timeout=POLL_SECONDS)[2]()

    def _say_is_live(self, applied: Applied, noticed: float, say: Callable[..., None]) -> None:
        say(
            "%s: live after %.0f ms: %s",
            self._source,
            (applied.live_at - noticed) * 1000,
            ", ".join(applied.changes) or "nothing changed",
        )


_SECTIONS = (
    *("mqtt", "detector", "snapshots", "clips", "near_misses", "notify", "http", "timezone", "log"),
)


def differences(before: Config, now: Config) -> tuple[str, ...]:
    """What changed, in words: `watch bag changed`, `camera porch added`."""
    found: list[str] = []
    for word, old, new in (
        ("camera", before.cameras, now.cameras),
        ("watch", before.watches, now.watches),
    ):
        found += (f"{word} {name} removed" for name in old if name not in new)
        found += (f"{word} {name} added" for name in new if name not in old)
        found += (
            f"{word} {name} changed" for name in new if name in old and old[name] != new[name]
        )
    for section in _SECTIONS:
        if getattr(before, section) != getattr(now, section):
            found.append(f"{section} changed")
    return tuple(found)
