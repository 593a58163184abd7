"""Workers that can't do their part, and configurations that no fleet can run; without a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamwatch import __version__
from streamwatch.config import Config
from streamwatch.errors import UnavailableSetting
from streamwatch.fleet.calls import Hello, News
from streamwatch.fleet.cluster import Cluster, Lost, Node, Unable, unable
from streamwatch.fleet.controller import Controller
from streamwatch.fleet.fitness import require_fit
from streamwatch.fleet.ledger import Ledger
from streamwatch.publisher import ErrorReport, Publisher

CREATION_FAILED = (
    "The actor died because of an error raised in its creation task, \x1b[36mray::yard@f5704c4d:"
    "Worker.__init__()\x1b[39m (pid=28543, ip=127.0.0.1, actor_id=b746160a)\n"
    "RuntimeError: The actor with name Worker failed to import on the worker. This may be because"
    " needed library dependencies are not installed in the worker environment:\n\n"
)


def config(**sections: Any) -> Config:
    return Config.model_validate(
        {
            "mqtt": {"host": "10.0.0.1"},
            "detector": {"model": "toybox"},
            "cameras": {"porch": {"url": "rtsp://10.0.0.9/live"}},
            "watches": {"car": {"prompt": "red car"}},
            **sections,
        }
    )


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1"])
def test_a_broker_on_the_loopback_is_none_for_several_machines(host: str) -> None:
    here = config(mqtt={"host": host})
    require_fit(here, ["10.0.0.1", "10.0.0.1"])
    require_fit(here)
    with pytest.raises(UnavailableSetting) as refused:
        require_fit(here, ["10.0.0.1", "10.0.0.2"])
    assert str(refused.value) == (
        f"mqtt.host: {host} is another machine for each machine of a fleet; write the broker's"
        " name or address"
    )


def test_a_broker_that_all_reach_is_one_for_several_machines() -> None:
    require_fit(config(), ["10.0.0.1", "10.0.0.2"])


@pytest.mark.parametrize(
    ("last", "sentence"),
    [
        (
            "ModuleNotFoundError: No module named 'streamwatch'",
            "Ray finds no streamwatch there; install it with its extra `fleet`, in the environment"
            " that Ray was started from",
        ),
        ("OSError: the disk is full", "it can't be started (OSError: the disk is full)"),
    ],
)
def test_a_worker_that_can_not_be_started(last: str, sentence: str) -> None:
    assert unable(CREATION_FAILED + last) == sentence


def test_a_worker_that_has_died_can_be_started_again() -> None:
    assert unable("The actor died unexpectedly before finishing this task.") is None


class Answer:
    def __init__(self, given: Hello | News | Unable | Lost | None) -> None:
        self.given = given

    def result(self) -> Hello | News | None:
        if isinstance(self.given, Lost):
            raise self.given
        return self.given


class OneNode:
    """A cluster whose only worker answers with `hello` to whatever it is asked."""

    def __init__(self, hello: Hello | Lost) -> None:
        self.hello = hello

    def nodes(self) -> list[Node]:
        return [Node("a1", "yard", "10.0.0.2", 0)]

    def worker(self, _name: str, _node: Node) -> Any:
        return SimpleNamespace(
            hello=lambda: Answer(self.hello),
            call=lambda *_: Answer(self.hello),
            news=lambda *_: Answer(self._news),
            kill=lambda: None,
        )

    @property
    def _news(self) -> News | Lost:
        return self.hello if isinstance(self.hello, Lost) else News(cameras=self.hello.cameras)

    def shared(self, value: object) -> object:
        return value

    def done(self, calls: Mapping[Any, Any], _patience_seconds: float) -> list[Any]:
        return [*calls]


def controller_of(config: Config, cluster: OneNode, told: list[ErrorReport]) -> Controller:
    return Controller(
        config,
        cast(Cluster, cluster),
        cast(Publisher, SimpleNamespace(error=told.append, camera_status=lambda *_: None)),
        cast(Ledger, SimpleNamespace(is_offline=lambda _: False)),
    )


@pytest.mark.expects_errors
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            Hello("yard", 1, "0.0.1", 0, None, "", frozenset()),
            f"worker yard: it has streamwatch 0.0.1, and this is {__version__}; install the same"
            " everywhere",
        ),
        (Unable("it can't be started"), "worker yard: it can't be started"),
    ],
)
def test_a_worker_that_can_not_be_used_is_told_once(
    answer: Hello | Unable, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[ErrorReport] = []
    controller = controller_of(config(), OneNode(answer), told)
    for _ in range(5):
        controller.turn()
    assert [report.message for report in told] == [sentence]
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        sentence
    ]
    assert not controller.workers


CLIP = {"clip": {"url": "/nowhere/clip.mp4"}}
MISSING = (
    "cameras.clip.url: /nowhere/clip.mp4 is on no machine of the fleet; copy it to the same path on"
    " one of them, and restart the fleet"
)


@pytest.mark.expects_errors
def test_a_file_that_is_on_no_machine_is_told_once() -> None:
    told: list[ErrorReport] = []
    lacking = Hello("yard", 1, __version__, 0, 10.0, "cpu", frozenset(), frozenset({"clip"}))
    controller = controller_of(config(cameras=CLIP), OneNode(lacking), told)
    for _ in range(5):
        controller.turn()
    assert [(report.camera, report.message) for report in told] == [("clip", MISSING)]


def test_a_file_of_a_machine_that_is_gone_for_now_is_not_told() -> None:
    told: list[ErrorReport] = []
    watching = Hello("yard", 1, __version__, 0, 10.0, "cpu", frozenset({"clip"}))
    cluster = OneNode(watching)
    controller = controller_of(config(cameras=CLIP), cluster, told)
    for _ in range(3):
        controller.turn()
    assert controller.at == {"clip": "yard"}
    cluster.hello = Lost("its machine is gone")
    for _ in range(5):
        controller.turn()
    assert controller.at == {}
    assert told == []
