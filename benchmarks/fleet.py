"""A fleet against one machine: what is told, what Ray costs, and what a large controller sends.

    python -m benchmarks.fleet [--cameras 8] [--only visits|ray|controller]

`visits` analyses so many cameras, which are the bundled clip as fast as it can be read, with
`streamwatch run` and with fleets of 2 and 4 workers on this machine, and holds what each told
against the clip's truth and against the first. `ray` is the memory (PSS) and the time of the
processor that Ray's own processes take, of a head and of a node, while nothing runs on them.
`controller` is the real controller and a real broker with 10,000 cameras on 500 workers that answer
at once: calls and messages, with their bytes, at a start, at the death of a worker, and at an edit.
"""

from __future__ import annotations

import argparse
import pickle
import platform
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
from rich.console import Console
from rich.table import Table

from streamwatch import __version__
from streamwatch.config import Config, SnapshotSettings
from streamwatch.daemon.part import Left
from streamwatch.fleet.calls import Hello, News
from streamwatch.fleet.cluster import Cluster, Node
from streamwatch.fleet.controller import Controller
from streamwatch.fleet.ledger import Ledger
from streamwatch.publisher import Publisher
from tests.parts.daemon import Daemon
from tests.parts.fleet import PROMPTS
from tests.parts.mosquitto import Mosquitto, Subscriber
from tests.parts.ray_cluster import FleetController, RayCluster
from tests.truth import score, street

IDLE_SECONDS = 20.0
END_SECONDS = 600.0
WORKERS = (2, 4)
CAMERAS_AT_LARGE, WORKERS_AT_LARGE = 10_000, 500

Told = list[tuple[str, str, str, float]]
"""Camera, watch, type and position of each event."""


def configuration(broker: Mosquitto, cameras: int) -> dict[str, Any]:
    return {
        "mqtt": {"host": broker.host, "port": broker.port, "topic_prefix": "bench"},
        "detector": {"model": "toybox"},
        "cameras": {
            f"street-{number}": {"url": "bundled:street", "pace": False}
            for number in range(cameras)
        },
        "watches": {
            prompt.replace(" ", "-"): {"prompt": prompt, "snapshot": False} for prompt in PROMPTS
        },
    }


# --- visits ---------------------------------------------------------------------------------------


def visits(cameras: int, console: Console) -> None:
    table = Table("", "seconds", "events", "other than the first", "visits of the truth", "wrong")
    first: Counter[tuple[str, str, str, float]] | None = None
    for workers in (0, *WORKERS):
        told, seconds, wrong = run_to_the_end(workers, cameras)
        counted = Counter(told)
        first = first or counted
        others = (counted - first).total() + (first - counted).total()
        table.add_row(
            "streamwatch run" if not workers else f"fleet of {workers}",
            f"{seconds:.0f}",
            str(len(told)),
            str(others),
            str(cameras * len(street().visits)),
            str(wrong),
        )
    console.print(table)


