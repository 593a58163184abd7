"""The thread that encodes new prompts, so that no other thread waits for the text encoder."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from streamwatch.prompts.embeddings import Embeddings
from streamwatch.records import Vectors


@dataclass(frozen=True, slots=True, eq=False)
class _Order:
    embeddings: Embeddings
    prompts: tuple[str, ...]
    done: Future[Mapping[str, Vectors]]


class Encoding:
    """Encodes one order after another in the thread `prompts`, started with the first order."""

    def __init__(self) -> None:
        self._orders: queue.PriorityQueue[tuple[bool, int, _Order | None]] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._thread = threading.Thread(target=self._run, name="prompts", daemon=True)
        self._lock = threading.Lock()

    def order(
        self, embeddings: Embeddings, prompts: tuple[str, ...], *, patient: bool
    ) -> Future[Mapping[str, Vectors]]:
        """The vector of each prompt, `(512,)`, or DetectorError. From any thread.

        A `patient` order waits until no other does.
        """
        done: Future[Mapping[str, Vectors]] = Future()
        self._orders.put((patient, next(self._numbers), _Order(embeddings, prompts, done)))
        with self._lock:
            if self._thread.ident is None:
                self._thread.start()
        return done

    def stop(self) -> None:
        """Take no more orders; does not wait for the present one."""
        self._orders.put((True, next(self._numbers), None))

    def _run(self) -> None:
        while (order := self._orders.get()[2]) is not None:
            if not order.done.set_running_or_notify_cancel():
                continue
            try:
                vectors = order.embeddings.vectors(order.prompts)
            except Exception as error:
                order.done.set_exception(error)
            else:
                order.done.set_result(vectors)
