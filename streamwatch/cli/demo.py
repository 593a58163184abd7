"""`streamwatch demo`: one configuration run on the screen, its alerts read back from MQTT."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner

from streamwatch import logs
from streamwatch.cli.demo_screen import Board, held_back, next_step, silence
from streamwatch.cli.signals import stop_on_signals
from streamwatch.config import Config, MqttSettings, listing, snapshot_folder
from streamwatch.daemon.daemon import Daemon
from streamwatch.errors import PublisherError
from streamwatch.paths import state_dir
from streamwatch.publisher import make_client

CONNECT_SECONDS = 10.0
GOODBYE_SECONDS = 5.0


class AlertListener:
    """A separate subscriber, as Home Assistant would be.

    `show` is called with each event's payload as it arrives, in the client's thread. Subscribed
    when the constructor returns; raises PublisherError if that fails.
    """

    def __init__(
        self, broker: MqttSettings, show: Callable[[Mapping[str, Any]], None] = lambda _: None
    ) -> None:
        self._prefix = broker.topic_prefix
        self._show = show
        self._subscribed = threading.Event()
        self._finished = threading.Event()
        self.events: list[Mapping[str, Any]] = []
        self.rejected: dict[str, Mapping[str, Any]] = {}
        """By watch, the newest of what a second look held back."""
        self.pictures = 0
        self._client = make_client(broker, mqtt.MQTTv311)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{self._prefix}/#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _userdata, message: self._receive(message)
        self._client.connect_async(broker.host, broker.port)
        self._client.loop_start()
        if not self._subscribed.wait(CONNECT_SECONDS):
            self.close()
            raise PublisherError(
                f"no answer from the broker {broker.address} within {CONNECT_SECONDS:.0f} s"
            )

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait_finished(self) -> None:
        """Wait until the daemon's `offline` has arrived, and so everything before it."""
        self._finished.wait(GOODBYE_SECONDS)

    def _receive(self, message: mqtt.MQTTMessage) -> None:
        if message.retain:  # of the previous run
            return
        topic = message.topic.removeprefix(f"{self._prefix}/")
        if topic.startswith("events/"):
            event = json.loads(message.payload)
            self.events.append(event)
            self._show(event)
        elif topic.startswith("rejected/"):
            self.rejected[topic.rpartition("/")[2]] = json.loads(message.payload)
        elif topic.startswith("snapshot/"):
            self.pictures += 1
        elif topic == "status" and message.payload == b"offline":
            self._finished.set()


def demo(config: Config, own: Path | None, console: Console) -> None:
    """Run `config` until its files have ended (or Ctrl-C), showing its alerts; then sum up.

    `own` is its file, unless it is the shipped one. Raises StreamwatchError.
    """
    cameras = listing(config.cameras, "and")
    watches = [name for name, watch in config.watches.items() if watch.enabled]
    board = Board(config)
    board.waiting = Spinner("dots", "Loading the detector, which takes some seconds …")
    with Live(board, console=console, transient=True):
        logs.set_up("warning", "text")  # anew, for stderr to be shown above the board
        with Daemon(config) as daemon, stop_on_signals(daemon.request_stop):
            listener = AlertListener(daemon.mqtt, board.take)
            try:
                console.print(
                    f"streamwatch watches {cameras} for {len(watches)} things described in words.\n"
                    f"These alerts came back from the broker at {daemon.mqtt.address}:\n",
                    markup=False,
                )
                board.waiting = Spinner("dots", "Watching …  Ctrl-C ends it")
                daemon.run()
                listener.wait_finished()
            finally:
                listener.close()
        board.waiting = ""
    console.print(board)
    for line in (*held_back(listener.rejected), *silence(config, board.seen(), listener.rejected)):
        console.print(line, markup=False)
    if listener.pictures:
        folder = snapshot_folder(config.snapshots)
        console.print(f"Pictures of the alerts are in {folder}", markup=False, soft_wrap=True)
    console.print()
    console.print(next_step(own), markup=False, soft_wrap=True)


def with_pictures_at_home(config: Config) -> Config:
    """The shipped configuration, with its pictures in the user's state folder: beside its file,
    where they would go, is the installed package. Raises StreamwatchError."""
    folder = state_dir() / "demo"
    snapshots = config.snapshots.model_copy(update={"path": folder})
    near_misses = config.near_misses.model_copy(update={"path": folder / "near-misses"})
    return config.model_copy(update={"snapshots": snapshots, "near_misses": near_misses})