def run_to_the_end(workers: int, cameras: int) -> tuple[Told, float, int]:
    """What was told, how long it took, and how many visits were not told as they are."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        broker = stack.enter_context(Mosquitto())
        subscriber = stack.enter_context(Subscriber(broker.port, "bench/events/#"))
        config = configuration(broker, cameras)
        if workers:
            cluster = stack.enter_context(RayCluster(folder / "ray"))
            for number in range(workers):
                cluster.add(f"node-{number}")
            daemon: Daemon = FleetController(folder / "controller", config, cluster)
        else:
            daemon = Daemon(folder, config)
        began = time.monotonic()
        with daemon:
            code = daemon.wait(END_SECONDS)
            assert code == 0, daemon.log
        seconds = time.monotonic() - began
        time.sleep(2)
        events = [message.json for message in subscriber.received]
    wrong = 0
    for camera in config["cameras"]:
        found = score(street(), [event for event in events if event["camera"] == camera])
        wrong += len(found.missed) + len(found.split) + len(found.doubled) + len(found.false)
    told = [(event["camera"], event["watch"], event["type"], event["position"]) for event in events]
    return told, seconds, wrong


# --- Ray ------------------------------------------------------------------------------------------


def ray(console: Console) -> None:
    table = Table("", "processes", "MB (PSS)", "% of a core")
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        RayCluster(Path(folder)) as cluster,
    ):
        head = cluster.head_processes()
        cluster.add("node")
        time.sleep(IDLE_SECONDS / 2)
        node = cluster.processes("node")
        for name, processes in (("head", head), ("node", node)):
            before = busy_seconds(processes)
            time.sleep(IDLE_SECONDS)
            share = (busy_seconds(processes) - before) / IDLE_SECONDS
            bytes_ = sum(process.memory_full_info().pss for process in processes)
            table.add_row(name, str(len(processes)), f"{bytes_ / 1e6:.0f}", f"{share:.1%}")
    console.print(table)


def busy_seconds(processes: Sequence[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)


# --- the controller -------------------------------------------------------------------------------


class ManyWorkers:
    """A cluster whose workers do at once what they are told, and count it."""

    def __init__(self) -> None:
        self.alive = [f"w{number:03}" for number in range(WORKERS_AT_LARGE)]
        self.cameras: dict[str, set[str]] = defaultdict(set)
        self.calls = 0
        self.bytes = 0
        self.shared_bytes = 0

    def nodes(self) -> list[Node]:
        return [Node(name, name, "10.0.0.1", 0) for name in self.alive]

    def worker(self, name: str, _node: Node) -> Any:
        return SimpleNamespace(
            hello=lambda: self._call(name, "hello"),
            call=lambda method, *arguments: self._call(name, method, *arguments),
            news=lambda *_: self._call(name, "news"),
            kill=lambda: None,
        )

    def shared(self, value: object) -> object:
        self.shared_bytes += len(pickle.dumps(value)) * len(self.alive)
        return value

    def done(self, calls: Mapping[Any, Any], _patience_seconds: float) -> list[Any]:
        return [key for key, call in calls.items() if call.is_done]

    def _call(self, name: str, method: str, *arguments: Any) -> Any:
        if method == "news":  # nothing is new
            return SimpleNamespace(is_done=False, result=lambda *_: News())
        sent = [each for each in arguments if not isinstance(each, Config)]
        self.calls += 1
        self.bytes += len(pickle.dumps(sent))
        result: object = None
        match method:
            case "hello" | "begin" | "change":
                result = Hello(name, 1, __version__, 0, 10.0, "cpu", frozenset())
            case "take":
                self.cameras[name] |= {*arguments[0]}
            case "release":
                self.cameras[name] -= {*arguments[0]}
                result = Left(dict.fromkeys(arguments[0], ()))
        return SimpleNamespace(is_done=True, result=lambda *_: result)


class Large:
    """The controller of many workers, and what it sends to a broker."""

    def __init__(self, broker: Mosquitto, subscriber: Subscriber) -> None:
        settings = configuration(broker, CAMERAS_AT_LARGE)
        for camera in settings["cameras"].values():
            camera |= {"url": "rtsp://camera.example.org/stream", "pace": True, "fps": 5}
        self.config = Config.model_validate(settings)
        self.subscriber = subscriber
        self.cluster = ManyWorkers()
        self.publisher = Publisher(self.config.mqtt, SnapshotSettings(), None)
        self.ledger = Ledger(self.config.mqtt)
        self.controller = Controller(
            self.config, cast(Cluster, self.cluster), self.publisher, self.ledger
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        self.publisher.start()
        self.ledger.start()
        try:
            assert self.publisher.wait_connected(15)
            yield
        finally:
            self.ledger.stop()
            self.publisher.stop()

    def until_all_are_watched(self) -> list[float]:
        """Turns until nothing moves any more; the processor's seconds of each turn."""
        turns = []
        calm = 0
        while calm < 10:
            before = self.cluster.calls
            began = time.process_time()
            self.controller.turn()
            turns.append(time.process_time() - began)
            settled = len(self.controller.at) == len(self.config.cameras)
            calm = calm + 1 if settled and self.cluster.calls == before else 0
            time.sleep(0.01)
        assert self.publisher.flush(60)
        return turns

    def measured(self, name: str, table: Table) -> None:
        self.cluster.calls = self.cluster.bytes = self.cluster.shared_bytes = 0
        self.subscriber.clear()
        began = time.monotonic()
        turns = self.until_all_are_watched()
        seconds = time.monotonic() - began
        time.sleep(1)
        messages = [m for m in self.subscriber.received if not m.topic.endswith("/stats")]
        table.add_row(
            name,
            f"{self.cluster.calls:,}",
            f"{self.cluster.bytes / 1e6:.2f}",
            f"{self.cluster.shared_bytes / 1e6:.0f}",
            f"{len(messages):,}",
            f"{sum(len(m.topic) + len(m.payload) for m in messages) / 1e6:.2f}",
            f"{seconds:.1f}",
            f"{statistics.median(turns) * 1000:.0f}, {max(turns) * 1000:.0f}",
        )


def controller(console: Console) -> None:
    table = Table(
        "",
        *("calls", "their MB", "configuration, MB"),
        *("messages", "their MB", "seconds", "ms of a turn, median and most"),
    )
    with Mosquitto() as broker, Subscriber(broker.port, "bench/#") as subscriber:
        large = Large(broker, subscriber)
        with large.running():
            large.measured("a start", table)
            large.cluster.alive.remove("w000")
            time.sleep(1)
            large.measured("a worker dies", table)
            watches = dict(large.config.watches)
            watches.pop("dog")
            large.controller.change(large.config.model_copy(update={"watches": watches}))
            large.measured("an edit", table)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--only", choices=("visits", "ray", "controller"))
    arguments = parser.parse_args()
    console = Console()
    if arguments.only in (None, "visits"):
        visits(arguments.cameras, console)
    if arguments.only in (None, "ray"):
        ray(console)
    if arguments.only in (None, "controller"):
        controller(console)
    console.print(f"{platform.machine()}, {psutil.cpu_count()} cores, {platform.platform()}")


if __name__ == "__main__":
    main()
