"""Commands without end from one who may only turn watches on.

    python -m tests.chaos.commands [--commands 60000] [--bytes 0]

The real daemon analyses the clip, and is sent `watch/enable` as fast as the broker takes them. In
the middle of it a watch is added to the file. Printed are the memory before and at most, the
seconds until the saved file was live and until that was told, and how many commands were done, told
to come later, or not answered. The exit code is 1 if the memory grew by more than 150 MB, the file
was not live within 10 s, or an answer said anything else.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import yaml
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from rich.console import Console
from rich.table import Table

from tests.parts import STREET_CLIP
from tests.parts.daemon import PATIENCE_SECONDS, Daemon
from tests.parts.mosquitto import Mosquitto, Subscriber

MOST_GROWTH_BYTES = 150_000_000
MOST_SECONDS = 10.0
GIVE_UP_SECONDS = 120.0
CALM_SECONDS = 5.0
"""The flood is over when no answer came for so long."""


def configuration(broker: Mosquitto) -> dict[str, Any]:
    return {
        "mqtt": {"host": broker.host, "port": broker.port, "commands": True},
        "detector": {"model": "toybox"},
        "cameras": {"street": {"url": str(STREET_CLIP), "loop": True}},
        "watches": {"car": {"prompt": "red car"}},
    }


def resident_bytes(pid: int, what: Literal["VmRSS", "VmHWM"]) -> int:
    """Now, or at most since `forget_the_most`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the daemon has ended")


def forget_the_most(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc_pid_clear_refs(5)


class Flood:
    """A client that sends commands without waiting for anything."""

    def __init__(self, broker: Mosquitto, least_bytes: int) -> None:
        self._least_bytes = least_bytes
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def send(self, numbers: range) -> None:
        for number in numbers:
            payload = json.dumps({"id": number, "name": "car"}).ljust(self._least_bytes)
            sent = self._client.publish("streamwatch/command/watch/enable", payload)
        sent.wait_for_publish(GIVE_UP_SECONDS)

    def end(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def seconds_until(true: Callable[[], bool], since: float) -> float:
    while not true() and time.monotonic() - since < GIVE_UP_SECONDS:
        time.sleep(0.05)
    return time.monotonic() - since


def settled(answers: Subscriber) -> Counter[str]:
    """What was answered, once nothing comes any more."""
    before = -1
    while (count := len(answers.received)) != before:
        before = count
        time.sleep(CALM_SECONDS)
    found = (message.json for message in answers.received)
    return Counter("ok" if answer["ok"] else answer["message"] for answer in found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=60_000)
    parser.add_argument("--bytes", type=int, default=0, help="what each is filled up to")
    arguments = parser.parse_args()
    commands: int = arguments.commands
    with (
        tempfile.TemporaryDirectory() as folder,
        Mosquitto() as broker,
        Subscriber(broker.port, "streamwatch/info") as told,
        Subscriber(broker.port, "streamwatch/events/#") as events,
        Subscriber(broker.port, "streamwatch/result/#") as answers,
        Daemon(Path(folder), configuration(broker)) as daemon,
    ):
        events.wait_for(len, PATIENCE_SECONDS)
        time.sleep(CALM_SECONDS)
        before = resident_bytes(daemon.process.pid, "VmRSS")
        forget_the_most(daemon.process.pid)
        flood = Flood(broker, arguments.bytes)
        began = time.monotonic()
        flood.send(range(commands // 2))
        tree = yaml.safe_load(daemon.config.read_text())
        tree["watches"]["too"] = {"prompt": "red car"}  # known: the text encoder has no part in it
        new = daemon.config.with_suffix(".new")
        new.write_text(yaml.safe_dump(tree))
        new.replace(daemon.config)
        saved = time.monotonic()
        live_seconds = seconds_until(lambda: "watch too added" in daemon.log, saved)
        flood.send(range(commands // 2, commands))
        sent_seconds = time.monotonic() - began
        told_seconds = seconds_until(
            lambda: "too" in told.of("streamwatch/info")[-1].json["watches"], saved
        )
        found = settled(answers)
        most = resident_bytes(daemon.process.pid, "VmHWM")
        flood.end()
        lines = len(daemon.log.splitlines())
        daemon.terminate()
    done, busy = found.pop("ok", 0), found.pop("busy, try later", 0)
    table = Table(title=f"{commands:,} commands in {sent_seconds:.1f} s", show_header=False)
    table.add_row("memory before", f"{before / 1e6:.0f} MB")
    table.add_row("memory at most", f"{most / 1e6:.0f} MB")
    table.add_row("the saved file was live after", f"{live_seconds:.1f} s")
    table.add_row("and on P/info after", f"{told_seconds:.1f} s")
    table.add_row("done", str(done))
    table.add_row("busy, try later", str(busy))
    table.add_row("not answered", str(commands - done - busy - found.total()))
    table.add_row("answered otherwise", str(dict(found)))
    table.add_row("lines of the log", str(lines))
    console = Console()
    console.print(table)
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")
    return int(most - before > MOST_GROWTH_BYTES or live_seconds > MOST_SECONDS or bool(found))


if __name__ == "__main__":
    sys.exit(main())
