"""Publishes Home Assistant's discovery messages, and clears those of what is gone."""

from __future__ import annotations

import random
from collections.abc import Callable

from streamwatch.publisher.homeassistant_discovery import (
    Device,
    Discovery,
    Roster,
    announced_before,
    replacing,
)

MAX_REPEAT_SECONDS = 5.0
"""Home Assistant asks for a random delay, since all devices answer when it has started."""


class Announcer:
    """Announces a roster with a `Discovery`, once it has both. Not thread-safe.

    `publish` retains a device's message at a topic, `clear` clears a retained topic.
    """

    def __init__(
        self,
        *,
        publish: Callable[[str, Device], None],
        clear: Callable[[str], None],
        seconds: Callable[[], float],
    ) -> None:
        self._publish = publish
        self._clear = clear
        self._seconds = seconds
        self._discovery: Discovery | None = None
        self._roster: Roster | None = None
        self._announced: dict[str, Device] = {}
        """The devices as they are, without the entries that remove former components."""
        self._found: dict[str, Device] = {}
        self._repeat_at: float | None = None

    @property
    def discovery(self) -> Discovery | None:
        return self._discovery

    @property
    def seconds_to_repeat(self) -> float | None:
        """Seconds until `repeat` is due; None if it was not asked for."""
        return None if self._repeat_at is None else max(0.0, self._repeat_at - self._seconds())

    def use(self, discovery: Discovery | None) -> None:
        """Announce with this from now on; what was announced with another is cleared."""
        if discovery != self._discovery:
            self._discovery = discovery
            self._update()

    def announce(self, roster: Roster) -> None:
        self._roster = roster
        self._update()

    def found(self, topic: str, payload: bytes) -> None:
        """A discovery message that the broker retained from the previous run."""
        former = announced_before(payload)
        if former is None:
            return
        if self._roster is None:
            self._found[topic] = former
        elif topic not in self._announced:
            self._clear(topic)
        elif (new := replacing(self._announced[topic], former)) != self._announced[topic]:
            self._publish(topic, new)

    def ask_to_repeat(self) -> None:
        """Home Assistant has started."""
        self._repeat_at = self._seconds() + random.uniform(0, MAX_REPEAT_SECONDS)

    def repeat(self) -> None:
        self._repeat_at = None
        for topic, device in self._announced.items():
            self._publish(topic, device)

    def _update(self) -> None:
        devices: dict[str, Device] = {}
        if self._discovery is not None and self._roster is not None:
            devices = self._discovery.devices(self._roster)
        before = {**self._announced, **self._found}
        for topic in before.keys() - devices.keys():
            self._clear(topic)
        for topic, device in devices.items():
            if device != self._announced.get(topic):
                former = before.get(topic)
                self._publish(topic, device if former is None else replacing(device, former))
        self._announced = devices
        self._found = {}
