"""Teaching a running daemon: over MQTT, through a kill and a restart, and from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.parts.command import run_here
from tests.parts.daemon import PATIENCE_SECONDS, Daemon
from tests.parts.mosquitto import StartMosquitto, Subscriber
from tests.test_end_to_end import config, events
from tests.truth.mistaken import HAMSTER, HAMSTER_WORDS

pytestmark = pytest.mark.slow(seconds=40)

FPS = 5


def streamwatch(daemon: Daemon, *arguments: str) -> CompletedProcess[str]:
    return run_here(daemon.folder, *arguments, "-c", daemon.config)


def tuned(daemon: Daemon) -> dict[str, Any]:
    done = streamwatch(daemon, "tune", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def teach(subscriber: Subscriber, payload: dict[str, Any]) -> dict[str, Any]:
    """The answer to the command."""
    count = len(subscriber.of("streamwatch/result/teach"))
    subscriber.publish("streamwatch/command/teach", json.dumps(payload))
    subscriber.wait_for(
        lambda _: len(subscriber.of("streamwatch/result/teach")) > count, PATIENCE_SECONDS
    )
    answer = subscriber.of("streamwatch/result/teach")[count].json
    assert isinstance(answer, dict)
    return answer


def test_a_wrong_alert_is_taught_once_and_for_all(
    tmp_path: Path, start_mosquitto: StartMosquitto
) -> None:
    broker = start_mosquitto()
    clip = HAMSTER.write(tmp_path / "scene.mp4", fps=FPS)
    camera = {"url": str(clip), "fps": FPS, "pace": False, "loop": True}
    settings = config(broker, {"yard": camera}, *HAMSTER_WORDS)
    settings["mqtt"]["commands"] = True
    for watch in settings["watches"].values():
        watch["second_look"] = "require"
    # One that can never alert, so that it is told why.
    settings["watches"]["sure-cat"] = {"prompt": "cat", "confidence": 0.999}
    alerts = "streamwatch/events/yard/hamster"
    rejected = "streamwatch/rejected/yard/hamster"

    with Subscriber(broker.port, "streamwatch/#") as subscriber:
        with Daemon(tmp_path, settings) as daemon:
            subscriber.wait_for(lambda _: subscriber.of(alerts), PATIENCE_SECONDS)
            wrong = subscriber.of(alerts)[0].json["id"]
            answer = teach(subscriber, {"id": wrong, "is": "wrong"})
            assert answer == {
                "id": wrong,
                "ok": True,
                "result": {"visit": wrong, "camera": "yard", "watch": "hamster", "is": "wrong"},
            }
            subscriber.wait_for(lambda _: len(subscriber.of(rejected)) >= 3, PATIENCE_SECONDS)
            for message in subscriber.of(rejected):
                assert message.json["taught_by"] == wrong
                assert message.json["second_look"]["decided"] == "rejected"

            near = "streamwatch/near/yard/sure-cat"
            subscriber.wait_for(lambda _: subscriber.of(near), PATIENCE_SECONDS)
            first = subscriber.of(near)[0]
            assert first.json["reason"].endswith("is below 0.999")
            assert Path(first.json["crop_path"]).stat().st_mode & 0o777 == 0o600

            refused = teach(subscriber, {"id": "01JNOBODY", "is": "wrong"})
            assert refused["ok"] is False
            assert "there is no alert 01JNOBODY" in refused["message"]
            again = teach(subscriber, {"camera": "yard", "watch": "cat", "is": "right", "id": 7})
            assert (again["id"], again["ok"]) == (7, True)

            shown = json.loads(streamwatch(daemon, "status", "--json").stdout)
            assert shown["watches"]["hamster"]["seen"]["yard"]["alerts"] >= 1
            listed = json.loads(streamwatch(daemon, "taught", "--json").stdout)
            assert [(each["watch"], each["is"]) for each in listed] == [
                ("hamster", "wrong"),
                ("cat", "right"),
            ]
            running = tuned(daemon)
            assert running["watches"]["hamster"]["cameras"]["yard"]["visits"]
            misses = running["watches"]["sure-cat"]["cameras"]["yard"]["near_misses"]
            assert misses[0]["reason"].endswith("is below 0.999")
            assert (Path(running["near_misses"]) / misses[0]["file"]).is_file()
            daemon.process.kill()
            daemon.wait()
            stopped = tuned(daemon)["watches"]["sure-cat"]["cameras"]["yard"]
            assert stopped["near_misses"]
            offline = streamwatch(daemon, "taught")
            assert wrong in offline.stdout

        before = len(subscriber.of(rejected))
        told = len(subscriber.of(alerts))
        with daemon:
            enough = before + 3
            subscriber.wait_for(lambda _: len(subscriber.of(rejected)) >= enough, PATIENCE_SECONDS)
            assert {m.json["type"] for m in subscriber.of(alerts)[told:]} <= {"end"}
            begun = [event["watch"] for event in events(subscriber) if event["type"] == "new"]
            assert "cat" in begun[-3:]

            done = streamwatch(daemon, "taught", "--forget", wrong)
            assert (done.returncode, done.stdout) == (0, f"Forgot what was said of {wrong}.\n")
            twice = streamwatch(daemon, "taught", "--forget", wrong)
            assert twice.returncode == 3
            assert twice.stderr == f"streamwatch: nothing was taught of {wrong}\n"
            told = len(subscriber.of(alerts))
            subscriber.wait_for(lambda _: len(subscriber.of(alerts)) > told, PATIENCE_SECONDS)
            assert daemon.terminate() == 0
        assert "Traceback" not in daemon.log
