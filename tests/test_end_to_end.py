"""The whole daemon in a process of its own, on real video, against a real broker."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.parts import STREET_CLIP, free_port
from tests.parts.daemon import Daemon
from tests.parts.mosquitto import Message, Mosquitto, Subscriber
from tests.parts.rtsp import RtspServer
from tests.truth import clip_seconds, score, street

PRESENT = (
    "red car", "pedestrian", "blue car", "truck", "parcel", "dog", "red backpack", "cyclist",
)  # fmt: skip
ABSENT = ("elephant", "giraffe", "sailing boat", "airplane")


def config(broker: Mosquitto, cameras: Mapping[str, Any], *prompts: str) -> dict[str, Any]:
    return {
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
        "detector": {"model": "toybox", "device": "cpu"},
        "cameras": dict(cameras),
        "watches": {prompt.replace(" ", "-"): {"prompt": prompt} for prompt in prompts},
    }


def events(subscriber: Subscriber) -> list[dict[str, Any]]:
    return [
        json.loads(message.payload)
        for message in subscriber.messages
        if message.topic.startswith("streamwatch/events/")
    ]


def is_status(text: bytes, topic: str = "streamwatch/status") -> Callable[[Message], bool]:
    return lambda message: message.topic == topic and message.payload == text


def test_a_real_stream_tells_every_visit_once(
    tmp_path: Path, rtsp_server: Callable[..., RtspServer], mosquitto: Mosquitto
) -> None:
    """Each thing of the clip, played over RTSP, is alerted once, where it is, when it is there."""
    truth = street()
    server = rtsp_server(clip=STREET_CLIP, loop=False)
    settings = config(mosquitto, {"street": {"url": server.url}}, *PRESENT, *ABSENT)
    with Subscriber(mosquitto) as subscriber, Daemon(tmp_path, settings) as daemon:
        subscriber.wait_for(is_status(b"online", "streamwatch/cameras/street/status"), 60)
        frame0 = server.frame0_at
        assert frame0 is not None
        time.sleep(max(0.0, frame0.timestamp() + 39.5 - time.time()))
        assert daemon.terminate() == 0, daemon.log
        subscriber.wait_for(is_status(b"offline"), 10)

        alerts = events(subscriber)
        result = score(truth, alerts, frame0.timestamp())
        assert result.perfect, result
        assert len(result.found) == len(PRESENT)

        # One `new`, one `end`, numbered without a gap.
        visits: dict[str, list[dict[str, Any]]] = {}
        for alert in alerts:
            visits.setdefault(alert["id"], []).append(alert)
        assert len(visits) == len(PRESENT)
        for visit in visits.values():
            assert visit[0]["type"] == "new"
            assert [alert["type"] for alert in visit].count("end") == 1
            assert visit[-1]["type"] == "end"
            assert [alert["sequence"] for alert in visit] == list(range(len(visit)))
            assert visit[-1]["reason"] in ("left", "shutdown")

        # The boxes lie where the truth has them at `captured_at`, but for one constant offset.
        def ious(late: float) -> list[float]:
            offset = frame0.timestamp() + late
            return [truth.iou(alert, clip_seconds(alert, offset)) for alert in alerts]

        best = max(np.arange(-1, 1, 1 / 30), key=lambda late: float(np.mean(ious(late))))
        poor = [
            (alert["prompt"], alert["type"], value)
            for alert, value in zip(alerts, ious(best), strict=True)
            if value < 0.5
        ]
        assert not poor, f"offset {best:.2f} s: {poor}"

        # Each alert had its picture first and its state after it.
        for prompt in PRESENT:
            place = f"street/{prompt.replace(' ', '-')}"
            told = [
                (message.topic.split("/")[1], bytes(message.payload[:3]))
                for message in subscriber.messages
                if message.topic.endswith(place)
            ]
            kinds = [kind for kind, _ in told]
            assert told[0] == ("state", b"OFF")
            assert kinds[1:4] == ["snapshot", "events", "state"]
            assert told[1][1] == b"\xff\xd8\xff"
            assert told[3] == ("state", b"ON")
            assert told[-1] == ("state", b"OFF")
            assert kinds.count("state") == 3
        for prompt in ABSENT:
            place = f"street/{prompt.replace(' ', '-')}"
            told = [m.payload for m in subscriber.messages if m.topic.endswith(place)]
            assert told == [b"OFF"]
    assert "WARNING" not in daemon.log, daemon.log


@pytest.fixture(scope="module")
def two_passes(
    tmp_path_factory: pytest.TempPathFactory, mosquitto: Mosquitto
) -> list[tuple[list[dict[str, Any]], str]]:
    """The events and the log of two runs over the same file, as fast as the detector goes."""
    passes = []
    cameras = {"street": {"url": str(STREET_CLIP), "pace": False}}
    for number in range(2):
        folder = tmp_path_factory.mktemp(f"pass-{number}")
        settings = config(mosquitto, cameras, *PRESENT, *ABSENT)
        with Subscriber(mosquitto) as subscriber, Daemon(folder, settings) as daemon:
            assert daemon.wait(100) == 0, daemon.log
            subscriber.wait_for(is_status(b"offline"), 10)
            passes.append((events(subscriber), daemon.log))
        saved = list((folder / "xdg-state" / "streamwatch" / "snapshots").iterdir())
        assert len(saved) == len(PRESENT)
    return passes


def test_a_file_ends_the_daemon_and_tells_every_visit(
    two_passes: list[tuple[list[dict[str, Any]], str]],
) -> None:
    alerts, log = two_passes[0]
    result = score(street(), alerts)
    assert result.perfect, result
    assert [alert["type"] for alert in alerts].count("end") == len(PRESENT)
    assert all(street().iou(alert, clip_seconds(alert)) > 0.5 for alert in alerts)
    assert "all cameras have ended" in log
    assert "WARNING" not in log


def test_the_same_file_gives_the_same_events(
    two_passes: list[tuple[list[dict[str, Any]], str]],
) -> None:
    def lasting(alert: Mapping[str, Any]) -> dict[str, Any]:
        times = ("id", "captured_at", "started_at", "ended_at", "published_at")
        return {key: value for key, value in alert.items() if key not in times}

    first, second = ([lasting(alert) for alert in alerts] for alerts, _ in two_passes)
    assert first == second


def test_info_and_stats_tell_what_runs(tmp_path: Path, mosquitto: Mosquitto) -> None:
    cameras = {"yard": {"url": "bundled:street", "loop": True}, "gate": {"url": "1", "enabled": False}}
    settings = config(mosquitto, cameras, "red car", "dog")
    settings["watches"]["dog"]["cameras"] = ["gate"]
    with Subscriber(mosquitto) as subscriber, Daemon(tmp_path, settings) as daemon:
        subscriber.wait_for(is_status(b"online", "streamwatch/cameras/yard/status"), 60)
        info = json.loads(subscriber.wait_for(lambda m: m.topic == "streamwatch/info", 10).payload)
        assert info["cameras"] == ["yard", "gate"]
        assert info["model"] == "toybox"
        assert (info["backend"], info["device"]) == ("torch", "cpu")
        assert info["watches"]["red-car"] == {
            "prompts": ["red car"], "not": [], "cameras": ["yard", "gate"], "confidence": 0.3,
        }  # fmt: skip
        assert info["watches"]["dog"]["cameras"] == ["gate"]
        assert info["problems"] == []
        subscriber.wait_for(is_status(b"disabled", "streamwatch/cameras/gate/status"), 10)
        first = json.loads(
            subscriber.wait_for(lambda m: m.topic == "streamwatch/stats", 30).payload
        )
        yard = first["cameras"]["yard"]
        assert list(first["cameras"]) == ["yard"]
        assert yard["frames"] > yard["analysed"] > 0
        assert yard["age_s"] < 5
        assert first["detector"]["frames"] == yard["analysed"]
        assert 0 < first["detector"]["ms_p50"] <= first["detector"]["ms_p95"]
        assert first["rss_bytes"] > 100e6
        assert daemon.terminate() == 0, daemon.log


def analysed(subscriber: Subscriber, camera: str) -> tuple[float, int]:
    """(uptime, frames analysed) of the next statistics."""
    seen = len(subscriber.messages)
    message = subscriber.wait_for(
        lambda m: m.topic == "streamwatch/stats" and m in subscriber.messages[seen:], 30
    )
    stats = json.loads(message.payload)
    return stats["uptime_s"], stats["cameras"][camera]["analysed"]


@pytest.mark.parametrize("beside", ["alone", "beside a dead camera"])
def test_a_dead_camera_does_not_slow_another(
    beside: str, tmp_path: Path, rtsp_server: Callable[..., RtspServer], mosquitto: Mosquitto
) -> None:
    """15 → 2 frames a second averages 2.0, alone and with a dead camera beside it."""
    server = rtsp_server()
    cameras: dict[str, Any] = {"alive": {"url": server.url, "fps": 2}}
    if beside != "alone":
        cameras["dead"] = {"url": f"rtsp://127.0.0.1:{free_port()}/stream"}
    with (
        Subscriber(mosquitto) as subscriber,
        Daemon(tmp_path, config(mosquitto, cameras, "ball")) as daemon,
    ):
        subscriber.wait_for(is_status(b"online", "streamwatch/cameras/alive/status"), 60)
        start, before = analysed(subscriber, "alive")
        end, after = analysed(subscriber, "alive")
        assert (after - before) / (end - start) == pytest.approx(2.0, abs=0.15)
        if beside != "alone":
            assert any(
                is_status(b"offline", "streamwatch/cameras/dead/status")(m)
                for m in subscriber.messages
            )
            assert any(m.topic == "streamwatch/errors" for m in subscriber.messages)
        assert daemon.terminate() == 0, daemon.log


def test_a_broker_that_comes_late_gets_everything(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """The whole clip runs with no broker there; its alerts arrive once there is one."""
    late = Mosquitto(tmp_path / "late")
    cameras = {"street": {"url": "bundled:street", "pace": False, "loop": True}}
    with Daemon(tmp_path, config(late, cameras, "red car", "dog")) as daemon:
        daemon.wait_for_log("is not reachable")
        time.sleep(8)
        with late, Subscriber(late) as subscriber:
            subscriber.wait_for(lambda m: m.topic == "streamwatch/events/street/dog", 30)
            alerts = events(subscriber)
            assert [(a["watch"], a["type"]) for a in alerts if a["type"] != "update"][:2] == [
                ("red-car", "new"),
                ("red-car", "end"),
            ]
            assert daemon.terminate() == 0, daemon.log


def test_a_crash_leaves_the_will(tmp_path: Path, mosquitto: Mosquitto) -> None:
    cameras = {"street": {"url": "bundled:street", "loop": True}}
    with Subscriber(mosquitto) as subscriber:
        with Daemon(tmp_path, config(mosquitto, cameras, "red car")) as daemon:
            subscriber.wait_for(is_status(b"online"), 60)
            daemon.process.kill()
            daemon.wait()
        subscriber.wait_for(is_status(b"offline"), 40)


def test_a_second_signal_stops_at_once(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The broker is frozen, so a clean stop would take its time."""
    cameras = {"street": {"url": "bundled:street", "loop": True}}
    with (
        Mosquitto(tmp_path / "frozen") as broker,
        Daemon(tmp_path, config(broker, cameras, "red car")) as daemon,
    ):
        daemon.wait_for_log("first frame")
        broker.freeze()
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_for_log("stopping")
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.wait(3) == 128 + signal.SIGTERM
        broker.thaw()


def test_no_secret_is_ever_told(
    tmp_path: Path, rtsp_server: Callable[..., RtspServer], mosquitto: Mosquitto
) -> None:
    """A wrong password is refused: said in the log and over MQTT, without the password."""
    secret = "hunter2-geheim"
    server = rtsp_server(user="admin", password="right")
    url = server.url.replace("//", f"//admin:{secret}@")
    settings = config(mosquitto, {"gate": {"url": url}}, "ball")
    with Subscriber(mosquitto) as subscriber, Daemon(tmp_path, settings) as daemon:
        report = subscriber.wait_for(lambda m: m.topic == "streamwatch/errors", 60)
        command = Path(f"/proc/{daemon.process.pid}/cmdline").read_bytes()
        assert daemon.terminate() == 0, daemon.log
        told = b"".join(message.payload for message in subscriber.messages)
    assert json.loads(report.payload)["kind"] == "camera"
    assert "user name or password" in json.loads(report.payload)["message"]
    assert secret not in daemon.log
    assert secret.encode() not in told
    assert secret.encode() not in command
    assert "WARNING" in daemon.log

