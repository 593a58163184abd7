"""Answers to commands that wait until the broker takes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from streamwatch.publisher.mqtt.delivery import Delivery
from streamwatch.publisher.mqtt.steps import Message

MOST_WAITING = 1_000
MOST_BYTES = 8_000_000
PASSED_ON = 20
"""As many are given to `Delivery` ahead of time: what may be unacknowledged at once."""


class Answers:
    """A line in front of `Delivery`, in the order given. For the publisher's thread.

    Nothing is dropped here: while it is full no command is taken, and of those that were taken
    before only so many can still be answered.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._waiting: deque[Message] = deque()
        self._bytes = 0

    @property
    def full(self) -> bool:
        return len(self._waiting) >= MOST_WAITING or self._bytes >= MOST_BYTES

    def give(self, answers: Iterable[Message]) -> None:
        for answer in answers:
            self._waiting.append(answer)
            self._bytes += len(answer.payload)

    def pass_on(self) -> bool:
        """Give `Delivery` what it can soon send; False if that is nothing."""
        passed = False
        while self._waiting and self._delivery.unsent < PASSED_ON:
            self._pass_one_on()
            passed = True
        return passed

    def pass_all_on(self) -> None:
        """Before a farewell, which nothing may follow."""
        while self._waiting:
            self._pass_one_on()

    def _pass_one_on(self) -> None:
        answer = self._waiting.popleft()
        self._bytes -= len(answer.payload)
        self._delivery.answer(answer)
