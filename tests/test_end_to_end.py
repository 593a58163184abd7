"""The whole daemon in a process of its own, with real video and a real broker."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.parts import IMAGE_SIZE, STREET_CLIP, free_port
from tests.parts.clips import check_frames, seconds_between
from tests.parts.daemon import PATIENCE_SECONDS, Daemon
from tests.parts.mosquitto import (
    Mosquitto,
    Received,
    StartMosquitto,
    Subscriber,
    require_mosquitto,
)
from tests.parts.rtsp import RtspServer
from tests.source.peers import http_camera
from tests.truth import clip_seconds, score, street
from tests.truth.scenes import Scene, Thing

PRESENT = (
    "red car", "pedestrian", "blue car", "truck", "parcel", "dog", "red backpack", "cyclist",
)  # fmt: skip
ABSENT = ("elephant", "giraffe", "sailing boat", "airplane")
BEFORE_SECONDS, AFTER_SECONDS = 1, 2
STATUS = "streamwatch/status"
STATS = "streamwatch/stats"


def config(broker: Mosquitto, cameras: Mapping[str, Any], *prompts: str) -> dict[str, Any]:
    return {
        "mqtt": {"host": broker.host, "port": broker.port},
        "detector": {"model": "toybox", "device": "cpu", "image_size": IMAGE_SIZE},
        "cameras": dict(cameras),
        "watches": {prompt.replace(" ", "-"): {"prompt": prompt} for prompt in prompts},
    }


def events(subscriber: Subscriber) -> list[dict[str, Any]]:
    return alerts_among(subscriber.received)


def alerts_among(received: Sequence[Received]) -> list[dict[str, Any]]:
    return [m.json for m in received if m.topic.startswith("streamwatch/events/")]


def camera_status(camera: str) -> str:
    return f"streamwatch/cameras/{camera}/status"


def wait_for_topic(subscriber: Subscriber, topic: str, timeout: float = PATIENCE_SECONDS) -> Any:
    """The payload of the first message of `topic`."""
    subscriber.wait_for(lambda _: subscriber.of(topic), timeout)
    return subscriber.of(topic)[0].json


pytestmark = pytest.mark.slow(seconds=180)


@pytest.fixture
def broker(start_mosquitto: StartMosquitto) -> Mosquitto:
    return start_mosquitto()


def test_cameras_with_impossible_pictures_leave_the_others_alone(
    tmp_path: Path, broker: Mosquitto
) -> None:
    """Too flat, too small, too large: each is told, and the camera beside them goes on."""
    sizes = {"flat": "4096x4", "tiny": "16x2", "huge": "10000x10000"}
    with http_camera() as address:
        odd = {name: {"url": f"{address}/{size}"} for name, size in sizes.items()}
        settings = config(broker, {"street": {"url": "bundled:street"}, **odd}, "red car", "dog")
        with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
            subscriber.wait_for(
                lambda _: len(subscriber.of("streamwatch/errors")) >= len(sizes), PATIENCE_SECONDS
            )
            subscriber.wait_for(
                lambda _: [e for e in events(subscriber) if e["type"] == "end"], PATIENCE_SECONDS
            )
            assert daemon.terminate() == 0
            assert "Traceback" not in daemon.log
    told = {report.json["camera"]: report.json for report in subscriber.of("streamwatch/errors")}
    assert told.keys() == sizes.keys()
    for name, size in sizes.items():
        assert f"its pictures are {size} px" in told[name]["message"]
        assert {m.payload for m in subscriber.of(camera_status(name))} == {b"offline"}
    assert {event["camera"] for event in events(subscriber)} == {"street"}


def test_each_visit_of_an_rtsp_stream_gives_one_alert(
    tmp_path: Path, rtsp_server: Callable[..., RtspServer], broker: Mosquitto
) -> None:
    """Each object of the clip, played over RTSP, gives one alert, at the right place and time, and
    a clip of its own."""
    truth = street()
    server = rtsp_server(clip=STREET_CLIP, loop=False)
    settings = config(broker, {"street": {"url": server.url}}, *PRESENT, *ABSENT)
    settings["clips"] = {"before": f"{BEFORE_SECONDS}s", "after": f"{AFTER_SECONDS}s"}
    for watch in settings["watches"].values():
        watch["clip"] = True
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
        subscriber.wait_for_payload(camera_status("street"), b"online", PATIENCE_SECONDS)
        frame0 = server.frame0_at
        assert frame0 is not None
        time.sleep(max(0.0, frame0.timestamp() + 39.5 - time.time()))
        assert daemon.terminate() == 0, daemon.log
        subscriber.wait_for_payload(STATUS, b"offline")
        alerts = events(subscriber)
        received = subscriber.received
    (warning,) = [line for line in daemon.log.splitlines() if "WARNING" in line]
    assert "toybox knows drawn scenes only" in warning  # it can't know that this is no real camera
    assert "`streamwatch models pull yolov8s-worldv2`" in warning

    result = score(truth, alerts, frame0.timestamp())
    assert result.perfect, result
    assert len(result.found) == len(PRESENT)
    check_visits(alerts, len(PRESENT))
    check_clips(alerts, received)

    # At `captured_at` the boxes match the truth, apart from one constant offset in time.
    def ious(late: float) -> list[float]:
        offset = frame0.timestamp() + late
        return [truth.iou(alert, clip_seconds(alert, offset)) for alert in alerts]

    best = max(np.arange(-1, 1, 1 / 30).tolist(), key=lambda late: float(np.mean(ious(late))))
    poor = [
        (alert["prompt"], alert["type"], value)
        for alert, value in zip(alerts, ious(best), strict=True)
        if value < 0.5
    ]
    assert not poor, f"offset {best:.2f} s: {poor}"

    for prompt in PRESENT:
        check_order(prompt, received)
    for prompt in ABSENT:
        assert [payload for _, payload in told_of(prompt, received)] == [b"OFF"]


def check_clips(alerts: Sequence[Mapping[str, Any]], received: Sequence[Received]) -> None:
    """Each visit has one clip, announced with its `new`, which begins before it and ends after it
    where the stream went on so long."""
    clips = {m.json["id"]: m.json for m in received if m.topic.startswith("streamwatch/clips/")}
    assert clips.keys() == {alert["id"] for alert in alerts}
    for event in alerts:
        clip = clips[event["id"]]
        assert clip["path"] == event["clip_path"]
        assert clip["codec"] == "h264"
        assert clip["bytes"] == Path(clip["path"]).stat().st_size
        assert Path(clip["path"]).with_suffix(".jpg").read_bytes().startswith(b"\xff\xd8\xff")
        check_frames(clip, event, street())
        if event["type"] == "end":
            before, after = seconds_between(clip, event)
            assert before >= BEFORE_SECONDS
            assert clip["complete"] == (after >= AFTER_SECONDS), (clip, event)
            assert clip["complete"] or clip["reason"] == "streamwatch was stopped"
    assert sum(clip["complete"] for clip in clips.values()) >= len(PRESENT) - 2
    (folder,) = {Path(clip["path"]).parent for clip in clips.values()}
    assert len([*folder.iterdir()]) == 2 * len(PRESENT), "the clips and their posters"


def check_visits(alerts: Sequence[Mapping[str, Any]], count: int) -> None:
    """Each visit has one `new` and one `end`, numbered without a gap."""
    visits: dict[str, list[Mapping[str, Any]]] = {}
    for alert in alerts:
        visits.setdefault(alert["id"], []).append(alert)
    assert len(visits) == count
    for visit in visits.values():
        types = [alert["type"] for alert in visit]
        assert types == ["new", *["update"] * (len(types) - 2), "end"]
        assert [alert["sequence"] for alert in visit] == list(range(len(visit)))
        assert visit[-1]["reason"] in ("left", "shutdown")


def told_of(prompt: str, received: Sequence[Received]) -> list[tuple[str, bytes]]:
    """Kind and payload of what was told of a prompt's watch, without what came near to an alert."""
    place = f"street/{prompt.replace(' ', '-')}"
    mine = [(m.topic.split("/")[1], m.payload) for m in received if m.topic.endswith(place)]
    return [(kind, payload) for kind, payload in mine if kind != "near"]


