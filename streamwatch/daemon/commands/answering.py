"""Carries out commands that arrive over MQTT, in the reloading thread, and answers them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from streamwatch.config import Config, config_hash
from streamwatch.daemon.changing import Outcome
from streamwatch.daemon.commands.parsing import (
    CameraRequest,
    EditRequest,
    Id,
    Rejected,
    ReloadRequest,
    Request,
    id_of,
    parse,
)
from streamwatch.daemon.commands.places import (
    BUSY,
    MOST_ENCODED,
    Places,
)
from streamwatch.daemon.reloading import Reloading
from streamwatch.errors import foreseen
from streamwatch.logs import Seldom
from streamwatch.publisher import Command, Publisher

log = logging.getLogger(__name__)

ANYBODY = ""
"""Takes places that are nobody's in particular."""
_Result = TypeVar("_Result")


class Commands:
    """Takes commands from the publisher, and gives it the answers.

    `look` carries out those that concern a camera, or raises StreamwatchError.
    """

    def __init__(
        self,
        reloading: Reloading,
        publisher: Publisher,
        config: Callable[[], Config],
        look: Callable[[CameraRequest, Asked], None],
    ) -> None:
        self._reloading = reloading
        self._publisher = publisher
        self._config = config
        self._look = look
        self._changes = Places(MOST_ENCODED, of_one=MOST_ENCODED)
        """Of commands that change something and wait for the text encoder."""
        self._said = Said()

    def take(self, command: Command) -> None:
        """Queue a command, or refuse it if too many wait; from any thread, never blocks."""
        if not self._reloading.offer(partial(self._begin, command)):
            self._asked(command, id_of(command)).refuse(BUSY)

    # From here on everything runs in the thread `reload`.

    def _begin(self, command: Command) -> None:
        asked = self._asked(command, None)
        try:
            request = parse(command)
            asked = self._asked(command, request.id)
            if isinstance(request, Rejected):
                asked.refuse(request.message)
            else:
                self._start(request, asked)
        except Exception as error:
            asked.refuse_because_of(error)

    def _asked(self, command: Command, id: Id) -> Asked:
        answer = partial(self._publisher.answer, command.reply, command.verb, id)
        return Asked(command, answer, self._said)

    def _start(self, request: Request, asked: Asked) -> None:
        """Do what needs no waiting, and arrange for the rest. Raises StreamwatchError."""
        match request:
            case EditRequest():
                self._take_a_change(asked)
                then = partial(self._tell, asked)
                self._reloading.edit(request.edit, persist=request.persist, then=then)
            case ReloadRequest():
                self._take_a_change(asked)
                self._reloading.reload(partial(self._tell, asked))
            case _:
                self._look(request, asked)

    def _take_a_change(self, asked: Asked) -> None:
        self._changes.take(ANYBODY)
        asked.afterwards = partial(self._changes.leave, ANYBODY)

    def _tell(self, asked: Asked, outcome: Outcome) -> None:
        if outcome.error is not None:
            asked.refuse(str(outcome.error))
            return
        asked.answer({"changes": list(outcome.changes), "config_hash": config_hash(self._config())})


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a command that another program passes on."""

    ok: bool
    message: str | None = None
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What the log is told of commands."""

    done: Seldom = field(default_factory=lambda: Seldom(log, logging.INFO))
    failed: Seldom = field(default_factory=lambda: Seldom(log, logging.ERROR))


class Asked:
    """A command to be answered once; `afterwards` is called then.

    `cancelled` is the message if its look is cancelled.
    """

    def __init__(self, command: Command, answer: Callable[..., None], said: Said) -> None:
        """`answer` is called with `ok`, `message` and `result`."""
        self.command = command
        self._said = said
        self._answer = answer
        self.cancelled = ""
        self.afterwards: Callable[[], None] = lambda: None

    def answer(self, result: Mapping[str, Any], message: str | None = None) -> None:
        self._said.done("did what was asked for by the command %s", self.command.verb)
        self._answer(ok=True, result=result, message=message)
        self.afterwards()

    def refuse(self, message: str) -> None:
        self._answer(ok=False, message=message)
        self.afterwards()

    def refuse_because_of(self, error: Exception) -> None:
        """What was not foreseen ends neither the daemon nor the commands that follow."""
        known = foreseen(error)
        if known is not error:
            self._said.failed("the command %s %s", self.command.verb, known)
        self.refuse(str(known))
