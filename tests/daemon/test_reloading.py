"""Configuration changes while the daemon runs, by editing the file and by command."""

from __future__ import annotations

import base64
import copy
import gc
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from streamwatch.config import (
    Config,
    Edit,
    NearMissSettings,
    SavedFile,
    config_hash,
    keep_last_good,
    load,
)
from streamwatch.daemon.changing import differences
from streamwatch.daemon.commands.places import MOST_ENCODED, MOST_LOOKS_OF_ONE
from streamwatch.daemon.daemon import Daemon
from streamwatch.daemon.reloading import Followed, start
from streamwatch.detector.protocol import Running, View
from streamwatch.errors import ConfigError, DetectorError
from streamwatch.pictures.areas import ZONE_BGR
from streamwatch.pictures.drawing import PLATE_BGR
from streamwatch.pipeline import pipeline as pipeline_module
from streamwatch.pipeline.analysis import Answer
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.records import Detection, Vectors
from tests.parts import STREET_CLIP, TOYBOX
from tests.parts.daemon_here import running
from tests.parts.mosquitto import Mosquitto, StartMosquitto, Subscriber
from tests.parts.vectors import fake_vectors
from tests.parts.waiting import wait_until

pytestmark = pytest.mark.slow(seconds=130)

Tree = dict[str, Any]
STREET = {"url": str(STREET_CLIP), "loop": True, "fps": 15}


class EverythingIsThere:
    """Finds each prompt of each view, always in the same place; remembers what it was asked."""

    running = Running("cpu", "torch", "full")

    def __init__(self) -> None:
        self.searched: list[tuple[str, ...]] = []
        """The vocabulary of each view."""
        self.floors: list[float] = []
        """The least confidence of each view."""
        self.seconds = 0.0
        """How long a batch takes."""
        self.free = threading.Event()
        """Cleared to hold a batch, which then sets `held`."""
        self.free.set()
        self.held = threading.Event()

    def detect(self, views: Sequence[View]) -> list[tuple[Detection, ...]]:
        if not self.free.is_set():
            self.held.set()
            assert self.free.wait(30)
        time.sleep(self.seconds)
        self.searched += [view.vocabulary.prompts for view in views]
        self.floors += [view.floor for view in views]
        return [
            tuple(Detection(prompt, 0.9, (10, 10, 90, 90)) for prompt in view.vocabulary.prompts)
            for view in views
        ]


class Bench:
    """A configuration file for a daemon in a thread, and a subscriber to its topics."""

    def __init__(self, folder: Path, broker: Mosquitto, subscriber: Subscriber) -> None:
        self.path = folder / "config.yaml"
        self.prefix = folder.name
        self.subscriber = subscriber
        self.detectors: list[EverythingIsThere] = []
        self.tree: Tree = {
            "mqtt": {"host": broker.host, "port": broker.port, "topic_prefix": self.prefix},
            "detector": {"model": "toybox", "distractors": False},
            "cameras": {"left": dict(STREET), "right": dict(STREET)},
            "watches": {"car": {"prompt": "red car"}, "dog": {"prompt": "dog"}},
            "snapshots": {"path": str(folder / "snapshots")},
        }

    def make_detector(self, *_: object) -> EverythingIsThere:
        self.detectors.append(EverythingIsThere())
        return self.detectors[-1]

    def edited(self, change: Callable[[Tree], object]) -> str:
        self.tree = copy.deepcopy(self.tree)
        change(self.tree)
        return yaml.safe_dump(self.tree, sort_keys=False)

    def save(self, change: Callable[[Tree], object]) -> None:
        """Save as most editors do: a new file, renamed over the old one."""
        new = self.path.with_suffix(".new")
        new.write_text(self.edited(change))
        new.replace(self.path)

    def events(self, camera: str = "left", watch: str = "car") -> list[Any]:
        return [m.json for m in self.subscriber.of(f"{self.prefix}/events/{camera}/{watch}")]

    def event_types(self, camera: str = "left", watch: str = "car") -> list[str]:
        """The types of the events so far, with the reason in place of "end"."""
        return [event["reason"] or event["type"] if event["type"] == "end" else event["type"]
                for event in self.events(camera, watch)]  # fmt: skip

    def wait_for_events(self, *steps: str, camera: str = "left", watch: str = "car") -> None:
        wait_until(lambda: self.event_types(camera, watch)[: len(steps)] == list(steps))

    def info(self) -> Any:
        return self.subscriber.of(f"{self.prefix}/info")[-1].json

    def wait_for_info(self, **fields: Any) -> None:
        """Wait until `P/info` has these."""
        infos = self.subscriber.of
        wait_until(
            lambda: any(
                fields.items() <= message.json.items() for message in infos(f"{self.prefix}/info")
            )
        )

    def errors(self) -> list[Any]:
        return [m.json for m in self.subscriber.of(f"{self.prefix}/errors")]

    def wait_all_open(self) -> None:
        for camera in ("left", "right"):
            for watch in ("car", "dog"):
                self.wait_for_events("new", camera=camera, watch=watch)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mosquitto: Mosquitto) -> Iterator[Bench]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with Subscriber(mosquitto.port, f"{tmp_path.name}/#") as subscriber:
        bench = Bench(tmp_path, mosquitto, subscriber)
        monkeypatch.setattr(pipeline_module, "load_detector", bench.make_detector)
        fake_vectors(monkeypatch)
        bench.path.write_text(bench.edited(lambda _: None))
        yield bench


@pytest.fixture
def daemon(bench: Bench) -> Iterator[Daemon]:
    config, followed = start(bench.path, last_good=False)
    with running(Daemon(config, followed)) as daemon:
        yield daemon


