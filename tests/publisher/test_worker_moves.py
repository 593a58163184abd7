"""Two workers on a prefix, cameras that move between them at random, and connections that break."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamwatch.publisher import Publisher
from streamwatch.publisher.share import GRACE_SECONDS
from streamwatch.publisher.visits import visits_of
from streamwatch.records import Event
from tests.parts.mosquitto import Mosquitto, Subscriber
from tests.parts.mqtt_proxy import MqttProxy
from tests.parts.waiting import wait_until
from tests.publisher.events import MOMENT, end_event, new_event, update_event
from tests.publisher.running import make, settled

pytestmark = pytest.mark.slow(seconds=10)

CAMERAS = ("porch", "yard")
PAIRS = [(camera, "car") for camera in CAMERAS]
STEPS = 120
ids = itertools.count(1)


class Worker:
    """A publisher behind a link of its own, and the visits that its watches know."""

    def __init__(self, name: str, broker: Mosquitto, prefix: str, folder: Path) -> None:
        self.name = name
        self.late = 0.0
        self.lost: list[str] = []
        self.endless: dict[str, Event] = {}
        self.visits: dict[str, dict[str, Event]] = {}
        self.link = MqttProxy(broker.port)
        self.publisher: Publisher = make(
            self.link,
            prefix,
            worker=name,
            outbox=folder / f"{name}.sqlite3",
            on_lost=self._lose,
            seconds=lambda: time.monotonic() + self.late,
        )

    def cut(self) -> None:
        self.link.cut()
        wait_until(lambda: not self.publisher.connected)

    def _lose(self, camera: str, endless: Sequence[Event]) -> None:
        self.endless |= {event.id: event for event in endless}
        self.lost.append(camera)

    def see(self, camera: str, chance: random.Random) -> None:
        """Something happens before a camera of its own."""
        there = self.visits[camera]
        if not there or chance.random() < 0.3:
            event = new_event(id=f"{camera}-{next(ids)}", camera=camera)
        else:
            last = chance.choice([*there.values()])
            kind = chance.choice((update_event, end_event))
            event = kind(last.id, last.sequence + 1, camera=camera)
        if event.type == "end":
            del there[event.id]
        else:
            there[event.id] = event
        self.publisher.event(event)

    def remember(self) -> None:
        """As from time to time: the open visits as they are now, none of them new."""
        self.publisher.remember(
            update_event(event.id, event.sequence, camera=camera, confidence=0.5)
            for camera, there in self.visits.items()
            for event in there.values()
        )

    def take(self, camera: str, visits: list[Event], *, resend: bool) -> None:
        self.visits[camera] = {event.id: event for event in visits if event.type != "end"}
        self.publisher.adopt([camera], visits, resend=resend)
        self._declare()

    def release(self, camera: str) -> list[Event]:
        self.publisher.leave([camera])
        there = self.visits.pop(camera)
        self._declare()
        assert self.publisher.flush(20)
        return [
            update_event(e.id, e.sequence, camera=camera)
            if e.sequence
            else new_event(id=e.id, camera=camera)
            for e in there.values()
        ]

    def _declare(self) -> None:
        self.publisher.declare(self.visits, [pair for pair in PAIRS if pair[0] in self.visits])


class Bench:
    """What the controller does."""

    def __init__(self, one: Worker, two: Worker, subscriber: Subscriber, prefix: str) -> None:
        self.one, self.two = one, two
        self.subscriber = subscriber
        self.prefix = prefix
        self.owners = dict.fromkeys(CAMERAS, one)
        for camera in CAMERAS:
            self.give(camera, one)
            one.take(camera, [], resend=False)

    def other(self, worker: Worker) -> Worker:
        return self.two if worker is self.one else self.one

    def give(self, camera: str, worker: Worker) -> None:
        topic = f"{self.prefix}/cameras/{camera}/worker"
        self.subscriber.publish(topic, worker.name, retain=True)
        self.owners[camera] = worker

    def move(self, camera: str) -> None:
        owner = self.owners[camera]
        taker = self.other(owner)
        visits = owner.release(camera)
        self.give(camera, taker)
        taker.take(camera, visits, resend=False)

    def cut_off(self, worker: Worker, chance: random.Random) -> None:
        """A worker is not heard any more, goes on watching, and comes back."""
        publisher = worker.publisher
        assert self.other(worker).publisher.wait_connected(20)
        assert publisher.wait_connected(20)
        status = f"{self.prefix}/workers/{worker.name}/status"
        settled(publisher, self.subscriber, self.prefix)  # else it may be an earlier "offline"
        self.subscriber.wait_for_payload(status, b"online")
        worker.link.down = True
        worker.cut()
        self.subscriber.wait_for_payload(status, b"offline")
        lost = [camera for camera, owner in self.owners.items() if owner is worker]
        for camera in lost:
            worker.see(camera, chance)
            taker = self.other(worker)
            self.give(camera, taker)
            taker.take(camera, self.kept(camera), resend=True)
        worker.late += GRACE_SECONDS + 1
        for camera in lost:
            for _ in range(3):
                worker.see(camera, chance)
                taker.see(camera, chance)
        worker.link.down = False
        assert publisher.wait_connected(20)
        wait_until(lambda: set(worker.lost) >= set(lost))
        worker.lost.clear()
        for camera in lost:
            orphans = worker.visits.pop(camera)
            orphans |= {id: e for id, e in worker.endless.items() if e.camera == camera}
            unknown = [event for id, event in orphans.items() if id not in self.known()]
            publisher.end(
                end_event(event.id, event.sequence + 1, camera=camera) for event in unknown
            )
        worker.endless.clear()

    def kept(self, camera: str) -> list[Event]:
        """What the broker has of the open visits there."""
        payloads = [m.payload for m in self.subscriber.of(f"{self.prefix}/visits/{camera}")]
        return [visit.last for visit in visits_of(payloads[-1] if payloads else None, MOMENT)]

    def known(self) -> set[str]:
        return {
            visit.last.id
            for camera in CAMERAS
            for message in self.subscriber.of(f"{self.prefix}/visits/{camera}")
            for visit in visits_of(message.payload, MOMENT)
        }

    def stories(self) -> dict[str, list[tuple[int, str]]]:
        """Of each visit the sequence and type of its events, as they came, without repeats."""
        found: dict[str, dict[int, str]] = {}
        for message in self.subscriber.received:
            if message.topic.startswith(f"{self.prefix}/events/"):
                event = message.json
                found.setdefault(event["id"], {}).setdefault(event["sequence"], event["type"])
        return {visit: list(events.items()) for visit, events in found.items()}


@pytest.fixture
def bench(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Bench]:
    prefix = tmp_path.name
    with ExitStack() as stack:
        subscriber = stack.enter_context(Subscriber(mosquitto.port, f"{prefix}/#"))
        workers = [Worker(name, mosquitto, prefix, tmp_path) for name in ("one", "two")]
        for worker in workers:
            stack.enter_context(worker.link)
            worker.publisher.start()
            stack.callback(worker.publisher.stop)
        for worker in workers:
            assert worker.publisher.wait_connected(20)
        one, two = workers
        yield Bench(one, two, subscriber, prefix)
        assert [worker.publisher.failure for worker in workers] == [None, None]


@pytest.mark.parametrize("seed", [4, 14])
def test_each_visit_is_told_once_whatever_happens_to_its_camera(bench: Bench, seed: int) -> None:
    chance = random.Random(seed)
    steps: list[Callable[[], None]] = []
    for _ in range(STEPS):
        camera = chance.choice(CAMERAS)
        owner = bench.owners[camera]
        steps = [
            lambda: owner.see(camera, chance),  # noqa: B023
            owner.remember,
            lambda: bench.move(camera),  # noqa: B023
            owner.cut,
            lambda: bench.cut_off(owner, chance),  # noqa: B023
        ]
        chance.choices(steps, weights=(100, 20, 20, 1, 1))[0]()
    for camera in CAMERAS:
        owner = bench.owners[camera]
        for event in owner.visits[camera].values():
            owner.publisher.event(end_event(event.id, event.sequence + 1, camera=camera))
    for worker in (bench.one, bench.two):
        assert worker.publisher.flush(20)
    bench.subscriber.publish(f"{bench.prefix}/mark", b"all has come")
    bench.subscriber.wait_for_payload(f"{bench.prefix}/mark", b"all has come")
    assert [bench.kept(camera) for camera in CAMERAS] == [[] for _ in CAMERAS]
    for visit, story in bench.stories().items():
        kinds = [kind for _, kind in story]
        assert sorted(story)[0] == (0, "new"), (visit, story)
        assert kinds.count("new") == 1, (visit, story)
        assert kinds.count("end") == 1, (visit, story)
        assert sorted(number for number, _ in story) == [*range(len(story))], (visit, story)
