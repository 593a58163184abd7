"""A worker's part of what is published, where several are on the topic prefix."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

from streamwatch.publisher.alerts import Alerts
from streamwatch.publisher.contract.topics import Pair, Topics
from streamwatch.publisher.mqtt.connection import Connection, Pace
from streamwatch.publisher.mqtt.delivery import Delivery
from streamwatch.publisher.mqtt.fence import Fence
from streamwatch.publisher.outbox.outbox import Outbox
from streamwatch.publisher.visits import KeptVisits, OnLost
from streamwatch.records import Event

logger = logging.getLogger(__name__)

WORKERS_TURN_SECONDS = 1.0
"""The publisher's thread turns at least this often, so that a pause is noticed."""
PAUSE_SECONDS = 3.0
"""A worker that stood still for longer may have lost its cameras to another."""
GRACE_SECONDS = 5.0
"""So long after a worker is away nobody else has its cameras yet."""
WORKERS_PACE = Pace(keepalive_seconds=3, will_delay_seconds=0)
"""So that its cameras are soon another's where it is gone."""


class Share:
    """A worker's cameras, with the visits that the broker keeps for the one that has them next.

    Only for the publisher's thread. `on_lost` is called with a camera that another has got, and
    `complain` with a sentence if the broker does not say who owns them.
    """

    def __init__(
        self,
        topics: Topics,
        alerts: Alerts,
        delivery: Delivery,
        outbox: Outbox,
        on_lost: OnLost,
        *,
        seconds: Callable[[], float],
        complain: Callable[[str], None],
    ) -> None:
        self._topics = topics
        self._alerts = alerts
        self._delivery = delivery
        self._outbox = outbox
        self._on_lost = on_lost
        self._seconds = seconds
        self.fence = Fence(topics, self._lose, seconds, complain)
        self._kept = KeptVisits(delivery)
        self._pairs: Collection[Pair] = ()
        """Those that were declared last."""
        self._away_since: float | None = None
        """When the connection was lost, or the process came to stand still."""
        self._awake_at = seconds()
        self._untold: dict[str, int] = {}
        """By visit, the number of the first event that was discarded: its camera was another's
        already."""
        self._withheld: dict[str, list[int]] = {}
        """By visit, the numbers of what waits of a former run: another may have gone on with it
        since."""
        self.left_over = self._withhold_what_is_left()
        """The last event of each of these visits, as it was at the start."""

    def _withhold_what_is_left(self) -> tuple[Event, ...]:
        """Withhold each visit of a former run that perhaps nobody was told of. Of one whose `new`
        was delivered the broker has told the camera's next worker, so what waits is out of date."""
        last: dict[str, Event] = {}
        for number, event in self._outbox.left_over().items():
            if event.type != "new" and event.id not in last:
                self._outbox.remove(number)
                continue
            last[event.id] = event
            self._withheld.setdefault(event.id, []).append(number)
        for numbers in self._withheld.values():
            self._delivery.withhold(numbers)
        return tuple(last.values())

    # --- the connection ---------------------------------------------------------------------------

    def up(self, connection: Connection) -> None:
        """On each connect."""
        self.fence.begin(connection)

    def down(self) -> None:
        """The connection is lost."""
        self.fence.lost()
        self._note_away(self._seconds())

    def moved(self, topics: Topics) -> None:
        """While disconnected: the next connection is to another broker or prefix."""
        self._topics = topics
        self.fence.moved(topics)
        self._note_away(self._seconds())

    def stood_still(self) -> bool:
        """Whether the thread did since this was asked last, for so long that the connection must be
        cut: it has to hear first whose its cameras are now."""
        now, before = self._seconds(), self._awake_at
        self._awake_at = now
        if now - before < WORKERS_TURN_SECONDS + PAUSE_SECONDS:
            return False
        self._note_away(before)
        self.fence.lost()
        return True

    @property
    def is_fenced(self) -> bool:
        """Whether nothing may be sent yet on this connection."""
        return not self.fence.passed

    def passes(self) -> bool:
        """Whether messages may be sent from now on, and could not before."""
        if not self.is_fenced or self.fence.seconds_left > 0:
            return False
        self.fence.passed = True
        self._away_since = None
        return True

    def _note_away(self, since: float) -> None:
        self._away_since = since if self._away_since is None else min(since, self._away_since)

    # --- cameras ----------------------------------------------------------------------------------

    def owns(self, camera: str) -> bool:
        return self.fence.is_own(camera)

    def declare(self, pairs: Collection[Pair]) -> None:
        """These are all that exist of its cameras."""
        self._pairs = pairs

    def adopt(self, cameras: Collection[str], visits: Iterable[Event], *, resend: bool) -> None:
        """See `Publisher.adopt`."""
        self.fence.own(cameras)
        visits = tuple(visits)
        for event in visits:
            self._untold.pop(event.id, None)
        still_open = [event for event in visits if event.type != "end"]
        self._kept.adopt(cameras, still_open, self._topics)
        self._alerts.adopt(still_open, self._topics)
        if resend:
            for event in visits:
                self._kept.note(event, self._topics)
                self._delivery.alert(event, self._seconds())
                self._kept.sent(event, self._topics)

    def leave(self, cameras: Collection[str]) -> None:
        """See `Publisher.leave`."""
        self.fence.disown(cameras)
        self._alerts.leave(cameras, self._pairs, self._topics)
        for camera in cameras:
            self._delivery.drop(self._topics.camera_status(camera))
            self._kept.leave(camera, self._topics)

    def forget(self, cameras: Iterable[str]) -> None:
        """Its own among these are no more: clear the visits that are kept of them."""
        own = [camera for camera in cameras if self.owns(camera)]
        for camera in own:
            self._kept.forget(camera, self._topics)
        self.fence.disown(own)

    def _lose(self, camera: str) -> None:
        """Another has got it, and goes on with the visits that the broker knows. What began here
        before it can have been there is told, and nothing else that waits."""
        endless: list[Event] = []
        if self._away_since is not None:
            endless = self._discard(camera, self._away_since + GRACE_SECONDS)
        self.leave([camera])
        logger.warning("%s is another worker's now", camera)
        self._on_lost(camera, endless)

    def _discard(self, camera: str, new_after: float) -> list[Event]:
        """Send nothing of what waits, but for each `new` until then; returns the visits that are
        told and whose `end` is not."""
        endless: list[Event] = []
        first: dict[str, Event] = {}
        for event in self._outbox.discard([camera], new_after):
            before = first.setdefault(event.id, event)
            if event.type == "end" and before.sequence > 0:
                told = before.sequence - 1
                endless.append(
                    replace(event, type="update", sequence=told, ended_at=None, reason=None)
                )
        self._untold |= {visit: event.sequence for visit, event in first.items()}
        return endless

    # --- what a former run has left over ----------------------------------------------------------

    def send_left_over(self, visits: Iterable[str]) -> None:
        """See `Publisher.send_left_over`."""
        for visit in visits:
            self._delivery.release(self._withheld.pop(visit, ()))

    def drop_left_over(self, visits: Iterable[str]) -> None:
        """See `Publisher.drop_left_over`."""
        for visit in visits:
            for number in self._withheld.pop(visit, ()):
                self._outbox.remove(number)

    # --- events -----------------------------------------------------------------------------------

    def take(self, event: Event, came_at: float) -> None:
        """See `Alerts.take`."""
        if event.type == "rejected":
            self._alerts.take(event, came_at, self._topics)
            return
        self._kept.note(event, self._topics)
        self._alerts.take(event, came_at, self._topics)
        self._kept.sent(event, self._topics)

    def remember(self, visits: Iterable[Event]) -> None:
        """Keep how the open visits stand now."""
        self._kept.remember(visits, self._topics)

    def after_what_was_told(self, ends: Iterable[Event]) -> Iterator[Event]:
        """Of these the ends of visits of which somebody was told, each with the number that follows
        what was."""
        for event in ends:
            sequence = self._untold.pop(event.id, event.sequence)
            if sequence > 0:
                yield replace(event, sequence=sequence)