def test_an_added_watch_starts_and_other_visits_go_on(bench: Bench, daemon: Daemon) -> None:
    bench.wait_all_open()
    hash_before = bench.info()["config_hash"]
    bench.save(lambda tree: tree["watches"].update(bag={"prompt": "red backpack"}))
    bench.wait_for_events("new", watch="bag")
    assert bench.event_types() == bench.event_types(watch="dog") == ["new"]
    info = bench.info()
    assert info["watches"]["bag"]["prompts"] == ["red backpack"]
    assert info["config_hash"] != hash_before
    # Both cameras use it from then on; there is never a vocabulary in between.
    assert set(bench.detectors[0].searched) == {
        ("red car", "dog"), ("red car", "dog", "red backpack"),
    }  # fmt: skip
    assert len(bench.detectors) == 1


def test_a_prompt_that_finds_nothing_is_told_when_it_is_saved_and_not_again(
    bench: Bench, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    bench.wait_all_open()
    bench.save(lambda tree: tree["watches"].update(bag={"prompt": "red bag, dog"}))
    bench.wait_for_events("new", watch="bag")
    bench.save(lambda tree: tree["watches"].update(cat={"prompt": "cat"}))
    bench.wait_for_events("new", watch="cat")
    said = [record.getMessage() for record in caplog.records if "watches." in record.getMessage()]
    assert said == [
        f"{bench.path}:23:13: watches.bag.prompt: 'red bag, dog' is looked for as one phrase, "
        "which commas, full stops and 'or' don't divide; if each by itself is meant, write prompt: "
        "[red bag, dog]"
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda tree: tree["watches"].pop("car"), "removed"),
        (lambda tree: tree["watches"]["car"].update(enabled=False), "disabled"),
        (lambda tree: tree["watches"]["car"].update(prompt="blue car"), "changed"),
        (lambda tree: tree["watches"]["car"].update(confidence=0.5), "changed"),
        (lambda tree: tree["watches"]["car"].update(cameras=["right"]), "changed"),
        (lambda tree: tree["cameras"]["left"].update(enabled=False), "disabled"),
        (lambda tree: tree["cameras"].pop("left"), "removed"),
        (lambda tree: tree["cameras"]["left"].update(loop=False), "changed"),
    ],
)
def test_visits_of_an_edited_watch_or_camera_end_with_the_reason(
    bench: Bench, daemon: Daemon, change: Callable[[Tree], object], reason: str
) -> None:
    bench.wait_all_open()
    bench.save(change)
    bench.wait_for_events("new", reason)
    wait_until(lambda: bench.subscriber.of(f"{bench.prefix}/state/left/car")[-1].payload != b"ON"
               or len(bench.event_types()) > 2)  # fmt: skip
    assert bench.event_types("right", "dog") == ["new"]


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree["watches"]["car"].update(name="A red car"),
        lambda tree: tree["cameras"]["left"].update(
            zones={"steps": [[0, 0], [1, 0], [1, 1], [0, 1]]}
        ),
        lambda tree: tree["cameras"]["left"].update(mask=[[[0, 0], [0.1, 0], [0, 0.1]]]),
        lambda tree: tree["cameras"]["left"].update(fps=7),
        lambda tree: tree["cameras"]["left"].update(crop=[0, 0, 1, 0.9]),
        lambda tree: tree["watches"].update(dog={"prompt": "cat"}),
    ],
)
def test_visits_an_edit_does_not_affect_go_on(
    bench: Bench, daemon: Daemon, change: Callable[[Tree], object]
) -> None:
    bench.wait_all_open()
    captures = {t.ident for t in threading.enumerate() if t.name.startswith("capture-")}
    before = len(bench.subscriber.of(f"{bench.prefix}/info"))
    bench.save(change)
    wait_until(lambda: len(bench.subscriber.of(f"{bench.prefix}/info")) > before)
    time.sleep(1)
    assert "end" not in {event["type"] for event in bench.events()}
    assert len({event["id"] for event in bench.events()}) == 1
    assert bench.event_types("right") == ["new"]
    after = {t.ident for t in threading.enumerate() if t.name.startswith("capture-")}
    assert after == captures


def test_only_a_camera_whose_stream_changes_reconnects(bench: Bench, daemon: Daemon) -> None:
    bench.wait_all_open()
    captures = {t.name: t.ident for t in threading.enumerate() if t.name.startswith("capture-")}
    bench.save(lambda tree: tree["cameras"]["left"].update(url="bundled:street"))
    bench.wait_for_events("new", "changed", "new")
    assert bench.event_types("right") == ["new"]
    after = {t.name: t.ident for t in threading.enumerate() if t.name.startswith("capture-")}
    assert after["capture-right"] == captures["capture-right"]
    assert after["capture-left"] != captures["capture-left"]


def test_an_added_camera_starts_and_other_visits_go_on(bench: Bench, daemon: Daemon) -> None:
    bench.wait_all_open()
    street = {"url": str(STREET_CLIP), "loop": True}
    bench.save(lambda tree: tree["cameras"].update(third=dict(street)))
    bench.wait_for_events("new", camera="third")
    bench.subscriber.wait_for_payload(f"{bench.prefix}/cameras/third/status", b"online")
    assert bench.event_types() == ["new"]


