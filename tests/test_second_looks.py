"""Second looks from end to end: real video, toybox and its image tower, a real broker."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from streamwatch import Pipeline
from streamwatch.config import Config
from streamwatch.pipeline.pipeline import Setup
from streamwatch.records import Event
from streamwatch.second_look.process import TowerProcess
from tests.parts import IMAGE_SIZE
from tests.parts.daemon import PATIENCE_SECONDS, Daemon
from tests.parts.language_model import refuses, says, serving
from tests.parts.mosquitto import Mosquitto, StartMosquitto, Subscriber
from tests.parts.waiting import wait_until
from tests.test_end_to_end import ABSENT, PRESENT, STATS, config, events
from tests.truth import score, street

pytestmark = pytest.mark.slow(seconds=200)

FPS = 3
LOOK_ALIKES = ("cat", "horse", "fire truck", "stroller")
"""What toybox takes things of the clip for."""


@pytest.fixture
def broker(start_mosquitto: StartMosquitto) -> Mosquitto:
    return start_mosquitto()


def looking(broker: Mosquitto, second_look: object, *prompts: str) -> dict[str, Any]:
    """A daemon's configuration: the clip as fast as it goes."""
    settings = config(
        broker, {"street": {"url": "bundled:street", "pace": False, "fps": FPS}}, *prompts
    )
    for watch in settings["watches"].values():
        watch["second_look"] = second_look
    return settings


def of_clip(second_look: object, *prompts: str, **camera: Any) -> Config:
    return Config.model_validate(
        {
            "detector": {"model": "toybox", "device": "cpu", "image_size": IMAGE_SIZE},
            "cameras": {"street": {"url": "bundled:street", "pace": False, "fps": FPS, **camera}},
            "watches": {
                prompt.replace(" ", "-"): {"prompt": prompt, "second_look": second_look}
                for prompt in prompts
            },
        }
    )


def told(events: list[Event], kind: str = "new") -> list[str]:
    return [event.watch for event in events if event.type == kind]


def tower_of(setup: Setup) -> TowerProcess:
    (looker,) = setup.looks.lookers.by_key.values()
    assert isinstance(looker.by, TowerProcess)
    return looker.by


def test_every_visit_is_told_and_no_look_alike(tmp_path: Path, broker: Mosquitto) -> None:
    settings = looking(
        broker, {"mode": "require", "against": ["zebra"]}, *PRESENT, *LOOK_ALIKES, *ABSENT
    )
    settings["cameras"]["street"]["fps"] = 5
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
        assert daemon.wait() == 0, daemon.log
        subscriber.wait_for_payload("streamwatch/status", b"offline")
    assert "WARNING" not in daemon.log
    alerts = events(subscriber)
    result = score(street(), alerts)
    assert result.perfect, result
    assert sorted(a["watch"] for a in alerts if a["type"] == "new") == sorted(
        prompt.replace(" ", "-") for prompt in PRESENT
    )
    for alert in alerts:
        look = alert["second_look"]
        assert look.keys() == {"by", "score", "beaten_by", "looks", "decided", "ms"}
        assert (look["by"], look["decided"], look["beaten_by"]) == ("clip", "confirmed", None)
        assert look["score"] >= 0.5
        assert look["ms"] > 0
    for prompt in LOOK_ALIKES:
        watch = prompt.replace(" ", "-")
        states = [message.payload for message in subscriber.of(f"streamwatch/state/street/{watch}")]
        assert set(states) == {b"OFF"}
    rejected = [m for m in subscriber.received if m.topic.startswith("streamwatch/rejected/")]
    assert {message.topic.rpartition("/")[2] for message in rejected} == {
        "cat", "horse", "fire-truck", "stroller",
    }  # fmt: skip
    for message in rejected:
        assert (message.qos, message.retain) == (0, False)
        fields = message.json
        assert fields.keys() == {
            *("id", "prompt", "confidence", "box", "frame", "captured_at"),
            *("second_look", "crop_path"),
        }
        assert fields["second_look"]["decided"] == "rejected"
        assert fields["second_look"]["beaten_by"]
        assert Path(fields["crop_path"]).read_bytes().startswith(b"\xff\xd8")
    counted = subscriber.of(STATS)[-1].json["second_looks"]
    assert counted["confirmed"] == len(PRESENT)
    assert counted["held_back"] == len(rejected)
    assert counted["looks"] >= len(PRESENT) + len(rejected)
    assert (counted["failed"], counted["ms_p50"] > 0) == (0, True)


