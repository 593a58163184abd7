"""Whether the cameras of a worker are still its own: another may have got them while it was away.

`P/cameras/<camera>/worker` names the owner. A worker listens to that of its cameras, and after each
connect it sends nothing before it has heard them again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from streamwatch.publisher.contract.topics import Topics
from streamwatch.publisher.mqtt.attempt import Arrived, Subscribed
from streamwatch.publisher.mqtt.connection import Connection

QUIET_SECONDS = 2.0
"""How long the owners may take to come once the broker has answered the subscription."""
SUBSCRIBE_SECONDS = 5.0
"""How long to wait for that answer."""


class Fence:
    """Not thread-safe: the publisher's thread owns it.

    `on_lost` is called with each camera of the worker that another owns; it is no own one then.
    """

    def __init__(
        self,
        topics: Topics,
        on_lost: Callable[[str], None],
        seconds: Callable[[], float],
    ) -> None:
        assert topics.worker is not None
        self._owner = topics.worker.encode()
        self._topics = topics
        self._on_lost = on_lost
        self._seconds = seconds
        self._own: dict[str, str] = {}
        """The worker's cameras, by the topic that names their owner."""
        self._connection: Connection | None = None
        self._subscription: int | None = None
        self._unheard: set[str] = set()
        """The topics that were not heard on this connection yet."""
        self._until = float("inf")
        self.passed = False
        """Whether messages may be sent on this connection."""

    @property
    def seconds_left(self) -> float:
        """Seconds until it is passed if nothing is heard; infinite without a connection."""
        if self.passed or not self._unheard:
            return 0.0 if self._connection is not None else float("inf")
        return max(0.0, self._until - self._seconds())

    def is_own(self, camera: str) -> bool:
        return self._topics.owner(camera) in self._own

    def own(self, cameras: Iterable[str]) -> None:
        """These are the worker's too, as their topics say by now."""
        new = {self._topics.owner(camera): camera for camera in cameras}
        new = {topic: camera for topic, camera in new.items() if topic not in self._own}
        self._own |= new
        if new and self._connection is not None:
            self._subscription = self._connection.subscribe([*new], retained=True, qos=1)

    def disown(self, cameras: Collection[str]) -> None:
        """These are no longer the worker's."""
        gone = [topic for camera in cameras if (topic := self._topics.owner(camera)) in self._own]
        for topic in gone:
            del self._own[topic]
            self._unheard.discard(topic)
        if gone and self._connection is not None:
            self._connection.unsubscribe(gone)

    def begin(self, connection: Connection) -> None:
        """On each connect."""
        self._connection = connection
        self.passed = False
        self._unheard = {*self._own}
        if self._own:
            self._subscription = connection.subscribe([*self._own], retained=True, qos=1)
            self._until = self._seconds() + SUBSCRIBE_SECONDS

    def lost(self) -> None:
        """The connection is lost."""
        self._connection = None
        self.passed = False

    def subscribed(self, notice: Subscribed) -> None:
        if notice.subscription == self._subscription and not self.passed:
            self._until = self._seconds() + QUIET_SECONDS

    def arrived(self, arrived: Arrived) -> bool:
        """Whether it was the owner of a camera."""
        camera = self._own.get(arrived.topic)
        if camera is None:
            return False
        self._unheard.discard(arrived.topic)
        if arrived.payload and arrived.payload != self._owner:
            self.disown([camera])
            self._on_lost(camera)
        return True