@pytest.mark.expects_errors
def test_a_file_that_was_replaced_where_it_is_mounted_from_is_told(
    bench: Bench,
    daemon: Daemon,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench.wait_all_open()
    found = SavedFile._stat
    with monkeypatch.context() as patched:
        patched.setattr(SavedFile, "_stat", lambda self: replace(found(self), names=0))  # type: ignore[type-var]
        wait_until(lambda: bench.info()["problems"])
        (problem,) = bench.info()["problems"]
        assert problem["kind"] == "config"
        assert problem["message"] == (
            f"{bench.path} was replaced outside, where it is mounted from, which can't be seen from"
            " here: start anew, and mount the folder that it is in rather than the file"
        )
        assert [error["message"] for error in bench.errors()] == [problem["message"]]
    wait_until(lambda: not bench.info()["problems"])
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == [problem["message"]]


@pytest.mark.expects_errors
def test_a_config_error_is_reported_in_log_errors_and_info_and_stops_nothing(
    bench: Bench, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    bench.wait_all_open()
    good = bench.info()["config_hash"]
    bench.save(lambda tree: tree["watches"].update(bag={"promt": "bag", "confidence": 7}))
    wait_until(lambda: bench.info()["problems"])
    (report,) = bench.errors()
    assert report["kind"] == "config"
    assert [(error["line"], error["path"]) for error in report["errors"]] == [
        (line, path)
        for line, path in ((22, "watches.bag.prompt"), (23, "watches.bag.promt"),
                           (24, "watches.bag.confidence"))
    ]  # fmt: skip
    assert report["errors"][1]["message"] == "unknown key; did you mean 'prompt'?"
    assert report["errors"][1]["column"] == 5
    info = bench.info()
    assert info["config_hash"] == good
    assert info["problems"] == [report]
    said = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert f"{bench.path}:23:5: watches.bag.promt: unknown key; did you mean 'prompt'?" in said
    goes_on = "the configuration is not taken over, what ran before goes on"
    assert said[-1] == goes_on
    assert report["message"].startswith(f"{goes_on}: {bench.path}:22:")
    assert report["message"].endswith(" (the first of 3 mistakes)")
    assert bench.event_types() == ["new"]

    bench.save(lambda tree: tree["watches"].update(bag={"prompt": "bag"}))
    bench.wait_for_events("new", watch="bag")
    wait_until(lambda: not bench.info()["problems"])
    assert bench.event_types() == ["new"]


@pytest.mark.expects_errors
@pytest.mark.parametrize("text", ["", "[1, 2", "watches:\n\t- x", "\x00", "cameras: *nobody"])
def test_broken_yaml_stops_nothing(bench: Bench, daemon: Daemon, text: str) -> None:
    bench.wait_for_events("new")
    bench.path.write_text(text)
    wait_until(lambda: bench.info()["problems"])
    bench.save(lambda tree: tree["watches"].update(bag={"prompt": "bag"}))
    bench.wait_for_events("new", watch="bag")
    wait_until(lambda: not bench.info()["problems"])


@pytest.mark.expects_errors
def test_a_pipe_in_place_of_the_file_stops_nothing(
    bench: Bench, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    bench.wait_for_events("new")
    bench.path.unlink()
    os.mkfifo(bench.path)
    wait_until(lambda: bench.info()["problems"])
    assert f"{bench.path}: this is a pipe, and only regular files are read" in caplog.text
    bench.path.unlink()
    bench.save(lambda tree: tree["watches"].update(bag={"prompt": "bag"}))
    bench.wait_for_events("new", watch="bag")
    wait_until(lambda: not bench.info()["problems"])
    assert bench.event_types() == ["new"]


def test_a_file_that_is_empty_for_a_moment_is_no_error(bench: Bench, daemon: Daemon) -> None:
    bench.wait_for_events("new")
    text = bench.edited(lambda tree: tree["watches"].update(bag={"prompt": "bag"}))
    bench.path.write_text("")
    time.sleep(0.5)
    bench.path.write_text(text)
    bench.wait_for_events("new", watch="bag")
    assert bench.errors() == []


def test_saving_in_place_by_rename_or_by_symlink_is_noticed(bench: Bench, daemon: Daemon) -> None:
    bench.wait_for_events("new")
    bench.path.write_text(bench.edited(lambda t: t["watches"].update(a={"prompt": "in place"})))
    bench.wait_for_events("new", watch="a")
    bench.save(lambda tree: tree["watches"].update(b={"prompt": "by renaming"}))
    bench.wait_for_events("new", watch="b")

    # As Kubernetes does: config.yaml → ..data/config.yaml, and ..data → a folder that changes.
    folder = bench.path.parent
    for name, prompt in (("c", "first volume"), ("d", "second volume")):
        volume = folder / f"..volume-{name}"
        volume.mkdir()
        added = {name: {"prompt": prompt}}
        (volume / "config.yaml").write_text(
            bench.edited(partial(lambda added, tree: tree["watches"].update(added), added))
        )
        (folder / "..data.new").symlink_to(volume.name)
        (folder / "..data.new").replace(folder / "..data")
        if not bench.path.is_symlink():
            bench.path.unlink()
            bench.path.symlink_to("..data/config.yaml")
        bench.wait_for_events("new", watch=name)
    assert bench.event_types() == ["new"]


def test_request_reload_reads_the_file_again(
    bench: Bench, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is the same, and only an environment variable has changed."""
    bench.wait_for_events("new", watch="dog")
    monkeypatch.setenv("ANIMAL", "dog")
    bench.save(lambda tree: tree["watches"]["dog"].update(prompt="${ANIMAL}"))
    bench.save(lambda tree: tree["watches"].update(cat={"prompt": "cat"}))
    bench.wait_for_events("new", watch="cat")
    monkeypatch.setenv("ANIMAL", "horse")
    time.sleep(0.5)
    assert bench.event_types(watch="dog") == ["new"]
    daemon.request_reload()
    bench.wait_for_events("new", "changed", "new", watch="dog")


def test_a_changed_detector_is_loaded_and_visits_go_on(bench: Bench, daemon: Daemon) -> None:
    bench.wait_all_open()
    bench.save(lambda tree: tree["detector"].update(image_size=320))
    wait_until(lambda: len(bench.detectors) == 2 and bench.detectors[1].searched)
    first = len(bench.detectors[0].searched)
    time.sleep(0.5)
    assert len(bench.detectors[0].searched) == first
    assert bench.event_types() == ["new"]


def test_another_models_threshold_and_floor_hold_at_once(bench: Bench, daemon: Daemon) -> None:
    """A watch with a confidence of its own goes on, with the model's floor; the others begin anew
    with the model's threshold."""
    bench.wait_all_open()
    bench.save(lambda tree: tree["watches"]["dog"].update(confidence=0.4))
    wait_until(lambda: confidences(bench) == {"car": 0.3, "dog": 0.4})
    bench.wait_for_events("new", "changed", "new", watch="dog")
    assert bench.detectors[0].floors[-1] == 0.1
    checkpoint = {"model": str(TOYBOX / "toybox-n-world.pt"), "text_encoder": "minilm"}
    bench.save(lambda tree: tree["detector"].update(checkpoint))
    wait_until(lambda: confidences(bench) == {"car": 0.1, "dog": 0.4})
    bench.wait_for_events("new", "changed", "new")
    assert bench.event_types(watch="dog") == ["new", "changed", "new"]
    assert set(bench.detectors[1].floors) == {0.02}
    bench.save(lambda tree: tree["detector"].update(confidence=0.3))
    wait_until(lambda: confidences(bench) == {"car": 0.3, "dog": 0.4})
    bench.wait_for_events("new", "changed", "new", "changed", "new")
    assert len(bench.detectors) == 2
    assert bench.detectors[1].floors[-1] == 0.02


def confidences(bench: Bench) -> dict[str, float]:
    """The threshold of each watch, as `P/info` tells it."""
    return {name: watch["confidence"] for name, watch in bench.info()["watches"].items()}


@pytest.mark.expects_errors
def test_a_detector_that_cannot_be_loaded_changes_nothing(
    bench: Bench, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.wait_for_events("new")

    def missing(*_: object) -> EverythingIsThere:
        raise DetectorError("the checkpoint is not here")

    monkeypatch.setattr(pipeline_module, "load_detector", missing)
    bench.save(lambda tree: tree["detector"].update(image_size=320))
    wait_until(lambda: bench.info()["problems"])
    assert "the checkpoint is not here" in bench.info()["problems"][0]["message"]
    bench.save(lambda tree: tree["detector"].pop("image_size"))
    wait_until(lambda: not bench.info()["problems"])
    assert bench.event_types() == ["new"]


def test_an_edit_saved_during_the_start_is_applied(bench: Bench) -> None:
    config, followed = start(bench.path, last_good=False)
    bench.save(lambda tree: tree["watches"].update(bag={"prompt": "bag"}))
    with running(Daemon(config, followed)):
        bench.wait_for_events("new", watch="bag")


@pytest.mark.expects_errors
def test_a_start_with_a_broken_file_runs_the_last_good_one_and_reports_it(bench: Bench) -> None:
    with running(Daemon(*start(bench.path, last_good=True))):
        bench.wait_for_events("new")
    bench.subscriber.clear()
    kept = list((bench.path.parent / "state").rglob("*.yaml"))
    assert [path.stat().st_mode & 0o777 for path in kept] == [0o600]

    bench.save(lambda tree: tree["watches"].update(bag={"promt": "bag"}))
    with pytest.raises(ConfigError, match="unknown key"):
        start(bench.path, last_good=False)
    with running(Daemon(*start(bench.path, last_good=True))):
        bench.wait_for_events("new")
        wait_until(lambda: bench.errors())
        assert [error["path"] for error in bench.errors()[0]["errors"]] == [
            "watches.bag.prompt", "watches.bag.promt",
        ]  # fmt: skip
        assert bench.info()["problems"]
        bench.save(lambda tree: tree["watches"].update(bag={"prompt": "bag"}))
        bench.wait_for_events("new", watch="bag")
        wait_until(lambda: not bench.info()["problems"])


def test_the_last_good_file_keeps_its_variables_unexpanded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", "s3cret")
    text = bench.edited(lambda t: t["mqtt"].update(username="me", password="${BROKER_PASSWORD}"))
    keep_last_good(bench.path, text)
    (kept,) = (bench.path.parent / "state").rglob("*.yaml")
    assert kept.read_text() == text
    bench.path.unlink()
    config, followed = start(bench.path, last_good=True)
    assert config.mqtt.password is not None
    assert config.mqtt.password.get_secret_value() == "s3cret"
    assert isinstance(followed, Followed)
    assert "does not exist" in str(followed.error)


@pytest.mark.expects_errors
@pytest.mark.parametrize("written", [True, False])
def test_an_edit_with_a_taken_port_is_refused_and_visits_go_on(
    bench: Bench, daemon: Daemon, written: bool
) -> None:
    """Whether the port is in the file or is the default."""
    bench.wait_all_open()
    with socket.socket() as other:
        with suppress(OSError):  # another process may have the default port, which is as good
            other.bind(("127.0.0.1", 0 if written else 8080))
            other.listen()
        port = other.getsockname()[1] or 8080
        bench.save(lambda tree: tree.update(http={"port": port} if written else {}))
        wait_until(bench.errors)
    (mistake,) = bench.errors()[-1]["errors"]
    assert mistake["path"] == "http.port"
    assert f"can't listen on 127.0.0.1:{port}" in mistake["message"]
    assert mistake["column"] == (9 if written else 1)
    assert bench.event_types() == ["new"]


def test_retained_topics_of_a_removed_camera_are_cleared(bench: Bench, daemon: Daemon) -> None:
    bench.wait_all_open()
    bench.subscriber.wait_for_payload(f"{bench.prefix}/cameras/left/status", b"online")
    bench.save(lambda tree: tree["cameras"].pop("left"))
    for topic in ("cameras/left/status", "state/left/car", "state/left/dog", "snapshot/left/car"):
        bench.subscriber.wait_for_payload(f"{bench.prefix}/{topic}", b"")
    time.sleep(1)
    assert not bench.subscriber.of(f"{bench.prefix}/cameras/left/status")[-1].payload


def test_a_new_topic_prefix_gets_retained_topics_and_open_visits(
    bench: Bench, daemon: Daemon, mosquitto: Mosquitto
) -> None:
    bench.wait_all_open()
    moved = f"{bench.prefix}-moved"
    with Subscriber(mosquitto.port, f"{moved}/#") as there:
        bench.save(lambda tree: tree["mqtt"].update(topic_prefix=moved))
        there.wait_for_payload(f"{moved}/status", b"online")
        there.wait_for_payload(f"{moved}/state/left/car", b"ON")
        there.wait_for_payload(f"{moved}/cameras/right/status", b"online")
        daemon.request_stop()
        there.wait_for_payload(f"{moved}/status", b"offline")
        (end,) = there.of(f"{moved}/events/left/car")
    (new,) = bench.events()
    assert (end.json["id"], end.json["type"], end.json["sequence"]) == (new["id"], "end", 1)
    goodbye = [m.payload for m in bench.subscriber.of(f"{bench.prefix}/status")][-2:]
    assert goodbye == [b"offline", b""]


def test_a_new_broker_gets_the_retained_topics(
    bench: Bench, daemon: Daemon, start_mosquitto: StartMosquitto
) -> None:
    bench.wait_all_open()
    other = start_mosquitto()
    with Subscriber(other.port, f"{bench.prefix}/#") as there:
        bench.save(lambda tree: tree["mqtt"].update(port=other.port))
        there.wait_for_payload(f"{bench.prefix}/state/left/car", b"ON")
        there.wait_for_payload(f"{bench.prefix}/status", b"online")
    bench.subscriber.wait_for_payload(f"{bench.prefix}/status", b"offline")


# --- commands -------------------------------------------------------------------------------------


class CommandClient:
    """Sends commands to the daemon and waits for the answers."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def __call__(self, verb: str, payload: Any) -> Any:
        topic = f"{self.bench.prefix}/result/{verb}"
        before = len(self.bench.subscriber.of(topic))
        self.send(verb, payload)
        wait_until(lambda: len(self.bench.subscriber.of(topic)) > before)
        return self.bench.subscriber.of(topic)[before].json

    def send(self, verb: str, payload: Any) -> None:
        text = payload if isinstance(payload, str) else json.dumps(payload)
        self.bench.subscriber.publish(f"{self.bench.prefix}/command/{verb}", text.encode())


@pytest.fixture
def client(bench: Bench) -> Iterator[CommandClient]:
    bench.path.write_text(bench.edited(lambda tree: tree["mqtt"].update(commands=True)))
    with running(Daemon(*start(bench.path, last_good=False))):
        bench.wait_all_open()
        yield CommandClient(bench)


def test_commands_take_effect_and_are_answered(bench: Bench, client: CommandClient) -> None:
    before = bench.path.read_text()
    answer = client("watch/add", {"id": 7, "name": "bag", "watch": {"prompt": "bag"}})
    assert (answer["id"], answer["ok"]) == (7, True)
    assert answer["result"]["changes"] == ["watch bag added"]
    bench.wait_for_events("new", watch="bag")
    assert bench.info()["config_hash"] == answer["result"]["config_hash"]
    assert client("watch/disable", "bag")["ok"]
    bench.wait_for_events("new", "disabled", watch="bag")
    assert client("watch/switch", {"name": "bag", "enabled": True})["ok"]
    bench.wait_for_events("new", "disabled", "new", watch="bag")
    assert client("watch/remove", "bag")["ok"]
    bench.wait_for_events("new", "disabled", "new", "removed", watch="bag")
    assert client("camera/disable", "right")["ok"]
    bench.subscriber.wait_for_payload(f"{bench.prefix}/cameras/right/status", b"disabled")
    assert bench.event_types() == ["new"]
    assert bench.path.read_text() == before


def test_a_wrong_command_changes_nothing_and_answers_why(
    bench: Bench, client: CommandClient
) -> None:
    answer = client("watch/set", {"id": "x", "name": "bag", "watch": {"promt": "bag"}})
    assert (answer["id"], answer["ok"]) == ("x", False)
    assert "watches.bag.promt: unknown key; did you mean 'prompt'?" in answer["message"]
    assert (
        "there is none of this name; did you mean 'dog'?"
        in (client("watch/disable", "dogg")["message"])
    )
    assert bench.errors() == []
    assert bench.event_types() == ["new"]


def test_a_command_with_persist_is_written_to_the_file(bench: Bench, client: CommandClient) -> None:
    bench.path.write_text(f"# mine\n{bench.path.read_text()}")
    before = bench.path.read_text()
    watch = {"prompt": "bag", "confidence": "auto"}
    command = {"name": "bag", "watch": watch, "persist": True}
    assert client("watch/add", command)["ok"]
    assert bench.path.read_text().startswith(before.partition("snapshots:")[0])
    written = load(bench.path).watches["bag"]
    assert (written.prompt, written.confidence) == (("bag",), "auto")
    bench.wait_for_events("new", watch="bag")


def test_what_changed_names_the_section(bench: Bench) -> None:
    before = load(bench.path)
    now = before.model_copy(update={"near_misses": NearMissSettings(a_day=0)})
    assert differences(before, now) == ("near_misses changed",)


def test_a_command_stays_in_effect_after_an_edit_of_the_file(
    bench: Bench, client: CommandClient
) -> None:
    assert client("camera/disable", "right")["ok"]
    bench.save(lambda tree: tree["watches"].update(bag={"prompt": "bag"}))
    bench.wait_for_events("new", watch="bag")
    assert bench.events("right", "bag") == []
    bench.save(lambda tree: tree["cameras"].pop("right"))
    wait_until(lambda: bench.info()["cameras"] == ["left"])


def test_the_reload_command_is_answered(bench: Bench, client: CommandClient) -> None:
    assert client("reload", "")["result"]["changes"] == []


def test_the_detect_and_snapshot_commands_answer_with_what_a_camera_shows(
    bench: Bench, client: CommandClient
) -> None:
    answer = client("detect", {"camera": "left", "prompts": ["a cat"]})
    assert answer["result"]["detections"] == [
        {"prompt": "a cat", "confidence": 0.9, "box": [10, 10, 90, 90]}
    ]
    assert answer["result"]["frame"] == [640, 360]
    mine = client("detect", {"camera": "left"})["result"]["detections"]
    assert [found["prompt"] for found in mine] == ["red car", "dog"]
    before = bench.info()["config_hash"]
    steps = [[0.5, 0.5], [0.9, 0.5], [0.9, 0.9], [0.5, 0.9]]
    bench.save(lambda tree: tree["cameras"]["left"].update(zones={"steps": steps}))
    wait_until(lambda: bench.info()["config_hash"] != before)
    shown = client("snapshot", {"camera": "left", "watch": "car"})["result"]
    jpeg = np.frombuffer(base64.b64decode(shown["jpeg"]), np.uint8)
    picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    assert picture is not None
    for x, y, colour in ((10, 50, PLATE_BGR), (320, 250, ZONE_BGR)):
        assert abs(picture[y, x].astype(int) - colour).max() < 60, (x, y)
    assert client("detect", {"camera": "front"})["message"] == "front is none of the cameras"


def test_commands_that_wait_for_frames_do_not_delay_an_edit(
    bench: Bench, client: CommandClient
) -> None:
    """Two commands are always in progress, and the detector is slow meanwhile."""
    for detector in bench.detectors:
        detector.seconds = 1.0
    over = threading.Event()

    def ask(number: int) -> None:
        while not over.is_set():
            client.send("detect", {"id": number, "camera": "left"})
            time.sleep(0.05)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(1)
        bench.save(lambda tree: tree["watches"].update(bag={"prompt": "bag"}))
        wait_until(lambda: "bag" in bench.info()["watches"])
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_only_so_many_commands_wait_for_a_frame_of_a_camera(
    bench: Bench, client: CommandClient
) -> None:
    (detector,) = bench.detectors
    detector.free.clear()
    assert detector.held.wait(15)
    for number in range(20):
        verb = ("detect", "snapshot")[number % 2]
        client.send(verb, {"id": number, "camera": "left"})

    def answers() -> list[Any]:
        topics = (f"{bench.prefix}/result/{verb}" for verb in ("detect", "snapshot"))
        return [message.json for topic in topics for message in bench.subscriber.of(topic)]

    wait_until(lambda: len(answers()) == 20 - MOST_LOOKS_OF_ONE)
    assert {answer.get("message") for answer in answers()} == {"busy, try later"}
    detector.free.set()
    wait_until(lambda: len(answers()) == 20)
    assert sorted(answer["id"] for answer in answers() if answer["ok"]) == [*range(8)]
    assert client("detect", {"camera": "left"})["ok"]


def test_an_answered_look_leaves_no_picture_in_memory(
    bench: Bench, client: CommandClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamwatch.daemon.commands.looking.FRAME_SECONDS", 3600)
    gc.collect()
    gc.disable()
    try:
        for verb in ("snapshot", "detect"):
            assert client(verb, {"camera": "left"})["ok"]
        wait_until(lambda: Answer not in map(type, gc.get_objects()))
    finally:
        gc.enable()


def test_edits_that_were_undone_do_not_pile_up(
    bench: Bench, client: CommandClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []

    def counting(path: Path, text: str, edits: Sequence[Edit] = (), **seen: Any) -> Config:
        held.append(len(edits))
        return load(path, text, edits, **seen)

    monkeypatch.setattr("streamwatch.daemon.reloading.load", counting)
    for number in range(5):
        added = {"name": f"w{number}", "watch": {"prompt": "dog"}}
        assert client("watch/add", added)["ok"]
        assert client("watch/disable", f"w{number}")["ok"]
        assert client("watch/remove", f"w{number}")["ok"]
    assert client("watch/remove", "dog")["ok"]
    assert client("watch/add", {"name": "dog", "watch": {"prompt": "dog"}})["ok"]
    assert client("watch/remove", "dog")["ok"]
    assert max(held) <= 3
    bench.save(lambda tree: tree["watches"].update(bag={"prompt": "bag"}))
    wait_until(lambda: [*bench.info()["watches"]] == ["car", "bag"])


def test_a_detect_command_without_a_frame_times_out(
    bench: Bench, client: CommandClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamwatch.daemon.commands.looking.FRAME_SECONDS", 0.3)
    for detector in bench.detectors:
        detector.seconds = 2.0
    time.sleep(0.1)
    answer = client("detect", {"camera": "left"})
    assert answer["message"] == "no frame came within 0 s"


# --- new prompts ----------------------------------------------------------------------------------


class SlowEncoder:
    """Knows the prompts of the bench; encodes others only once `released` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.known = {"red car", "dog"}
        self.released = threading.Event()
        self.error: DetectorError | None = None
        monkeypatch.setattr(Embeddings, "unknown", lambda _, prompts: self.unknown(prompts))
        monkeypatch.setattr(Embeddings, "vectors", lambda _, prompts: self.vectors(prompts))

    def unknown(self, prompts: Sequence[str]) -> tuple[str, ...]:
        return tuple(prompt for prompt in prompts if prompt not in self.known)

    def vectors(self, prompts: Sequence[str]) -> dict[str, Vectors]:
        if self.unknown(prompts):
            assert threading.current_thread().name == "prompts"
            assert self.released.wait(30)
            if self.error is not None:
                raise self.error
            self.known.update(prompts)
        return {prompt: np.zeros(512, np.float32) for prompt in prompts}


@pytest.fixture
def slow_encoder(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> SlowEncoder:
    return SlowEncoder(monkeypatch)


def test_only_watches_with_new_prompts_wait_for_the_encoder(
    bench: Bench, slow_encoder: SlowEncoder, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench.wait_all_open()

    def change(tree: Tree) -> None:
        tree["watches"]["bag"] = {"prompt": "a bag"}
        tree["watches"]["dog"] = {"prompt": "a poodle"}
        tree["watches"]["car"] = {"prompt": "red car", "confidence": 0.5}

    bench.save(change)
    bench.wait_for_events("new", "changed", "new")  # the car, whose prompt has a vector already
    assert "bag" not in bench.info()["watches"]
    assert bench.event_types(watch="dog") == ["new"]  # still the old prompt
    assert bench.errors() == []
    said = [r.getMessage() for r in caplog.records]
    assert (
        f"{bench.path}: watch bag added, watch dog changed: waiting for the text encoder to read "
        "'a bag' and 'a poodle'"
    ) in said
    slow_encoder.released.set()
    bench.wait_for_events("new", watch="bag")
    bench.wait_for_events("new", "changed", "new", watch="dog")


@pytest.mark.expects_errors
def test_errors_and_other_edits_do_not_wait_for_the_encoder(
    bench: Bench, slow_encoder: SlowEncoder, daemon: Daemon
) -> None:
    bench.wait_all_open()
    bench.save(lambda tree: tree["watches"].update(bag={"prompt": "a bag"}))
    bench.save(lambda tree: tree["watches"].update(cat={"promt": "a cat"}))
    wait_until(lambda: bench.info()["problems"])
    bench.save(lambda tree: tree["watches"].pop("cat"))
    bench.save(lambda tree: tree["watches"].pop("car"))
    bench.wait_for_events("new", "removed")
    assert "bag" not in bench.info()["watches"]
    slow_encoder.released.set()
    bench.wait_for_events("new", watch="bag")
    wait_until(lambda: not bench.info()["problems"])


@pytest.mark.expects_errors
def test_a_broken_file_stays_a_problem_when_an_older_edit_takes_effect(
    bench: Bench, slow_encoder: SlowEncoder, daemon: Daemon
) -> None:
    bench.wait_all_open()
    bench.save(lambda tree: tree["watches"].update(bag={"prompt": "a bag"}))
    time.sleep(0.5)  # so that it is read before the next is saved
    bench.save(lambda tree: tree["watches"].update(cat={"promt": "a cat"}))
    wait_until(lambda: bench.info()["problems"])
    slow_encoder.released.set()
    bench.wait_for_events("new", watch="bag")
    time.sleep(0.5)
    assert "unknown key" in bench.info()["problems"][0]["errors"][1]["message"]


@pytest.mark.expects_errors
def test_if_the_encoder_fails_the_old_prompt_stays(
    bench: Bench, slow_encoder: SlowEncoder, daemon: Daemon
) -> None:
    bench.wait_all_open()
    slow_encoder.error = DetectorError("the text encoder's process was killed")
    slow_encoder.released.set()
    bench.save(lambda tree: tree["watches"].update(dog={"prompt": "a poodle"}))
    wait_until(lambda: bench.info()["problems"])
    assert "the text encoder's process was killed" in bench.info()["problems"][0]["message"]
    assert bench.event_types(watch="dog") == ["new"]
    slow_encoder.error = None
    bench.save(lambda tree: tree["watches"].update(dog={"prompt": "a poodle", "name": "P"}))
    bench.wait_for_events("new", "changed", "new", watch="dog")
    wait_until(lambda: not bench.info()["problems"])


def test_a_changed_template_waits_until_every_prompt_is_encoded(
    bench: Bench, slow_encoder: SlowEncoder, daemon: Daemon
) -> None:
    bench.wait_all_open()
    slow_encoder.known.clear()

    def change(tree: Tree) -> None:
        tree["detector"]["template"] = "a photo of {}"
        tree["cameras"].pop("right")

    bench.save(change)
    wait_until(lambda: bench.info()["cameras"] == ["left"])
    slow_encoder.released.set()
    wait_until(lambda: slow_encoder.known == {"red car", "dog"})
    wait_until(lambda: bench.info()["config_hash"] == config_hash(load(bench.path)))
    time.sleep(0.5)
    assert bench.event_types() == ["new"]


def test_other_commands_are_answered_while_one_waits_for_the_encoder(
    bench: Bench, slow_encoder: SlowEncoder, client: CommandClient
) -> None:
    client.send("watch/add", {"id": "slow", "name": "bag", "watch": {"prompt": "a bag"}})
    client.send("detect", {"id": "slow too", "camera": "left", "prompts": ["a cat"]})
    assert client("watch/disable", "dog")["ok"]
    assert client("detect", {"camera": "left"})["ok"]
    assert not bench.subscriber.of(f"{bench.prefix}/result/watch/add")
    slow_encoder.released.set()
    bench.wait_for_events("new", watch="bag")
    (added,) = bench.subscriber.of(f"{bench.prefix}/result/watch/add")
    assert (added.json["id"], added.json["ok"]) == ("slow", True)
    wait_until(lambda: len(bench.subscriber.of(f"{bench.prefix}/result/detect")) == 2)
    late = bench.subscriber.of(f"{bench.prefix}/result/detect")[-1].json
    assert late["id"] == "slow too"
    assert [found["prompt"] for found in late["result"]["detections"]] == ["a cat"]
    assert "dog" not in bench.info()["watches"]


@pytest.mark.parametrize("persist", [True, False])
def test_an_answer_names_what_a_command_changed_though_the_file_was_read_meanwhile(
    bench: Bench, slow_encoder: SlowEncoder, client: CommandClient, persist: bool
) -> None:
    bag = {"prompt": "a bag"}
    client.send("watch/set", {"name": "bag", "watch": bag, "persist": persist})
    assert client("watch/disable", "dog")["ok"]
    slow_encoder.known.add("a bag")  # known before the command, which waits for it, is told
    bench.save(lambda tree: tree["watches"].update(bag=bag))
    bench.wait_for_events("new", watch="bag")
    slow_encoder.released.set()
    wait_until(lambda: bench.subscriber.of(f"{bench.prefix}/result/watch/set"))
    (answer,) = bench.subscriber.of(f"{bench.prefix}/result/watch/set")
    assert answer.json["result"]["changes"] == ["watch bag added"]


def test_a_reload_names_also_what_did_not_wait_for_the_encoder(
    bench: Bench,
    slow_encoder: SlowEncoder,
    client: CommandClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SavedFile, "saved", lambda *_: False)

    def change(tree: Tree) -> None:
        tree["watches"]["bag"] = {"prompt": "a bag"}
        tree["watches"]["car"] = {"prompt": "red car", "confidence": 0.5}

    bench.save(change)
    client.send("reload", "")
    bench.wait_for_events("new", "changed", "new")
    slow_encoder.released.set()
    wait_until(lambda: bench.subscriber.of(f"{bench.prefix}/result/reload"))
    (answer,) = bench.subscriber.of(f"{bench.prefix}/result/reload")
    assert answer.json["result"]["changes"] == ["watch bag added", "watch car changed"]


def test_a_change_passes_hundreds_of_commands_that_wait_for_the_encoder(
    bench: Bench, slow_encoder: SlowEncoder, client: CommandClient
) -> None:
    for number in range(300):
        looked_for = {"id": number, "camera": "left", "prompts": [f"cat {number}"]}
        client.send("detect", looked_for)
    while not (answer := client("watch/disable", "dog"))["ok"]:
        assert answer["message"] == "busy, try later"
    topic = f"{bench.prefix}/result/detect"
    assert not any(message.json["ok"] for message in bench.subscriber.of(topic))
    slow_encoder.released.set()
    wait_until(lambda: len(bench.subscriber.of(topic)) == 300)
    answers = [message.json for message in bench.subscriber.of(topic)]
    assert {answer.get("message") for answer in answers} == {None, "busy, try later"}
    assert client("detect", {"camera": "left", "prompts": ["a cat"]})["ok"]


def test_only_so_many_changes_wait_for_the_encoder(
    bench: Bench, slow_encoder: SlowEncoder, client: CommandClient
) -> None:
    topic = f"{bench.prefix}/result/watch/add"
    for number in range(MOST_ENCODED + 4):
        client.send(
            "watch/add", {"id": number, "name": f"w{number}", "watch": {"prompt": f"x{number}"}}
        )
    wait_until(lambda: len(bench.subscriber.of(topic)) == 4)
    assert {message.json["message"] for message in bench.subscriber.of(topic)} == {
        "busy, try later"
    }
    slow_encoder.released.set()
    wait_until(lambda: len(bench.subscriber.of(topic)) == MOST_ENCODED + 4)
    done = [message.json["id"] for message in bench.subscriber.of(topic) if message.json["ok"]]
    assert sorted(done) == [*range(MOST_ENCODED)]
    assert client("watch/disable", "dog")["ok"]


@pytest.mark.expects_errors
def test_reload_commands_tell_a_broken_file_once(bench: Bench, client: CommandClient) -> None:
    bench.save(lambda tree: tree["watches"].update(bag={"promt": "bag"}))
    wait_until(lambda: bench.info()["problems"])
    for _ in range(3):
        assert "unknown key; did you mean 'prompt'?" in client("reload", "")["message"]
    assert len(bench.errors()) == 1


@pytest.mark.expects_errors
def test_a_command_is_answered_only_when_its_own_prompts_are_encoded(
    bench: Bench, slow_encoder: SlowEncoder, client: CommandClient
) -> None:
    """Though the file waits for the same prompt already."""
    bench.save(lambda tree: tree["watches"].update(bag={"prompt": "a bag"}))
    time.sleep(0.5)
    client.send("watch/add", {"name": "sack", "watch": {"prompt": "a bag"}})
    assert client("watch/disable", "dog")["ok"]
    assert not bench.subscriber.of(f"{bench.prefix}/result/watch/add")
    slow_encoder.error = DetectorError("the text encoder's process was killed")
    slow_encoder.released.set()
    wait_until(lambda: bench.subscriber.of(f"{bench.prefix}/result/watch/add"))
    (answer,) = bench.subscriber.of(f"{bench.prefix}/result/watch/add")
    assert answer.json["message"] == "the text encoder's process was killed"


def test_without_a_camera_it_waits_for_one(bench: Bench, client: CommandClient) -> None:
    assert client("camera/disable", "left")["ok"]
    assert client("camera/disable", "right")["ok"]
    assert bench.event_types()[-1] == "disabled"
    bench.save(lambda tree: tree.update(cameras={}))
    bench.wait_for_info(cameras=[])
    bench.save(lambda tree: tree.update(cameras={"porch": STREET}))
    bench.wait_for_events("new", camera="porch")


def test_it_starts_without_a_camera(bench: Bench) -> None:
    bench.path.write_text(bench.edited(lambda tree: tree.update(cameras={})))
    with running(Daemon(*start(bench.path, last_good=False))):
        bench.wait_for_info(cameras=[])
        bench.save(lambda tree: tree.update(cameras={"porch": STREET}))
        bench.wait_for_events("new", camera="porch")
