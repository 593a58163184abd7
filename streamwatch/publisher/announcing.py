"""Keeping Home Assistant told of what there is, and of what there is no more."""

from __future__ import annotations

import random
from collections.abc import Callable

from streamwatch.publisher.homeassistant import (
    Device,
    Discovery,
    Roster,
    announced_before,
    replacing,
)

MAX_REPEAT_SECONDS = 5.0
"""Home Assistant asks for a random delay: all that it knows comes when it has started."""


class Announcer:
    """Announces a roster by way of a `Discovery`, while it has both. Not thread-safe.

    `publish` is to retain a device's message at a topic, `clear` to take away what is retained.
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
        self._repeat_at: float | None = None

    @property
    def discovery(self) -> Discovery | None:
        return self._discovery

    @property
    def seconds_to_repeat(self) -> float | None:
        """Until `repeat` is due; None while it isn't asked for."""
        return None if self._repeat_at is None else max(0.0, self._repeat_at - self._seconds())

    def use(self, discovery: Discovery | None) -> None:
        """Announce by way of this from now on; what another has announced is taken back."""
        if discovery != self._discovery:
            self._discovery = discovery
            self._update()

    def announce(self, roster: Roster) -> None:
        self._roster = roster
        self._update()

    def found(self, topic: str, payload: bytes) -> None:
        """A message that the broker has retained since an earlier life."""
        former = announced_before(payload)
        if former is None or self._roster is None:
            return
        if topic not in self._announced:
            self._clear(topic)
        else:
            self._replace(topic, self._announced[topic], former)

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
        for topic in self._announced.keys() - devices.keys():
            del self._announced[topic]
            self._clear(topic)
        for topic, device in devices.items():
            self._replace(topic, device, self._announced.get(topic))

    def _replace(self, topic: str, device: Device, former: Device | None) -> None:
        if former is not None:
            device = replacing(device, former)
        if device != self._announced.get(topic):
            self._announced[topic] = device
            self._publish(topic, device)
