"""Two workers in one process, without Ray: cameras move from one to the other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from streamwatch.config import Config
from streamwatch.daemon.daemon import Daemon
from streamwatch.daemon.part import Part, Place
from streamwatch.detector.protocol import Running, View
from streamwatch.learning.learning import Lesson
from streamwatch.pipeline import pipeline as pipeline_module
from streamwatch.publisher.visits import visits_of
from streamwatch.records import Detection, Event
from tests.parts import STREET_CLIP
from tests.parts.daemon_here import running
from tests.parts.mosquitto import Mosquitto, Received, Subscriber
from tests.parts.mqtt_proxy import MqttProxy
from tests.parts.vectors import fake_vectors
from tests.parts.waiting import wait_until
from tests.publisher.events import MOMENT

pytestmark = pytest.mark.slow(seconds=40)

PATIENCE_SECONDS = 30.0
Result = TypeVar("Result")


class CarEverywhere:
    """Finds a red car in each picture, always in the same place, while there is one."""

    running = Running("cpu", "torch", "full")

    def __init__(self) -> None:
        self.there = True

    def detect(self, views: Sequence[View]) -> list[tuple[Detection, ...]]:
        found = (Detection("red car", 0.9, (10, 10, 90, 90)),) if self.there else ()
        return [found for _ in views]


class Bench:
    """Workers of one configuration, and what is published; tests do what a controller does."""

    def __init__(self, folder: Path, broker: Mosquitto, subscriber: Subscriber) -> None:
        self.folder = folder
        self.prefix = folder.name
        self.subscriber = subscriber
        self.detector = CarEverywhere()
        camera = {"url": str(STREET_CLIP), "loop": True, "fps": 10}
        self.config = Config.model_validate(
            {
                "mqtt": {"host": broker.host, "port": broker.port, "topic_prefix": self.prefix},
                "detector": {"model": "toybox", "distractors": False},
                "cameras": {"porch": camera, "yard": camera},
                "watches": {"car": {"prompt": "red car", "leave": "1s"}},
                "snapshots": {"path": str(folder / "snapshots")},
            }
        )

    @contextmanager
    def worker(self, name: str, **mqtt: Any) -> Iterator[Daemon]:
        """A worker that runs without cameras; stopped at the end, if it has not ended itself."""
        config = self.config
        if mqtt:
            config = config.model_copy(update={"mqtt": config.mqtt.model_copy(update=mqtt)})
        with running(Daemon(config, place=Place(name, self.folder / name))) as daemon:
            yield daemon

    def give(self, camera: str, worker: str) -> None:
        """Make a worker the camera's owner."""
        self.subscriber.publish(f"{self.prefix}/cameras/{camera}/worker", worker, retain=True)

    def begin(self, one: Part) -> str:
        """Have the worker `one` watch the porch; the id of the visit that begins there."""
        self.give("porch", "one")
        got(one.take(["porch"], [], resend=False))
        wait_until(lambda: self.types() == ["new"])
        return self.events()[0][0]

    def events(self, camera: str = "porch") -> list[tuple[str, str, str | None]]:
        """The id, type and reason of each event so far, repeats left out."""
        topic = f"{self.prefix}/events/{camera}/car"
        found = {
            (event["id"], event["sequence"]): (event["id"], event["type"], event.get("reason"))
            for event in (message.json for message in self.subscriber.of(topic))
        }
        return list(found.values())

    def types(self, camera: str = "porch") -> list[str]:
        return [kind for _, kind, _ in self.events(camera)]

    def kept_visits(self, camera: str = "porch") -> list[Event]:
        """The visits that the broker keeps."""
        payloads = [each.payload for each in self.subscriber.of(f"{self.prefix}/visits/{camera}")]
        return [visit.last for visit in visits_of(payloads[-1] if payloads else b"", MOMENT)]

    def kept(self, camera: str = "porch") -> list[str]:
        """Their ids."""
        return [visit.id for visit in self.kept_visits(camera)]

    def payloads(self, topic: str) -> list[bytes]:
        return [message.payload for message in self.subscriber.of(f"{self.prefix}/{topic}")]


