"""Whether the cameras of a worker are still its own: another may have got them while it was away.

`P/cameras/<camera>/worker` names the owner. A worker listens to that of its cameras, and after each
connect it sends nothing before it has heard them again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

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
    `complain` is called with a sentence if the broker does not say who owns them.
    """

    def __init__(
        self,
        topics: Topics,
        on_lost: Callable[[str], None],
        seconds: Callable[[], float],
        complain: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        assert topics.worker is not None
        self._owner = topics.worker.encode()
        self._topics = topics
        self._on_lost = on_lost
        self._seconds = seconds
        self._complain = complain
        self._own: dict[str, str] = {}
        """The worker's cameras, by the topic that names their owner."""
        self._connection: Connection | None = None
        self._subscription: int | None = None
        self._unheard: set[str] = set()
        """The topics that were not heard on this connection yet."""
        self._until = float("inf")
        self._asked: dict[str, int] = {}
        """The topics whose subscription has no answer yet, with its number."""
        self._has_complained = False
        self.passed = False
        """Whether messages may be sent on this connection."""

    @property
    def seconds_left(self) -> float:
        """Seconds until it is passed if nothing is heard; infinite without a connection."""
        if self._connection is None:
            return float("inf")
        if self.passed or not self._unheard:
            return 0.0
        return max(0.0, self._until - self._seconds())

    def is_own(self, camera: str) -> bool:
        return self._topics.owner(camera) in self._own

    def own(self, cameras: Iterable[str]) -> None:
        """These are the worker's too, as their topics say by now."""
        new = {self._topics.owner(camera): camera for camera in cameras}
        new = {topic: camera for topic, camera in new.items() if topic not in self._own}
        self._own |= new
        if new and self._connection is not None:
            self._subscribe(self._connection, [*new])

    def disown(self, cameras: Collection[str]) -> None:
        """These are no longer the worker's."""
        topics = dict.fromkeys(map(self._topics.owner, cameras))
        gone = [topic for topic in topics if topic in self._own]
        for topic in gone:
            del self._own[topic]
            self._unheard.discard(topic)
            self._asked.pop(topic, None)
        if gone and self._connection is not None:
            self._connection.unsubscribe(gone)

    def begin(self, connection: Connection) -> None:
        """On each connect."""
        self._connection = connection
        self.passed = False
        self._asked.clear()
        self._unheard = {*self._own}
        if self._own:
            self._subscribe(connection, [*self._own])
            self._until = self._seconds() + SUBSCRIBE_SECONDS

    def lost(self) -> None:
        """The connection is lost."""
        self._connection = None
        self.passed = False

    def moved(self, topics: Topics) -> None:
        """While disconnected: the next connection is to another broker or prefix."""
        cameras = tuple(self._own.values())
        self.lost()
        self._topics = topics
        self._own = {topics.owner(camera): camera for camera in cameras}

    def subscribed(self, notice: Subscribed) -> None:
        answered = notice.subscription
        self._asked = {topic: n for topic, n in self._asked.items() if n != answered}
        if notice.subscription != self._subscription:
            return
        if notice.refusal is not None and not self._has_complained:
            self._has_complained = True
            self._complain(
                "the broker does not say which cameras are another worker's: it refuses to let"
                f" {self._topics.owner('+')} be subscribed to ({notice.refusal.lower()})"
            )
        if not self.passed:
            self._until = self._seconds() + QUIET_SECONDS

    def arrived(self, arrived: Arrived) -> bool:
        """Whether it was the owner of a camera."""
        camera = self._own.get(arrived.topic)
        if camera is None:
            return False
        if arrived.topic in self._asked and not arrived.retained:
            return True  # of a former subscription: what is retained now comes after it
        self._unheard.discard(arrived.topic)
        if arrived.payload and arrived.payload != self._owner:
            self.disown([camera])
            self._on_lost(camera)
        return True

    def _subscribe(self, connection: Connection, topics: Sequence[str]) -> None:
        # With QoS 1 the broker would repeat what it could not deliver on a former connection.
        self._subscription = connection.subscribe(topics, retained=True, qos=0)
        if self._subscription is not None:
            self._asked |= dict.fromkeys(topics, self._subscription)