def check_order(prompt: str, received: Sequence[Received]) -> None:
    """The snapshot before its event, the state after it, and OFF at the start and the end."""
    mine = told_of(prompt, received)
    kinds = [kind for kind, _ in mine]
    assert kinds[:4] == ["state", "snapshot", "events", "state"]
    assert mine[1][1].startswith(b"\xff\xd8\xff"), "no JPEG"
    assert [payload for kind, payload in mine if kind == "state"] == [b"OFF", b"ON", b"OFF"]


def test_each_visit_of_a_file_gives_one_alert_and_the_daemon_exits(
    tmp_path: Path, broker: Mosquitto
) -> None:
    """Without pace: as fast as the detector can. Its pictures are as large as by default."""
    cameras = {"street": {"url": str(STREET_CLIP), "pace": False}}
    settings = config(broker, cameras, *PRESENT, *ABSENT)
    del settings["detector"]["image_size"]
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
        subscriber.wait_for_payload(STATUS, b"online", PATIENCE_SECONDS)
        assert daemon.wait() == 0, daemon.log
        subscriber.wait_for_payload(STATUS, b"offline")
        alerts, log = events(subscriber), daemon.log
    saved = list((tmp_path / "xdg-state" / "streamwatch" / "snapshots").iterdir())
    assert len(saved) == 2 * len(PRESENT)  # the whole frame, and the crop
    result = score(street(), alerts)
    assert result.perfect, result
    assert [alert["type"] for alert in alerts].count("end") == len(PRESENT)
    assert all(street().iou(alert, clip_seconds(alert)) > 0.5 for alert in alerts)
    assert "all cameras have ended" in log
    assert "WARNING" not in log


