"""The real daemon, and more commands than it can carry out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.parts import STREET_CLIP
from tests.parts.daemon import PATIENCE_SECONDS, Daemon
from tests.parts.mosquitto import StartMosquitto, Subscriber
from tests.parts.waiting import wait_until

pytestmark = pytest.mark.slow(seconds=20)

COMMANDS = 5_000
MOST_GROWTH_BYTES = 100_000_000


def most_resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("it has ended")


def test_a_saved_file_takes_effect_during_a_flood_of_commands(
    tmp_path: Path, start_mosquitto: StartMosquitto
) -> None:
    broker = start_mosquitto()
    config = {
        "mqtt": {"host": broker.host, "port": broker.port, "commands": True},
        "detector": {"model": "toybox"},
        "cameras": {"street": {"url": str(STREET_CLIP), "loop": True}},
        "watches": {"car": {"prompt": "red car"}},
    }
    stranger = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    stranger.connect(broker.host, broker.port)
    stranger.loop_start()
    with (
        Subscriber(broker.port, "streamwatch/info") as told,
        Subscriber(broker.port, "streamwatch/result/#") as answers,
        Daemon(tmp_path, config) as daemon,
    ):
        daemon.wait_for_log("first frame")
        told.wait_for(len, PATIENCE_SECONDS)
        pid = daemon.process.pid
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # VmHWM begins anew
        before = most_resident_bytes(pid)
        for number in range(COMMANDS):
            payload = json.dumps({"id": number, "name": "car"})
            stranger.publish("streamwatch/command/watch/enable", payload)
        tree = yaml.safe_load(daemon.config.read_text())
        tree["watches"]["too"] = {"prompt": "red car"}
        daemon.config.write_text(yaml.safe_dump(tree))
        told.wait_for(lambda infos: "too" in infos[-1].json["watches"], PATIENCE_SECONDS)

        def done() -> bool:
            answers.publish("streamwatch/command/watch/disable", '{"id": "last", "name": "car"}')
            told = [answer.json for answer in answers.received]
            return any(answer["id"] == "last" and answer["ok"] for answer in told)

        wait_until(done, PATIENCE_SECONDS)  # no place was lost
        assert most_resident_bytes(pid) - before < MOST_GROWTH_BYTES
        assert daemon.terminate() == 0
    stranger.disconnect()
    stranger.loop_stop()
    said = {answer.json["ok"] or answer.json["message"] for answer in answers.received}
    assert said == {True, "busy, try later"}
    assert len(daemon.log.splitlines()) < 100
