"""A daemon whose detector is compiled while it runs: real video, toybox, a real broker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.parts.daemon import PATIENCE_SECONDS, Daemon, private_environment
from tests.parts.mosquitto import Mosquitto, StartMosquitto, Subscriber
from tests.parts.waiting import wait_until
from tests.test_end_to_end import PRESENT, config, events
from tests.truth import score, street

pytestmark = pytest.mark.slow(seconds=40)

INFO = "streamwatch/info"


@pytest.fixture
def broker(start_mosquitto: StartMosquitto) -> Mosquitto:
    return start_mosquitto()


def with_nothing_compiled(folder: Path) -> Path:
    """Give a daemon in `folder` an empty folder of graphs, in place of that of all tests."""
    compiled = folder / "compiled"
    compiled.mkdir(parents=True)
    place = folder / "xdg-cache" / "streamwatch" / "compiled"
    place.parent.mkdir(parents=True)
    place.symlink_to(compiled)
    return compiled


def backends(subscriber: Subscriber) -> list[str]:
    """What `P/info` said that the detector is run by, once it was loaded; each once in a row."""
    told = [message.json["backend"] for message in subscriber.of(INFO)]
    told = [each for each in told if each != "auto"]
    return [each for each, before in zip(told, [None, *told], strict=False) if each != before]


def problems(subscriber: Subscriber) -> list[str]:
    told = subscriber.of(INFO)
    return [each["message"] for each in told[-1].json["problems"]] if told else []


def test_the_detector_is_exchanged_and_finds_the_same(tmp_path: Path, broker: Mosquitto) -> None:
    compiled = with_nothing_compiled(tmp_path)
    cameras = {
        "street": {"url": "bundled:street", "pace": False},
        "idle": {"url": "bundled:street", "loop": True, "fps": 1},
    }
    settings = config(broker, cameras, *PRESENT)
    settings["watches"] |= {"never": {"prompt": "elephant", "cameras": ["idle"]}}

    def watched_on(camera: str) -> dict[str, Any]:
        place = {"cameras": [camera]}
        return {name: place | watch for name, watch in settings["watches"].items()}

    first = {**settings, "watches": watched_on("street")}
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, first) as daemon:
        daemon.wait_for_log("the detector is compiled and runs in ")
        daemon.wait_for_log("the file has ended")
        subscriber.wait_for(lambda _: backends(subscriber)[-1:] == ["openvino"], PATIENCE_SECONDS)
        by_both = events(subscriber)

        # Once more, now by the compiled one alone.
        cameras["again"] = cameras.pop("street")
        again = {**settings, "cameras": cameras, "watches": watched_on("again")}
        daemon.config.write_text(yaml.safe_dump(again))
        wait_until(lambda: daemon.log.count("the file has ended") == 2)
        assert daemon.terminate() == 0, daemon.log
        subscriber.wait_for_payload("streamwatch/status", b"offline")
        by_compiled = events(subscriber)[len(by_both) :]
    assert backends(subscriber) == ["torch", "openvino"]
    assert all(message.json["problems"] == [] for message in subscriber.of(INFO))
    assert "WARNING" not in daemon.log
    assert len(list(compiled.iterdir())) == 1
    for alerts in (by_both, by_compiled):
        result = score(street(), alerts)
        assert result.perfect, result


WITHOUT_OPENVINO = """
import sys
if "streamwatch.detector.compiled.child" in sys.orig_argv:
    sys.modules["openvino"] = None
"""
"""A `sitecustomize.py`, which every Python process runs first."""


def test_a_converter_that_can_not_work_is_told_until_torch_is_asked_for(
    tmp_path: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_nothing_compiled(tmp_path)
    before = tmp_path / "before"
    before.mkdir()
    (before / "sitecustomize.py").write_text(WITHOUT_OPENVINO)
    monkeypatch.setenv("PYTHONPATH", str(before), prepend=":")
    said = (
        "the detector is not compiled, torch goes on: it can't be converted (import of openvino "
        "halted; None in sys.modules)"
    )
    cameras = {"street": {"url": "bundled:street", "loop": True, "fps": 2}}
    settings = config(broker, cameras, "red car")
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
        subscriber.wait_for(lambda _: problems(subscriber), PATIENCE_SECONDS)
        assert problems(subscriber) == [said]
        assert backends(subscriber) == ["torch"]
        by_torch: dict[str, Any] = {**settings["detector"], "backend": "torch"}
        daemon.config.write_text(yaml.safe_dump({**settings, "detector": by_torch}))
        subscriber.wait_for(lambda _: not problems(subscriber), PATIENCE_SECONDS)
        assert daemon.terminate() == 0, daemon.log
        subscriber.wait_for_payload("streamwatch/status", b"offline")
    (report,) = [message.json for message in subscriber.of("streamwatch/errors")]
    assert (report["kind"], report["message"]) == ("detector", said)
    assert daemon.log.count("the detector is not compiled") == 1
    assert backends(subscriber) == ["torch"]


@pytest.mark.parametrize("command", ["check", "run"])
def test_openvino_on_a_gpu_is_one_located_error(tmp_path: Path, command: str) -> None:
    (tmp_path / "config.yaml").write_text(
        "mqtt: {embedded: true, port: 0}\n"
        "detector:\n"
        "  model: toybox\n"
        "  device: cuda\n"
        "  backend: openvino\n"
        "cameras: {street: {url: bundled:street}}\n"
        "watches: {car: {prompt: red car}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "streamwatch", command, "-c", "config.yaml"],
        cwd=tmp_path,
        env=private_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "config.yaml:5:12: detector.backend: openvino is for a CPU, and the detector runs on cuda; "
        "write auto or torch"
        if torch.cuda.is_available()
        else "config.yaml:4:11: detector.device: cuda is not on this machine, which has 0 CUDA "
        "devices; write auto or cpu"
    )