def got(future: Future[Result]) -> Result:
    return future.result(PATIENCE_SECONDS)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mosquitto: Mosquitto) -> Iterator[Bench]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with Subscriber(mosquitto.port, f"{tmp_path.name}/#") as subscriber:
        bench = Bench(tmp_path, mosquitto, subscriber)
        monkeypatch.setattr(pipeline_module, "load_detector", lambda *_: bench.detector)
        fake_vectors(monkeypatch)
        yield bench


@pytest.fixture
def workers(bench: Bench) -> Iterator[tuple[Daemon, Daemon]]:
    with ExitStack() as stack:
        yield stack.enter_context(bench.worker("one")), stack.enter_context(bench.worker("two"))


def test_a_camera_moves_with_its_visits(bench: Bench, workers: tuple[Daemon, Daemon]) -> None:
    one, two = (worker.part for worker in workers)
    visit = bench.begin(one)
    wait_until(lambda: bench.kept() == [visit])

    got(two.open(["porch"]))
    left = got(one.release(["porch"]))
    assert [event.id for event in left.visits["porch"]] == [visit]
    bench.give("porch", "two")
    got(two.take(["porch"], left.visits["porch"], resend=False))
    assert not one.cameras
    assert two.cameras == {"porch"}
    time.sleep(2)  # longer than `leave`: it was seen again, or it would have ended by now
    assert set(bench.events()) <= {(visit, "new", None), (visit, "update", None)}
    assert bench.kept() == [visit]

    bench.detector.there = False
    wait_until(lambda: bench.types()[-1] == "end")
    assert bench.events()[-1] == (visit, "end", "left")
    wait_until(lambda: bench.kept() == [])
    wait_until(lambda: bench.payloads("state/porch/car") == [b"OFF", b"ON", b"ON", b"OFF"])
    statuses = bench.payloads("cameras/porch/status")
    assert set(statuses[statuses.index(b"online") :]) == {b"online"}


def test_what_was_taught_moves_with_the_camera(
    bench: Bench, workers: tuple[Daemon, Daemon]
) -> None:
    one, two = (worker.part for worker in workers)
    visit = bench.begin(one)
    taught: Future[object] = Future()
    workers[0]._learning.teach(visit, right=True, then=taught.set_result)
    assert isinstance(got(taught), Lesson)
    left = got(one.release(["porch"]))
    bench.give("porch", "two")
    got(two.take(["porch"], left.visits["porch"], left.learnt, resend=False))
    assert [vote.visit.id for vote in workers[1]._learning.all_votes] == [visit]


def test_what_a_worker_has_does_not_touch_what_another_has(
    bench: Bench, workers: tuple[Daemon, Daemon]
) -> None:
    one, two = (worker.part for worker in workers)
    bench.give("porch", "one")
    bench.give("yard", "two")
    got(one.take(["porch"], [], resend=False))
    got(two.take(["yard"], [], resend=False))
    wait_until(lambda: bench.types("porch") == bench.types("yard") == ["new"])
    workers[0].request_stop()
    wait_until(lambda: bench.payloads("workers/one/status")[-1:] == [b"offline"])
    assert bench.events("porch")[-1][1:] == ("end", "shutdown")
    assert bench.types("yard") == ["new"]
    wait_until(lambda: bench.payloads("state/yard/car")[-1] == b"ON")
    assert not any(bench.payloads(topic) for topic in ("status", "info", "stats"))


def test_a_removed_camera_ends_its_visits_and_clears_its_topics(
    bench: Bench, workers: tuple[Daemon, Daemon]
) -> None:
    one = workers[0].part
    bench.begin(one)
    cameras = {"yard": bench.config.cameras["yard"]}
    outcome = got(one.change(bench.config.model_copy(update={"cameras": cameras})))
    assert outcome.error is None
    wait_until(lambda: bench.events()[-1][1:] == ("end", "removed"))
    for topic in ("state/porch/car", "cameras/porch/status", "visits/porch"):
        wait_until(lambda topic=topic: bench.payloads(topic)[-1] == b"")  # type: ignore[misc]
    assert one.cameras == frozenset()


def test_other_watches_apply_to_the_cameras_that_are_here(
    bench: Bench, workers: tuple[Daemon, Daemon]
) -> None:
    one = workers[0].part
    bench.begin(one)
    watch = bench.config.watches["car"].model_copy(update={"enabled": False})
    got(one.change(bench.config.model_copy(update={"watches": {"car": watch}})))
    wait_until(lambda: bench.events()[-1][1:] == ("end", "disabled"))
    assert one.cameras == {"porch"}


