"""A running fleet on a real Ray cluster, and everything it publishes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av
import psutil

from tests.parts import IMAGE_SIZE, STREET_CLIP, free_port
from tests.parts.daemon import private_environment
from tests.parts.mosquitto import Mosquitto, Subscriber
from tests.parts.ray_cluster import FleetController, RayCluster
from tests.parts.rtsp import RtspServer

CAMERAS = ("porch", "yard", "gate", "shed")
PROMPTS = (
    "red car", "pedestrian", "blue car", "truck", "parcel", "dog", "red backpack", "cyclist",
)  # fmt: skip
FPS = 2
PATIENCE_SECONDS = 120.0


class Scene:
    """A running fleet of the workers `one` and `two`, and everything it has published."""

    def __init__(self, folder: Path, cameras: Sequence[str] = CAMERAS) -> None:
        self.cameras = cameras
        self._folder = folder
        self._stack = ExitStack()
        self._kept = threading.Event()
        self.prefix = "fleet"
        self.http_port = free_port()

    def __enter__(self) -> Scene:
        with ExitStack() as stack:
            self.broker = stack.enter_context(Mosquitto())
            self.subscriber = stack.enter_context(
                Subscriber(self.broker.port, f"{self.prefix}/#", client_id="witness")
            )
            self.server = stack.enter_context(RtspServer(clip=STREET_CLIP))
            stack.callback(self._kept.set)
            threading.Thread(target=self._keep_playing, daemon=True).start()
            self.cluster = stack.enter_context(RayCluster(self._folder / "ray"))
            for name in ("one", "two"):
                self.cluster.add(name)
            self.controller = stack.enter_context(self.new_controller())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def new_controller(self) -> FleetController:
        camera = {"url": self.server.url, "fps": FPS, "motion": "off"}
        config = {
            "mqtt": {
                "host": self.broker.host,
                "port": self.broker.port,
                "topic_prefix": self.prefix,
                "commands": True,
            },
            "http": {"port": self.http_port},
            "detector": {"model": "toybox", "image_size": IMAGE_SIZE},
            "cameras": {name: dict(camera) for name in self.cameras},
            "watches": {
                prompt.replace(" ", "-"): {"prompt": prompt, "leave": "3s"} for prompt in PROMPTS
            },
        }
        return FleetController(self._folder / "controller", config, self.cluster)

    def restart_controller(self) -> None:
        self.controller.process.kill()
        self.controller.process.wait()
        self.controller = self._stack.enter_context(self.new_controller())

    # --- what is there ----------------------------------------------------------------------------

    def owners(self) -> dict[str, str]:
        """The newest owner of each camera."""
        return {
            message.topic.split("/")[-2]: message.payload.decode()
            for message in self.subscriber.received
            if message.topic.startswith(f"{self.prefix}/cameras/")
            and message.topic.endswith("/worker")
        }

    def status(self, camera: str) -> str:
        found = self.subscriber.of(f"{self.prefix}/cameras/{camera}/status")
        return found[-1].payload.decode() if found else ""

    def events(self, camera: str) -> list[Any]:
        above = f"{self.prefix}/events/{camera}/"
        return [m.json for m in self.subscriber.received if m.topic.startswith(above)]

    def seen_since(self, camera: str, moment: float) -> float | None:
        """When a worker first told after `moment`, in monotonic seconds, that it sees a camera."""
        found = (
            message.at_seconds
            for message in self.subscriber.of(f"{self.prefix}/cameras/{camera}/status")
            if message.at_seconds > moment and message.payload == b"online"
        )
        return next(found, None)

    def wait_until_spread(self, *workers: str) -> None:
        """Wait until exactly these watch the cameras, all of them, and see them."""
        self.wait_until(
            lambda: (
                {*self.owners().values()} == {*workers}
                and self.owners().keys() == {*self.cameras}
                and all(self.status(camera) == "online" for camera in self.cameras)
            )
        )

    def wait_for_alerts(self, cameras: Sequence[str] = ()) -> None:
        """Wait until each of these cameras has told of something that begins now."""
        cameras = cameras or self.cameras
        before = {camera: len(self._news(camera)) for camera in cameras}
        self.wait_until(lambda: all(len(self._news(camera)) > before[camera] for camera in cameras))

    def _news(self, camera: str) -> list[Any]:
        return [event for event in self.events(camera) if event["type"] == "new"]

    def command(self, verb: str, payload: Any) -> Any:
        """The answer to a command."""
        topic = f"{self.prefix}/result/{verb}"
        before = len(self.subscriber.of(topic))
        text = payload if isinstance(payload, str) else json.dumps(payload)
        self.subscriber.publish(f"{self.prefix}/command/{verb}", text)
        self.wait_until(lambda: len(self.subscriber.of(topic)) > before)
        return self.subscriber.of(topic)[before].json

    def stats_of_all(self) -> bool:
        """Whether the newest `P/stats` has all cameras."""
        found = self.subscriber.of(f"{self.prefix}/stats")
        return bool(found) and found[-1].json["cameras"].keys() == {*self.cameras}

    def status_document(self) -> Any:
        """What `streamwatch status --json` prints for the controller."""
        return json.loads(self.streamwatch("status", "--json"))

    def streamwatch(self, *arguments: str) -> str:
        """What the program prints beside the controller, whatever its exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "streamwatch", *arguments, "-c", self.controller.config],
            env=private_environment(self.controller.folder),
            cwd=self.controller.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.stdout, done.stderr
        return done.stdout

    def wait_until(self, true: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not true():
            ended = self.controller.process.poll() is not None
            if ended or time.monotonic() > deadline:
                statuses = {camera: self.status(camera) for camera in self.cameras}
                raise AssertionError(f"{self.owners()} {statuses}\n{self.controller.log}")
            time.sleep(0.05)

    def worker(self, name: str) -> psutil.Process:
        """The process of a node's worker."""
        found = [
            process
            for process in self.cluster.processes(name)
            if "ray::Worker" in " ".join(process.cmdline())
        ]
        assert len(found) == 1, found
        return found[0]

    def faults(self) -> list[str]:
        """Visits without exactly one `new`, with two different `end`, or with a gap."""
        faults = []
        for camera in self.cameras:
            visits: dict[str, dict[int, str]] = defaultdict(dict)
            for event in self.events(camera):
                there = visits[event["id"]]
                kind = there.setdefault(event["sequence"], event["type"])
                if kind != event["type"]:
                    faults.append(f"{camera}: {event['id']} {kind} and {event['type']}")
            for visit, steps in visits.items():
                kinds = Counter(steps.values())
                if sorted(steps) != list(range(len(steps))) or kinds["new"] != 1:
                    faults.append(f"{camera}: {visit} {steps}")
                if kinds["end"] > 1:
                    faults.append(f"{camera}: {visit} ended twice {steps}")
        return faults

    def _keep_playing(self) -> None:
        """A client of the stream that never leaves, else it would begin anew after each move."""
        with av.open(self.server.url, options={"rtsp_transport": "tcp"}) as stream:
            for _ in stream.demux():
                if self._kept.is_set():
                    return
