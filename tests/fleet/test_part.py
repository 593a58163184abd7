"""What one worker is asked to do, in any order, and what is left behind."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

import pytest

from streamwatch.config import Config
from streamwatch.daemon.daemon import Daemon
from streamwatch.daemon.part import Left
from streamwatch.errors import StreamwatchError
from streamwatch.pipeline.pipeline import Setup
from streamwatch.records import Event
from tests.fleet.test_two_workers import Bench, bench, got
from tests.parts.mosquitto import Mosquitto
from tests.parts.mqtt_proxy import MqttProxy
from tests.parts.waiting import PATIENCE_SECONDS, wait_until
from tests.publisher.events import new_event

pytestmark = pytest.mark.slow(seconds=20)

__all__ = ["bench"]


@pytest.fixture
def worker(bench: Bench) -> Iterator[Daemon]:
    with bench.worker("one") as worker:
        yield worker


def captures() -> set[str]:
    """The threads that read cameras."""
    return {thread.name for thread in threading.enumerate() if "yard" in thread.name}


def test_what_it_has_not_got_it_does_not_take_or_release(bench: Bench, worker: Daemon) -> None:
    part = worker.part
    assert got(part.take(["gate"], [new_event(camera="gate")], resend=True)).changes == ()
    assert got(part.release(["porch", "gate"])) == Left()
    bench.give("porch", "one")
    got(part.take(["porch"], [], resend=False))
    assert got(part.take(["porch"], [], resend=False)).changes == ()
    wait_until(lambda: bench.types() == ["new"])
    assert got(part.release(["porch"])).visits.keys() == {"porch"}
    assert got(part.release(["porch"])) == Left()
    assert part.cameras == frozenset()


def test_cameras_that_were_opened_and_do_not_come_are_let_go(bench: Bench, worker: Daemon) -> None:
    part = worker.part
    bench.give("porch", "one")
    got(part.take(["porch"], [], resend=False))
    got(part.open(["yard"]))
    assert captures()
    got(part.release(["porch"]))
    wait_until(lambda: not captures())
    got(part.open(["yard", "gate"]))
    assert captures()
    watch = bench.config.watches["car"].model_copy(update={"leave": timedelta(seconds=3)})
    assert (
        got(part.change(bench.config.model_copy(update={"watches": {"car": watch}}))).error is None
    )
    wait_until(lambda: not captures())
    assert part.cameras == frozenset()


def test_a_stop_ends_what_was_opened_and_answers_what_was_asked(bench: Bench) -> None:
    with bench.worker("one") as worker:
        part = worker.part
        got(part.open(["yard"]))
        assert captures()
        hold = threading.Event()
        part.do(lambda: hold.wait(20))
        asked = part.take(["porch"], [], resend=False)
        worker.request_stop()
        wait_until(lambda: not captures())
        hold.set()
        with pytest.raises(StreamwatchError, match="stopping"):
            got(asked)
    with pytest.raises(StreamwatchError, match="stopping"):
        got(part.release(["porch"]))
    with pytest.raises(StreamwatchError, match="stopping"):
        got(part.change(bench.config))


@pytest.mark.parametrize("error", [StreamwatchError("no such lens"), RuntimeError("no such lens")])
def test_a_take_that_fails_leaves_nothing_owned(
    bench: Bench, worker: Daemon, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    part = worker.part
    bench.give("porch", "one")

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(worker._pipeline, "prepare", fail)
        with pytest.raises(StreamwatchError, match="no such lens"):
            got(part.take(["porch"], [new_event(id="a")], resend=False))
    assert part.cameras == frozenset()
    share = worker._publisher._loop._share
    assert share is not None
    wait_until(lambda: not share.owns("porch"))
    wait_until(lambda: worker._publisher.open_visits == {})
    got(part.take(["porch"], [], resend=False))
    wait_until(lambda: bench.types() == ["new"])


def test_a_camera_that_another_gets_while_it_comes_is_left(
    bench: Bench, worker: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = worker.part
    lost = threading.Event()
    lose, prepare = part.lose, worker._pipeline.prepare

    def noted(camera: str, orphans: Iterable[Event]) -> None:
        lose(camera, orphans)
        lost.set()

    def slow(config: Config) -> Setup:
        assert lost.wait(20)
        return prepare(config)

    with monkeypatch.context() as patch:
        patch.setattr(part, "lose", noted)
        patch.setattr(worker._pipeline, "prepare", slow)
        bench.give("porch", "two")
        got(part.take(["porch"], [], resend=False))
    wait_until(lambda: part.cameras == frozenset())
    assert bench.types() == []


def test_news_of_a_loss_that_came_before_it_was_given_again_does_not_count(
    bench: Bench, worker: Daemon
) -> None:
    part = worker.part
    bench.give("porch", "one")
    hold = threading.Event()
    part.do(lambda: hold.wait(20))
    taken = part.take(["porch"], [], resend=False)
    part.lose("porch")
    hold.set()
    got(taken)
    got(part.release(["yard"]))  # whatever was asked before is done
    assert part.cameras == {"porch"}


def test_a_camera_that_can_not_be_left_at_once_is_left_later(
    bench: Bench, worker: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamwatch.daemon.part.LOSE_AGAIN_SECONDS", 0.5)
    part = worker.part
    bench.give("porch", "one")
    got(part.take(["porch"], [], resend=False))

    def fail(*_: object) -> None:
        raise StreamwatchError("no such lens")

    with monkeypatch.context() as patch:
        patch.setattr(worker._pipeline, "prepare", fail)
        bench.give("porch", "two")
        share = worker._publisher._loop._share
        assert share is not None
        wait_until(lambda: not share.owns("porch"))
        got(part.release(["yard"]))
        assert part.cameras == {"porch"}
    wait_until(lambda: part.cameras == frozenset())


def test_visits_that_nothing_goes_on_with_end_once(bench: Bench, worker: Daemon) -> None:
    """Their watch is gone, or they are too old."""
    old = new_event(id="old")
    gone = new_event(id="gone", watch="dog")
    bench.give("porch", "one")
    got(worker.part.take(["porch"], [old, gone], resend=False))
    wait_until(lambda: "new" in bench.types())
    topics = [f"{bench.prefix}/events/porch/{watch}" for watch in ("car", "dog")]
    told = [
        (event["id"], event["type"], event["reason"])
        for topic in topics
        for event in (message.json for message in bench.subscriber.of(topic))
        if event["id"] in ("old", "gone")
    ]
    assert told == [("old", "end", "restart"), ("gone", "end", "restart")]
    wait_until(lambda: bench.payloads("state/porch/dog")[-1:] == [b""])
    wait_until(lambda: bench.payloads("state/porch/car")[-1] == b"ON")


def test_visits_of_a_camera_that_is_disabled_end(bench: Bench, worker: Daemon) -> None:
    part = worker.part
    porch = bench.config.cameras["porch"].model_copy(update={"enabled": False})
    cameras = {**bench.config.cameras, "porch": porch}
    assert got(part.change(bench.config.model_copy(update={"cameras": cameras}))).error is None
    bench.give("porch", "one")
    got(part.take(["porch"], [new_event(id="a")], resend=False))
    wait_until(lambda: bench.events() == [("a", "end", "restart")])
    wait_until(lambda: bench.payloads("cameras/porch/status") == [b"disabled"])
    wait_until(lambda: bench.payloads("state/porch/car")[-1] == b"OFF")
    wait_until(lambda: bench.kept() == [])


def test_a_camera_that_moves_again_and_again_has_one_visit(bench: Bench) -> None:
    with bench.worker("one") as first, bench.worker("two") as second:
        part, other = first.part, second.part
        bench.give("porch", "one")
        got(part.take(["porch"], [], resend=False))
        wait_until(lambda: bench.types() == ["new"])
        visit = bench.events()[0][0]
        for name in ("two", "one", "two", "one"):
            left = got(part.release(["porch"]))
            part, other = other, part
            bench.give("porch", name)
            got(part.take(["porch"], left.visits["porch"], resend=False))
        bench.detector.there = False
        wait_until(lambda: bench.types()[-1:] == ["end"])
    assert {id for id, _, _ in bench.events()} == {visit}
    assert [kind for kind in bench.types() if kind != "update"] == ["new", "end"]
    sequences = [
        message.json["sequence"]
        for message in bench.subscriber.of(f"{bench.prefix}/events/porch/car")
    ]
    assert sequences == [*range(len(sequences))]


def test_what_is_lost_and_taken_again_is_no_orphan(bench: Bench, worker: Daemon) -> None:
    part = worker.part
    bench.give("porch", "one")
    got(part.take(["porch"], [], resend=False))
    wait_until(lambda: bench.types() == ["new"])
    bench.give("porch", "two")
    wait_until(lambda: part.orphans)
    (orphan,) = part.orphans
    bench.give("porch", "one")
    got(part.take(["porch"], [orphan], resend=False))
    assert part.orphans == ()
    bench.detector.there = False
    wait_until(lambda: bench.types()[-1:] == ["end"])
    assert [kind for kind in bench.types() if kind != "update"] == ["new", "end"]


@pytest.mark.parametrize("seed", range(2))
def test_each_visit_is_told_once_however_its_camera_moves(
    bench: Bench, mosquitto: Mosquitto, seed: int
) -> None:
    """While things come and go, and connections break."""
    chance = random.Random(seed)
    cameras = ("porch", "yard")
    with (
        MqttProxy(mosquitto.port) as proxy,
        bench.worker("one", port=proxy.port) as one,
        bench.worker("two") as two,
    ):
        at = {}
        for camera in cameras:
            bench.give(camera, "one")
            got(one.part.take([camera], [], resend=False))
            at[camera] = one

        def move(moved: Sequence[str], *, opened: bool) -> None:
            for camera in moved:
                giver = at[camera]
                taker, name = (two, "two") if giver is one else (one, "one")
                if opened:
                    got(taker.part.open([camera]))
                left = got(giver.part.release([camera]))
                # Also what its thread has not taken yet, while the connection is cut.
                assert giver._publisher.flush(PATIENCE_SECONDS)
                bench.give(camera, name)
                got(taker.part.take([camera], left.visits[camera], resend=False))
                at[camera] = taker

        for _ in range(25):
            match chance.choices(("see", "move", "cut", "watch"), weights=(6, 8, 1, 1))[0]:
                case "see":
                    bench.detector.there = not bench.detector.there
                    threading.Event().wait(chance.uniform(0, 0.5))
                case "move":
                    some = chance.sample(cameras, chance.randint(1, 2))
                    move(some, opened=chance.random() < 0.5)
                case "cut":
                    proxy.cut()
                case "watch":
                    watch = bench.config.watches["car"].model_copy(
                        update={"leave": timedelta(seconds=chance.randint(1, 3))}
                    )
                    config = bench.config.model_copy(update={"watches": {"car": watch}})
                    for worker in (one, two):
                        assert got(worker.part.change(config)).error is None
        bench.detector.there = False
        for camera in cameras:
            wait_until(lambda camera=camera: bench.kept(camera) == [])  # type: ignore[misc]
            wait_until(
                lambda camera=camera: bench.payloads(f"state/{camera}/car")[-1] == b"OFF"  # type: ignore[misc]
            )
    for camera in cameras:
        stories: dict[str, dict[int, str]] = {}
        for message in bench.subscriber.of(f"{bench.prefix}/events/{camera}/car"):
            event = message.json
            stories.setdefault(event["id"], {}).setdefault(event["sequence"], event["type"])
        for story in stories.values():
            assert [*story] == [*range(len(story))]
            kinds = [*story.values()]
            assert kinds == ["new", *["update"] * (len(kinds) - 2), "end"]