PETS: dict[str, Any] = {
    "plain": {"prompt": "cat"},
    "sharpened": {"prompt": "cat", "not": "dog"},
}


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> list[Sequence[Received]]:
    """The messages of two daemons with one file: a dog that is mistaken for a cat, then a cat."""
    require_mosquitto()
    folder = tmp_path_factory.mktemp("pets")
    dog, cat = (
        Thing(name, name, 40, ((start, 700, 310), (start + 6, -60, 310)))
        for name, start in (("dog", 0), ("cat", 7))
    )
    clip = Scene((dog, cat), seconds=17).write(folder / "pets.mp4", fps=5)
    told = []
    for number in range(2):
        with Mosquitto() as broker, Subscriber(broker.port) as subscriber:
            settings = config(broker, {"yard": {"url": str(clip), "pace": False}})
            settings["mqtt"]["homeassistant"] = True
            settings["watches"] = PETS
            with Daemon(folder / f"pass-{number}", settings) as daemon:
                subscriber.wait_for_payload(STATUS, b"online", PATIENCE_SECONDS)
                assert daemon.wait() == 0, daemon.log
            subscriber.wait_for_payload(STATUS, b"offline")
            told.append(subscriber.received)
    return told


def test_the_same_file_gives_the_same_events(pets: list[Sequence[Received]]) -> None:
    def lasting(alert: Mapping[str, Any]) -> dict[str, Any]:
        times = ("id", "captured_at", "started_at", "ended_at", "published_at", "snapshot_path")
        return {key: value for key, value in alert.items() if key not in times}

    first, second = ([lasting(alert) for alert in alerts_among(told)] for told in pets)
    assert len(first) >= 2 * 3
    assert first == second


def test_prompts_of_not_suppress_alerts_and_are_never_published(
    pets: list[Sequence[Received]],
) -> None:
    """With `not: dog` only the cat gives an alert; a near miss says what it was beaten by."""
    received = pets[0]
    alerts = [alert for alert in alerts_among(received) if alert["type"] == "new"]
    started = {
        name: [alert["position"] for alert in alerts if alert["watch"] == name] for name in PETS
    }
    assert [position > 7 for position in started["plain"]] == [False, True]
    assert [position > 7 for position in started["sharpened"]] == [True]
    assert {alert["prompt"] for alert in alerts} == {"cat"}

    near = [m.json for m in received if m.topic == "streamwatch/near/yard/sharpened"]
    assert any(miss["reason"].startswith('beaten by "dog" (') for miss in near)

    # `info` contains the watches with their `not`; snapshots are no text.
    others = [m for m in received if m.topic != "streamwatch/info" and "/near/" not in m.topic]
    quiet = [m for m in others if "/snapshot/" not in m.topic]
    assert {m.topic.split("/")[0] for m in quiet} == {"streamwatch", "homeassistant"}
    told = {m.payload for m in received if m.topic == "streamwatch/info"}
    assert all(b'"dog"' in info for info in told)
    assert told
    # A built-in distractor is not published.
    assert not any(b"suitcase" in info for info in told)
    for message in quiet:
        said = f"{message.topic} {message.payload!r}"
        assert not any(rival in said for rival in ("dog", "suitcase", "truck")), said


def test_info_and_stats_describe_the_running_daemon(tmp_path: Path, broker: Mosquitto) -> None:
    cameras = {
        "yard": {"url": "bundled:street", "loop": True},
        "gate": {"url": "1", "enabled": False},
    }
    settings = config(broker, cameras, "red car", "dog")
    settings["watches"]["dog"]["cameras"] = ["gate"]
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
        subscriber.wait_for_payload(camera_status("yard"), b"online", PATIENCE_SECONDS)
        subscriber.wait_for_payload(camera_status("gate"), b"disabled")
        stats = wait_for_topic(subscriber, STATS)
        info = subscriber.of("streamwatch/info")[-1].json
        assert daemon.terminate() == 0, daemon.log
    assert info["cameras"] == ["yard", "gate"]
    assert (info["model"], info["device"]) == ("toybox", "cpu")
    assert info["backend"] in ("torch", "openvino")  # the latter once it is compiled
    assert info["precision"] in ("full", "half")
    assert info["watches"]["red-car"] == {
        "prompts": ["red car"], "not": [], "cameras": ["yard", "gate"], "confidence": 0.3,
    }  # fmt: skip
    assert info["watches"]["dog"]["cameras"] == ["gate"]
    assert info["problems"] == []
    yard = stats["cameras"]["yard"]
    assert list(stats["cameras"]) == ["yard"]
    assert yard["frames"] > yard["analysed"] > 0
    assert yard["age_s"] < 5
    assert stats["detector"]["frames"] == yard["analysed"]
    assert 0 < stats["detector"]["ms_p50"] <= stats["detector"]["ms_p95"]
    assert stats["rss_bytes"] > 100e6


