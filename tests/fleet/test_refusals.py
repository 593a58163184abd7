"""What `streamwatch fleet` says where it can't run: one sentence, with the way out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, NamedTuple

import pytest
import yaml

from tests.parts import STREET_CLIP
from tests.parts.command import run_here
from tests.parts.mosquitto import Mosquitto, Subscriber
from tests.parts.ray_cluster import FleetController, RayCluster
from tests.parts.waiting import wait_until

pytestmark = pytest.mark.slow(seconds=60)

WITHOUT_STREAMWATCH = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "streamwatch":
            raise ModuleNotFoundError("No module named 'streamwatch'", name=name)

sys.meta_path.insert(0, Missing())
"""


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "mqtt": {"host": "127.0.0.1"},
        "detector": {"model": "toybox"},
        "cameras": {"porch": {"url": str(STREET_CLIP), "loop": True, "fps": 2}},
        "watches": {"car": {"prompt": "red car"}},
        **changes,
    }


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings(**changes), sort_keys=False))
    return path


def refused(command: CompletedProcess[str], code: int = 3) -> str:
    """What it said, which is one line."""
    assert command.returncode == code, command.stderr
    assert command.stderr.count("\n") == 1, command.stderr
    return command.stderr.removeprefix("streamwatch: ").rstrip("\n")


# --- without a cluster ---------------------------------------------------------------------------


def test_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    said = refused(run_here(tmp_path, "fleet", "-c", written(tmp_path), RAY_AUTH_MODE="token"))
    assert said == (
        "a fleet needs Ray: install streamwatch with its extra `fleet` on every machine of it"
        " (`pip install '.[fleet]'` in a checkout)"
    )


def test_without_a_token(tmp_path: Path) -> None:
    said = refused(run_here(tmp_path, "fleet", "-c", written(tmp_path), RAY_AUTH_MODE="disabled"))
    assert said == (
        "whoever reaches the ports of a Ray cluster without a token may run any program on its"
        " machines: start Ray and this with RAY_AUTH_MODE=token and the same token everywhere"
        " (docs/fleet.md says how), or allow it with --insecure"
    )


@pytest.mark.parametrize(
    ("changes", "place", "sentence"),
    [
        (
            {"mqtt": {"embedded": True}},
            "2:13",
            "mqtt.embedded: a fleet needs a broker that all its machines reach; write its host in"
            " mqtt.host",
        ),
        (
            {"detector": {"model": "toybox", "device": "cuda:1"}},
            "5:11",
            "detector.device: each worker of a fleet has a GPU for itself; write cuda in place of"
            " cuda:1",
        ),
        (
            {"cameras": {"porch": {"url": "/dev/video0"}}},
            "7:10",
            "cameras.porch.url: /dev/video0 is a device of one machine; make a stream of it there"
            " (as with mediamtx), or watch it with `streamwatch run` and another mqtt.topic_prefix",
        ),
    ],
)
def test_what_several_machines_can_not_have(
    changes: dict[str, Any], place: str, sentence: str, tmp_path: Path
) -> None:
    path = written(tmp_path, **changes)
    said = refused(run_here(tmp_path, "fleet", "-c", path, RAY_AUTH_MODE="token"), 1)
    assert said == f"{path}:{place}: {sentence}"


def test_a_wrong_file(tmp_path: Path) -> None:
    path = written(tmp_path, watches={"car": {"prompt": "red car", "dwel": "1s"}})
    said = refused(run_here(tmp_path, "fleet", "-c", path, RAY_AUTH_MODE="token"), 1)
    assert said.startswith(f"{path}:13:5: watches.car.dwel: ")


# --- on a cluster --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """With the node `one`, and `bare`, where streamwatch is not installed."""
    folder = tmp_path_factory.mktemp("refusals")
    bare = folder / "bare"
    bare.mkdir()
    (bare / "sitecustomize.py").write_text(WITHOUT_STREAMWATCH)
    with RayCluster(folder / "ray") as cluster:
        cluster.add("one")
        path = f"{bare}:{cluster.environment['PYTHONPATH']}"
        cluster.add("bare", environment={"PYTHONPATH": path})
        yield cluster


def fleet(
    folder: Path, cluster: RayCluster, *more: str, prelude: str = "", **variables: str
) -> CompletedProcess[str]:
    """In a process of its own, since Ray keeps the token that it has read."""
    return ended(written(folder), cluster, *more, prelude=prelude, **variables)