def test_a_worker_leaves_what_another_has_got_and_tells_of_its_visits(
    bench: Bench, workers: tuple[Daemon, Daemon]
) -> None:
    one = workers[0].part
    visit = bench.begin(one)
    bench.give("porch", "two")
    wait_until(lambda: [orphan.id for orphan in one.orphans] == [visit])
    assert one.cameras == frozenset()
    one.end([visit])
    wait_until(lambda: bench.events()[-1] == (visit, "end", "restart"))
    assert one.orphans == ()
    assert bench.kept() == [visit]  # it is the other's to change


def test_a_visit_that_the_broker_knows_goes_on_from_there(
    bench: Bench, mosquitto: Mosquitto
) -> None:
    """Whatever else waits in the outbox of the worker that was lost."""
    bench.give("porch", "one")
    with MqttProxy(mosquitto.port) as proxy, bench.worker("one", port=proxy.port) as daemon:
        got(daemon.part.take(["porch"], [], resend=False))
        wait_until(lambda: bench.types() == ["new"])
        visits = bench.kept_visits()
        proxy.takes = lambda _: False
        proxy.cut()
        bench.detector.there = False
        wait_until(lambda: daemon._publisher.waiting)
        # It dies: what it would say at the end of a clean stop does not come through either.
    assert bench.types() == ["new"]
    bench.detector.there = True
    with bench.worker("one") as daemon:
        got(daemon.part.take(["porch"], visits, resend=True))
        wait_until(lambda: "update" in bench.types())
        assert "end" not in bench.types()
        bench.detector.there = False
        wait_until(lambda: bench.types()[-1] == "end")
    told = [m.json for m in bench.subscriber.of(f"{bench.prefix}/events/porch/car")]
    assert {event["id"] for event in told} == {visits[0].id}
    kinds = {(event["sequence"], event["type"]) for event in told}
    assert len(kinds) == len({sequence for sequence, _ in kinds}), "two unlike ones of a number"


@pytest.mark.parametrize("is_known", [False, True])
def test_a_visit_that_waits_in_an_outbox_that_was_left_behind(
    bench: Bench, mosquitto: Mosquitto, is_known: bool
) -> None:
    """It is told of if nobody else has."""
    bench.give("porch", "one")
    with MqttProxy(mosquitto.port) as proxy, bench.worker("one", port=proxy.port) as daemon:
        bench.detector.there = False
        got(daemon.part.take(["porch"], [], resend=False))
        wait_until(lambda: bench.payloads("state/porch/car") == [b"OFF"])
        proxy.takes = lambda _: False
        proxy.cut()
        wait_until(lambda: not daemon._publisher.connected)
        bench.detector.there = True
        wait_until(lambda: daemon._publisher.waiting)
    with bench.worker("one") as daemon:
        (visit,) = daemon.part.orphans
        assert bench.types() == []
        if is_known:
            daemon.part.drop([visit.id])
        else:
            daemon.part.end([visit.id])
        wait_until(lambda: daemon._publisher.waiting == 0)
        assert daemon.part.orphans == ()
    assert [kind for kind in bench.types() if kind != "update"] == (
        [] if is_known else ["new", "end"]
    )


def test_a_lost_workers_last_events_are_sent_again(
    bench: Bench, workers: tuple[Daemon, Daemon]
) -> None:
    one, two = (worker.part for worker in workers)
    visit = bench.begin(one)
    wait_until(lambda: bench.kept() == [visit])

    def kept(messages: Sequence[Received]) -> list[Received]:
        return [each for each in messages if each.topic == f"{bench.prefix}/visits/porch"]

    payload = kept(bench.subscriber.received)[-1].payload
    visits = [visit.last for visit in visits_of(payload, MOMENT)]
    bench.give("porch", "two")
    got(two.take(["porch"], visits, resend=True))
    topic = f"{bench.prefix}/events/porch/car"
    bench.subscriber.wait_for(lambda messages: len([m for m in messages if m.topic == topic]) > 1)
    first, again = (message.json for message in bench.subscriber.of(topic)[:2])
    assert (first["id"], first["sequence"]) == (again["id"], again["sequence"])
    bench.detector.there = False
    wait_until(lambda: bench.types()[-1] == "end")
    assert [kind for kind in bench.types() if kind != "update"] == ["new", "end"]
