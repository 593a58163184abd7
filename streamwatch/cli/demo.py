"""`streamwatch demo`: one configuration run on the screen, its alerts read back from MQTT."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import paho.mqtt.client as mqtt
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from streamwatch.cli.signals import stop_on_signals
from streamwatch.config import Config, MqttSettings, snapshot_folder
from streamwatch.daemon.daemon import Daemon
from streamwatch.errors import PublisherError
from streamwatch.publisher import make_client

CONNECT_SECONDS = 10.0
GOODBYE_SECONDS = 5.0

SIGNS = {
    "new": ("● appeared", "bold green"),
    "update": ("↑ update", "dim"),
    "end": ("○ gone", "yellow"),
}


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
        elif topic.startswith("snapshot/"):
            self.pictures += 1
        elif topic == "status" and message.payload == b"offline":
            self._finished.set()


def demo(config: Config, console: Console) -> None:
    """Run `config` until its files have ended (or Ctrl-C), showing its alerts; then sum up.

    Raises StreamwatchError.
    """
    watches = [name for name, watch in config.watches.items() if watch.enabled]
    console.print(
        f"[bold]streamwatch[/] watches [bold]{', '.join(config.cameras)}[/] for "
        f"{len(watches)} things described in words. What you see below was published to MQTT "
        "and received back.\n"
    )
    with (
        console.status("Loading the detector, which takes some seconds …") as status,
        Daemon(config) as daemon,
        stop_on_signals(daemon.request_stop),
    ):
        listener = AlertListener(daemon.mqtt, lambda event: console.print(_event_line(event)))
        try:
            console.print(
                f"[dim]Broker {escape(daemon.mqtt.address)}, topics "
                f"{config.mqtt.topic_prefix}/events/<camera>/<watch>[/]\n"
            )
            console.print(
                _line("seen at", ("alert", ""), "watch", "prompt", "sure", "zones"), style="bold"
            )
            status.update("Watching …  Ctrl-C ends it")
            daemon.run()
            listener.wait_finished()
        finally:
            listener.close()
    console.print()
    console.print(_summary(watches, listener.events))
    if listener.pictures:
        folder = snapshot_folder(config.snapshots)
        console.print(f"\nPictures of the alerts are in [bold]{escape(str(folder))}[/]")


def _event_line(event: Mapping[str, Any]) -> Text:
    return _line(
        _when(event),
        SIGNS[event["type"]],
        event["watch"],
        event["prompt"],
        f"{event['confidence']:.0%}",
        ", ".join(event["zones"]),
    )


def _line(when: str, sign: tuple[str, str], watch: str, prompt: str, sure: str, zones: str) -> Text:
    """One row of the table, which grows as alerts arrive."""
    return Text.assemble(
        f"{when:>9}  ", (f"{sign[0]:<12}", sign[1]), f"{watch:<14}{prompt:<18}{sure:>5}  {zones}"
    )


def _when(event: Mapping[str, Any]) -> str:
    """Seconds into the clip, or the local time of day for a camera."""
    if "position" in event:
        return f"{event['position']:.1f} s"
    return datetime.fromisoformat(event["captured_at"]).astimezone().strftime("%H:%M:%S")


def _summary(watches: Sequence[str], events: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title="Alerts", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("watch")
    table.add_column("alerts", justify="right")
    table.add_column("at")
    for name in watches:
        alerts = [e for e in events if e["watch"] == name and e["type"] == "new"]
        when = ", ".join(_when(alert) for alert in alerts) or "[dim]silent[/]"
        table.add_row(escape(name), str(len(alerts)), when)
    return table