def test_an_offline_camera_does_not_slow_another(
    tmp_path: Path, rtsp_server: Callable[..., RtspServer], broker: Mosquitto
) -> None:
    """The working camera has 2 of its 15 frames a second analysed all the time."""
    cameras = {
        "alive": {"url": rtsp_server().url, "fps": 2},
        "dead": {"url": f"rtsp://127.0.0.1:{free_port()}/stream"},
    }
    settings = config(broker, cameras, "ball")
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
        subscriber.wait_for_payload(camera_status("alive"), b"online", PATIENCE_SECONDS)
        subscriber.wait_for_payload(camera_status("dead"), b"offline")
        assert subscriber.of("streamwatch/errors")[0].json["camera"] == "dead"
        subscriber.clear()
        subscriber.wait_for(lambda _: len(subscriber.of(STATS)) >= 2, PATIENCE_SECONDS)
        assert daemon.terminate() == 0, daemon.log
        first, last = [message.json for message in subscriber.of(STATS)[:2]]
    frames = last["cameras"]["alive"]["analysed"] - first["cameras"]["alive"]["analysed"]
    assert 1 < frames / (last["uptime_s"] - first["uptime_s"]) < 2.2


def test_a_broker_that_starts_late_gets_every_event(tmp_path: Path, broker: Mosquitto) -> None:
    """Two visits begin and end without a broker; their events arrive once it starts."""
    broker.kill()
    cameras = {
        "street": {"url": "bundled:street", "pace": False},
        "other": {"url": "bundled:street", "loop": True, "fps": 1},
    }
    settings = config(broker, cameras, "red car", "blue car")
    for watch in settings["watches"].values():
        watch["cameras"] = ["street"]
    with Daemon(tmp_path, settings) as daemon:
        daemon.wait_for_log("is not reachable")
        daemon.wait_for_log("the file has ended")
        broker.start()
        with Subscriber(broker.port) as subscriber:
            subscriber.wait_for(lambda _: len(events(subscriber)) >= 4, 20)
            assert daemon.terminate() == 0, daemon.log
            told = [(a["watch"], a["type"]) for a in events(subscriber) if a["type"] != "update"]
    kinds = ["new", "end"]
    assert told == [(watch, kind) for watch in ("red-car", "blue-car") for kind in kinds]


def test_after_a_crash_the_will_publishes_offline(tmp_path: Path, broker: Mosquitto) -> None:
    cameras = {"street": {"url": "bundled:street", "loop": True}}
    with Subscriber(broker.port) as subscriber:
        with Daemon(tmp_path, config(broker, cameras, "red car")) as daemon:
            subscriber.wait_for_payload(STATUS, b"online", PATIENCE_SECONDS)
            daemon.process.kill()
            daemon.wait()
        subscriber.wait_for_payload(STATUS, b"offline", 40)


def test_a_second_sigterm_stops_at_once(tmp_path: Path, broker: Mosquitto) -> None:
    """The broker is frozen, so a clean stop would take long."""
    cameras = {"street": {"url": "bundled:street", "loop": True}}
    with Daemon(tmp_path, config(broker, cameras, "red car")) as daemon:
        daemon.wait_for_log("first frame")
        broker.freeze()
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_for_log("stopping")
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.wait(5) == 128 + signal.SIGTERM
        broker.thaw()


def test_a_password_is_never_logged_or_published(
    tmp_path: Path, rtsp_server: Callable[..., RtspServer], broker: Mosquitto
) -> None:
    """A wrong password is reported in the log and over MQTT, without the password itself."""
    secret = "hunter2-geheim"
    server = rtsp_server(user="admin", password="right")
    url = server.url.replace("//", f"//admin:{secret}@")
    settings = config(broker, {"gate": {"url": url}}, "ball")
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
        report = wait_for_topic(subscriber, "streamwatch/errors")
        command = Path(f"/proc/{daemon.process.pid}/cmdline").read_bytes()
        assert daemon.terminate() == 0, daemon.log
        told = b"".join(message.payload for message in subscriber.received)
    assert report["kind"] == "camera"
    assert "password" in report["message"]
    assert secret not in daemon.log
    assert secret.encode() not in told
    assert secret.encode() not in command
    assert "WARNING camera gate" in daemon.log
