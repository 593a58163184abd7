"""A fleet on a real Ray cluster of two nodes: workers and nodes are killed, frozen and added.

The cameras are one RTSP stream, so that a camera that moves goes on seeing the same. The tests
follow on each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.parts.fleet import PATIENCE_SECONDS, Scene

pytestmark = pytest.mark.slow(seconds=150)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Scene(tmp_path_factory.mktemp("fleet"), ("porch", "yard")) as scene:
        yield scene


def test_two_workers_share_the_cameras(scene: Scene) -> None:
    scene.wait_until_spread("one", "two")
    scene.wait_for_alerts()
    assert scene.faults() == []


def test_commands_are_carried_out_by_the_worker_of_the_camera(scene: Scene) -> None:
    scene.wait_until_spread("one", "two")
    for camera in scene.cameras:
        answer = scene.command("snapshot", {"id": camera, "camera": camera})
        assert answer["ok"], answer
        assert answer["result"]["camera"] == camera
        assert answer["result"]["jpeg"]
    answer = scene.command("detect", {"id": "d", "camera": "garage"})
    assert (answer["ok"], answer["message"]) == (False, "there is no camera garage")


def test_what_was_taught_is_listed_and_taken_back(scene: Scene) -> None:
    scene.wait_until_spread("one", "two")
    visits = [scene.events(camera)[0]["id"] for camera in scene.cameras]
    for visit in visits:
        answer = scene.command("teach", {"id": visit, "is": "right"})
        assert answer["ok"], answer
    assert {vote["id"] for vote in json.loads(scene.streamwatch("taught", "--json"))} == {*visits}
    first, *rest = visits
    assert scene.streamwatch("taught", "--forget", first)
    assert [vote["id"] for vote in json.loads(scene.streamwatch("taught", "--json"))] == rest


def test_what_is_learnt_is_that_of_all_workers(scene: Scene) -> None:
    scene.wait_until_spread("one", "two")
    scene.wait_until(
        lambda: all(
            any(event["type"] == "end" for event in scene.events(camera))
            for camera in scene.cameras
        )
    )
    found = json.loads(scene.streamwatch("tune", "--json"))
    for camera in scene.cameras:
        assert any(sum(watch["cameras"][camera]["visits"]) for watch in found["watches"].values())


def test_a_worker_gives_the_picture_of_its_camera(scene: Scene) -> None:
    scene.wait_until_spread("one", "two")
    said = scene.streamwatch("look", "yard", "-o", "yard.jpg")
    assert "as the running daemon sees it" in said, said
    assert (scene.controller.folder / "yard.jpg").read_bytes().startswith(b"\xff\xd8")


def test_an_edit_takes_effect_on_all_cameras(scene: Scene) -> None:
    scene.wait_until_spread("one", "two")
    for watch in ("ball", "cat"):
        settings = {"prompt": watch, "confidence": 0.01, "appear": {"hits": 1}}
        answer = scene.command("watch/set", {"id": watch, "name": watch, "watch": settings})
        assert answer["ok"], answer
        assert answer["result"]["changes"] == [f"watch {watch} added"]
    scene.wait_until(
        lambda: all(
            scene.subscriber.of(f"{scene.prefix}/state/{camera}/cat") for camera in scene.cameras
        )
    )
    assert scene.command("watch/remove", "ball")["ok"]
    assert scene.command("watch/remove", "cat")["ok"]
    scene.wait_until(
        lambda: all(
            scene.subscriber.of(f"{scene.prefix}/state/{camera}/cat")[-1].payload == b""
            for camera in scene.cameras
        )
    )
    assert scene.faults() == []


def test_status_tells_of_all_workers(scene: Scene) -> None:
    scene.wait_until_spread("one", "two")
    scene.wait_until(lambda: scene.stats_of_all())
    found = scene.status_document()
    assert found["workers"].keys() == {"one", "two"}
    assert sum(worker["cameras"] for worker in found["workers"].values()) == len(scene.cameras)
    assert found["cameras"].keys() == {*scene.cameras}
    for name, camera in found["cameras"].items():
        assert camera["status"] == "online"
        assert camera["worker"] == scene.owners()[name]
        assert camera["analysed"] > 0
    assert found["problems"] == []
    info = scene.subscriber.of(f"{scene.prefix}/info")[-1].json
    assert info["workers"].keys() == {"one", "two"}


def test_metrics_are_told_by_worker(scene: Scene) -> None:
    scene.wait_until_spread("one", "two")
    with urlopen(f"http://127.0.0.1:{scene.http_port}/metrics", timeout=PATIENCE_SECONDS) as reply:
        text = reply.read().decode()
    frames = {
        (sample.labels["camera"], sample.labels["worker"])
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "streamwatch_camera_online"
    }
    assert frames == {*scene.owners().items()}
    with urlopen(f"http://127.0.0.1:{scene.http_port}/healthz", timeout=PATIENCE_SECONDS) as reply:
        assert reply.read().strip() == b"ok"


def test_a_killed_worker_is_replaced(scene: Scene) -> None:
    scene.wait_until_spread("one", "two")
    mine = [camera for camera, worker in scene.owners().items() if worker == "one"]
    scene.worker("one").kill()
    scene.wait_until(lambda: scene.status(mine[0]) == "offline")
    scene.wait_until_spread("one", "two")
    scene.wait_for_alerts()
    assert scene.faults() == []


def test_a_frozen_node_sends_nothing_stale(scene: Scene) -> None:
    scene.wait_until_spread("one", "two")
    scene.cluster.freeze("two")
    scene.wait_until_spread("one")
    scene.wait_for_alerts()
    scene.cluster.thaw("two")
    scene.wait_for_alerts()
    assert scene.faults() == []


def test_a_node_that_joins_takes_its_share(scene: Scene) -> None:
    scene.wait_until_spread("one")
    scene.cluster.add("three")
    scene.wait_until_spread("one", "three")
    scene.wait_for_alerts()
    assert scene.faults() == []


def test_a_killed_node_is_replaced(scene: Scene) -> None:
    scene.wait_until_spread("one", "three")
    scene.cluster.kill("three")
    scene.wait_until_spread("one")
    scene.wait_for_alerts()
    assert scene.faults() == []


def test_a_new_controller_takes_over(scene: Scene) -> None:
    scene.wait_until_spread("one")
    before = len(scene.subscriber.of(f"{scene.prefix}/workers/one/status"))
    scene.controller.process.kill()
    scene.controller.process.wait()
    scene.restart_controller()
    scene.wait_for_alerts()
    scene.controller.wait_for_log("worker one is ready")
    scene.cluster.add("four")
    scene.wait_until_spread("one", "four")
    scene.wait_for_alerts()
    assert len(scene.subscriber.of(f"{scene.prefix}/workers/one/status")) == before
    assert scene.faults() == []


def test_a_clean_stop_ends_all_visits(scene: Scene) -> None:
    assert scene.controller.terminate() == 0
    scene.subscriber.wait_for_payload(f"{scene.prefix}/status", b"offline", PATIENCE_SECONDS)
    for camera in scene.cameras:
        events = scene.events(camera)
        begun = {event["id"] for event in events if event["type"] == "new"}
        assert begun == {event["id"] for event in events if event["type"] == "end"}
    assert scene.faults() == []