def ended(
    path: Path, cluster: RayCluster, *more: str, prelude: str = "", **variables: str
) -> CompletedProcess[str]:
    program = f"{prelude}\nfrom streamwatch.__main__ import main; main()"
    command = ["-c", program, "fleet", "-c", str(path), "--address", cluster.address, *more]
    return subprocess.run(
        [sys.executable, *command],
        env={**cluster.environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_another_token(tmp_path: Path, cluster: RayCluster) -> None:
    assert refused(fleet(tmp_path, cluster, RAY_AUTH_TOKEN="another-token")) == (
        f"the Ray cluster at {cluster.address} has another token: the same must be in"
        " RAY_AUTH_TOKEN, or in the file that RAY_AUTH_TOKEN_PATH names, everywhere"
    )


def test_insecure_where_the_cluster_wants_a_token(tmp_path: Path, cluster: RayCluster) -> None:
    assert refused(fleet(tmp_path, cluster, "--insecure", RAY_AUTH_MODE="disabled")) == (
        f"the Ray cluster at {cluster.address} wants a token: set RAY_AUTH_MODE=token, and put it"
        " in RAY_AUTH_TOKEN, or in the file that RAY_AUTH_TOKEN_PATH names"
    )


def test_a_token_that_can_not_be_read(tmp_path: Path, cluster: RayCluster) -> None:
    variables = {"RAY_AUTH_TOKEN": "", "RAY_AUTH_TOKEN_PATH": "/nowhere/token"}
    assert refused(fleet(tmp_path, cluster, **variables)) == (
        "RAY_AUTH_TOKEN_PATH=/nowhere/token: the token can't be read there; name a file that has it"
    )


def test_another_version_of_ray(tmp_path: Path, cluster: RayCluster) -> None:
    prelude = "import ray; ray.__version__ = '2.55.1'"
    sentence = refused(fleet(tmp_path, cluster, prelude=prelude))
    assert sentence.startswith(f"the Ray cluster at {cluster.address} is of Ray ")
    assert "here are Ray 2.55.1 and Python" in sentence
    assert sentence.endswith(": install the same Ray and the same Python everywhere")


def test_a_token_where_the_cluster_has_none(tmp_path: Path) -> None:
    """Ray lets it in, but no worker can answer."""
    with RayCluster(tmp_path / "ray", RAY_AUTH_MODE="disabled") as cluster:
        sentence = refused(fleet(tmp_path, cluster, RAY_AUTH_MODE="token"))
    assert sentence.startswith("what is started on the Ray cluster can't answer (")
    assert sentence.endswith(
        "): was each of its nodes started with RAY_AUTH_MODE=token and the same token as this?"
    )


class Running(NamedTuple):
    controller: FleetController
    subscriber: Subscriber

    def told(self) -> list[dict[str, Any]]:
        return [message.json for message in self.subscriber.of("refusals/errors")]

    def wait_for_report(self, sentence: str) -> dict[str, Any]:
        """Of `P/errors`; it is in the log too."""
        wait_until(lambda: any(sentence in report["message"] for report in self.told()))
        self.controller.wait_for_log(sentence)
        return next(report for report in self.told() if sentence in report["message"])

    def save(self, **changes: Any) -> None:
        mqtt = yaml.safe_load(self.controller.config.read_text())["mqtt"]
        text = yaml.safe_dump(settings(**{"mqtt": mqtt, **changes}), sort_keys=False)
        self.controller.config.write_text(text)


@pytest.fixture(scope="module")
def running(
    cluster: RayCluster, mosquitto: Mosquitto, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    config = settings(
        mqtt={"host": mosquitto.host, "port": mosquitto.port, "topic_prefix": "refusals"}
    )
    config["cameras"]["yard"] = {"url": "/nowhere/yard.mp4", "loop": True}
    folder = tmp_path_factory.mktemp("controller")
    with (
        Subscriber(mosquitto.port, "refusals/#") as subscriber,
        FleetController(folder, config, cluster) as controller,
    ):
        controller.wait_for_log("worker one is ready")
        yield Running(controller, subscriber)
        assert controller.terminate() == 0
        assert "failed unexpectedly" not in controller.log


def test_a_machine_without_streamwatch(running: Running) -> None:
    report = running.wait_for_report("worker bare: Ray finds no streamwatch there; install it")
    assert report["kind"] == "detector"


def test_a_file_that_is_on_no_machine(running: Running) -> None:
    report = running.wait_for_report(
        "cameras.yard.url: /nowhere/yard.mp4 is on no machine of the fleet; copy it to the same"
        " path on one of them, and restart the fleet"
    )
    assert (report["kind"], report["camera"]) == ("camera", "yard")
    status = running.subscriber.of("refusals/cameras/yard/status")
    assert [message.payload for message in status][-1] == b"offline"


def test_a_second_controller(running: Running, cluster: RayCluster, tmp_path: Path) -> None:
    mqtt = yaml.safe_load(running.controller.config.read_text())["mqtt"]
    sentence = refused(ended(written(tmp_path, mqtt=mqtt), cluster))
    assert sentence.startswith("another controller runs already with this topic prefix (")
    assert f"pid {running.controller.process.pid}" in sentence
    assert sentence.endswith("stop that first, or give this fleet another mqtt.topic_prefix")


def test_a_wrong_configuration_that_is_saved(running: Running) -> None:
    path = running.controller.config
    running.save(watches={"car": {"prompt": "red car", "dwel": "1s"}})
    report = running.wait_for_report("watches.car.dwel")
    assert "the configuration is not taken over, what ran before goes on" in report["message"]
    assert f"{path}:" in running.controller.log
    assert report["errors"][0]["path"] == "watches.car.dwel"
    running.save(cameras={"porch": {"url": "/dev/video0"}})
    report = running.wait_for_report("/dev/video0 is a device of one machine")
    assert report["errors"][0]["line"]
    assert running.controller.process.poll() is None