@pytest.mark.parametrize("mode", ["require", "note"])
def test_the_same_file_gives_the_same_events_each_time(mode: str) -> None:
    settings = of_clip(mode, "red car", "dog", "cat", fps=2)

    def run() -> list[tuple[object, ...]]:
        found: list[Event] = []
        with Pipeline(settings, publish=found.append) as pipeline:
            assert pipeline.wait(PATIENCE_SECONDS)
        return [
            (
                *(event.type, event.watch, event.position, event.sequence, event.box),
                event.second_look and (event.second_look.score, event.second_look.looks),
            )
            for event in found
        ]

    assert run() == run()


def test_a_process_that_hangs_is_told_once_and_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streamwatch.second_look.process.ANSWER_SECONDS", 2.0)
    said: list[tuple[str, str | None]] = []
    found: list[Event] = []
    settings = of_clip("require", "red car", "blue car", "truck", "dog")
    pipeline = Pipeline(settings, publish=found.append, on_look_problem=lambda *s: said.append(s))
    tower = tower_of(pipeline.current)
    assert tower.pid is not None
    os.kill(tower.pid, signal.SIGSTOP)
    with pipeline:
        assert pipeline.wait(PATIENCE_SECONDS)
    sentence = "the image tower did not answer within 2 s and was stopped"
    assert said == [("glance", sentence), ("glance", None)]
    news = {event.watch: event.second_look for event in found if event.type == "new"}
    decided = {watch: look and look.decided for watch, look in news.items()}
    assert decided.pop("red-car") == "skipped"
    assert set(decided.values()) <= {"skipped", "confirmed"}
    assert decided["dog"] == "confirmed"
    assert pipeline.counts.looks_failed >= 1


def test_a_process_that_was_killed_meanwhile_is_replaced_before_the_next_look() -> None:
    said: list[tuple[str, str | None]] = []
    found: list[Event] = []
    settings = of_clip("require", "red car")
    pipeline = Pipeline(settings, publish=found.append, on_look_problem=lambda *s: said.append(s))
    pid = tower_of(pipeline.current).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pipeline:
        assert pipeline.wait(PATIENCE_SECONDS)
    assert said == []
    assert [e.second_look and e.second_look.decided for e in found if e.type == "new"] == [
        "confirmed"
    ]


def test_hold_keeps_back_what_a_dead_process_can_not_look_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streamwatch.second_look.process.ANSWER_SECONDS", 1.0)
    monkeypatch.setattr("streamwatch.second_look.process.FIRST_PAUSE_SECONDS", 600.0)
    monkeypatch.setattr("streamwatch.second_look.process.LONGEST_PAUSE_SECONDS", 600.0)
    found: list[Event] = []
    settings = of_clip({"on_failure": "hold"}, "red car", "dog")
    pipeline = Pipeline(settings, publish=found.append)
    tower = tower_of(pipeline.current)
    assert tower.pid is not None
    os.kill(tower.pid, signal.SIGSTOP)
    with pipeline:
        assert pipeline.wait(PATIENCE_SECONDS)
    assert told(found) == []
    assert sorted(told(found, "rejected")) == ["dog", "red-car"]
    assert {e.second_look and e.second_look.decided for e in found} == {"skipped"}


def test_its_process_ends_with_the_pipeline_and_with_the_last_watch_that_needs_it() -> None:
    with Pipeline(of_clip("require", "dog", loop=True), publish=lambda _: None) as pipeline:
        first = tower_of(pipeline.current).pid
        assert first is not None
        kept = pipeline.prepare(of_clip("note", "dog", "cat", loop=True))
        pipeline.exchange(kept)
        assert tower_of(pipeline.current).pid == first
        pipeline.exchange(pipeline.prepare(of_clip("off", "dog", "cat", loop=True)))
        wait_until(lambda: not psutil.pid_exists(first))
        pipeline.exchange(pipeline.prepare(of_clip("require", "dog", loop=True)))
        last = tower_of(pipeline.current).pid
        assert last is not None
    wait_until(lambda: not psutil.pid_exists(last))


def test_a_language_model_decides_by_its_answer(tmp_path: Path, broker: Mosquitto) -> None:
    with serving(says('{"answer": "no"}'), says('{"answer": "yes"}')) as server:
        second_look = {
            **{"ask": "Is this a car?", "url": server.url, "model": "seer", "looks": 1},
        }
        settings = looking(broker, second_look, "red car", "dog")
        with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
            assert daemon.wait() == 0, daemon.log
            subscriber.wait_for_payload("streamwatch/status", b"offline")
    alerts = [alert for alert in events(subscriber) if alert["type"] == "new"]
    (rejected,) = [m for m in subscriber.received if m.topic.startswith("streamwatch/rejected/")]
    assert rejected.topic == "streamwatch/rejected/street/red-car"
    assert [alert["watch"] for alert in alerts] == ["dog"]
    for look, decided, answer in (
        (alerts[0]["second_look"], "confirmed", "yes"),
        (rejected.json["second_look"], "rejected", "no"),
    ):
        assert (look["by"], look["decided"], look["answer"]) == ("vlm", decided, answer)
        assert look["score"] is None
        assert look["looks"] == 1
    assert len(server.asked) == 2
    assert server.asked[0].body["model"] == "seer"


def test_a_language_model_that_fails_is_told_once_and_when_it_answers_again(
    tmp_path: Path, broker: Mosquitto
) -> None:
    with serving(refuses(500, "out of memory"), refuses(429, "slow down"), says("yes")) as server:
        second_look = {"ask": "Is it?", "url": server.url, "model": "seer"}
        settings = looking(broker, second_look, "red car", "blue car", "dog")
        with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
            assert daemon.wait() == 0, daemon.log
            subscriber.wait_for_payload("streamwatch/status", b"offline")
    decided = [
        alert["second_look"]["decided"] for alert in events(subscriber) if alert["type"] == "new"
    ]
    assert decided == ["skipped", "skipped", "confirmed"]
    (report,) = [message.json for message in subscriber.of("streamwatch/errors")]
    assert report["kind"] == "detector"
    assert report["message"].startswith("second looks can't be made: the language model at ")
    assert daemon.log.count("second looks can't be made") == 1
    assert daemon.log.count("can be made again") == 1
    problems = [message.json["problems"] for message in subscriber.of("streamwatch/info")]
    assert [len(each) for each in problems][-1] == 0
    assert any(each and each[0]["message"] == report["message"] for each in problems)


def test_detect_gives_the_score_of_a_look_where_asked(tmp_path: Path, broker: Mosquitto) -> None:
    settings = looking(broker, "off", "dog")
    settings["mqtt"]["commands"] = True
    settings["cameras"]["street"] |= {"loop": True, "pace": True}

    def answer(request: str) -> Any:
        before = len(subscriber.of("streamwatch/result/detect"))
        subscriber.publish("streamwatch/command/detect", request.encode())
        subscriber.wait_for(
            lambda _: len(subscriber.of("streamwatch/result/detect")) > before, PATIENCE_SECONDS
        )
        return subscriber.of("streamwatch/result/detect")[-1].json

    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
        subscriber.wait_for_payload("streamwatch/cameras/street/status", b"online", 60)
        words = '"prompts": ["pedestrian", "red car", "cat", "truck", "parcel"]'
        asked = f'{{"camera": "street", {words}, "look": true}}'
        plain = answer(f'{{"camera": "street", {words}}}')["result"]["detections"]
        found: list[Any] = []
        while not found:
            found = answer(asked)["result"]["detections"]
        own = answer('{"camera": "street", "look": true}')
        assert own["ok"], own
        assert daemon.terminate() == 0
    assert all("look" not in detection for detection in plain)
    looks = [detection["look"] for detection in found]
    assert looks
    assert {frozenset(look) for look in looks if look} == {frozenset(("score", "beaten_by"))}
    assert all(0 <= look["score"] <= 1 for look in looks if look)
