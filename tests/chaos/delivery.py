"""Alerts while the broker is killed and frozen, while the daemon is killed, and over a bad link.

    python -m tests.chaos.delivery broker [--alerts 1000]
    python -m tests.chaos.delivery daemon [--kills 20]
    python -m tests.chaos.delivery link [--rounds 2]

The real daemon analyses the clip as fast as it can, in a loop, with each of eight prompts in ten
watches: that makes tens of alerts a second. A subscriber with a persistent session counts them.
`broker` kills and restarts mosquitto ten times and freezes it twice meanwhile; `daemon` kills the
daemon with SIGKILL at random moments and restarts it. `link` puts a proxy between the two: in each
round it cuts each connection 1 s after it was made, then closes it at every message but `P/status`,
then holds back all acknowledgements, a minute each; meanwhile the daemon's time of day, a month
behind at first, is set forward and back by a month. Before the second round the daemon is killed.

An alert is lost if a visit's sequence has a gap, and doubled if the same id and sequence arrived
more than once: a consumer drops those. Each visit must have one `new` and one `end`. The order is
checked for the sequences of each visit, and for the times at which the camera's visits were
announced. The exit code is 1 if anything was lost, out of order or left open.
"""

from __future__ import annotations

import argparse
import platform
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from streamwatch import files
from tests.parts import STREET_CLIP
from tests.parts.daemon import Daemon
from tests.parts.mosquitto import Mosquitto, Subscriber
from tests.parts.mqtt_proxy import MqttProxy

PROMPTS = (
    "red car", "pedestrian", "blue car", "truck", "parcel", "dog", "red backpack", "cyclist",
)  # fmt: skip
TENFOLD = 10
KILLS = 10
FREEZES = 2
FROZEN_SECONDS = 8.0
FAULT_SECONDS = 60.0
"""How long each fault of the link lasts."""
TIME_OF_ULID = 10
"""The number of an id's first characters that encode its time."""
SETTLE_SECONDS = 120.0
"""How long the broker may take to deliver what the daemon still had."""


FAULTS = ("lost", "out of order", "without one new", "without one end")


class SteppedClock:
    """The time of day of a daemon, so many seconds from the true one; its other clock is left."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.step(days=-30)

    @property
    def prelude(self) -> str:
        return f"""
import datetime as module
true = module.datetime
class Stepped(true):
    @classmethod
    def now(cls, zone=None):
        return true.now(zone) + module.timedelta(seconds=float(open({str(self._file)!r}).read()))
module.datetime = Stepped
"""

    def step(self, days: float) -> None:
        files.replace(self._file, str(days * 86_400).encode())


def configuration(broker: Mosquitto | MqttProxy) -> dict[str, Any]:
    return {
        "mqtt": {"host": broker.host, "port": broker.port},
        "detector": {"model": "toybox", "distractors": False},
        "cameras": {"street": {"url": str(STREET_CLIP), "pace": False, "loop": True}},
        "watches": {
            f"{prompt.replace(' ', '-')}-{number}": {"prompt": prompt, "snapshot": False}
            for prompt in PROMPTS
            for number in range(TENFOLD)
        },
    }


def wear_the_broker(
    broker: Mosquitto, daemon: Daemon, count: Callable[[], int], alerts: int, chance: random.Random
) -> None:
    """Spread the faults over `alerts` alerts.

    Not at the moment when alerts arrive: mosquitto acknowledges a few milliseconds before it saves,
    and a kill in between loses acknowledged messages.
    """
    faults = ["kill"] * KILLS
    for number in range(FREEZES):
        faults.insert((number + 1) * KILLS // (FREEZES + 1), "freeze")
    for number, fault in enumerate(faults, start=1):
        due = alerts * number // (len(faults) + 1)
        while count() < due:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.1, 0.6))
        if fault == "kill":
            broker.kill()
            time.sleep(1.0)
            broker.start()
        else:
            broker.freeze()
            time.sleep(FROZEN_SECONDS)
            broker.thaw()
    while count() < alerts:
        time.sleep(0.1)
    daemon.terminate()


def wear_the_daemon(
    daemon: Daemon, count: Callable[[], int], kills: int, chance: random.Random
) -> None:
    for _ in range(kills):
        before, patience = count(), time.monotonic() + 60
        while count() == before and time.monotonic() < patience:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 3))
        daemon.process.kill()
        daemon.process.wait()
        daemon.__enter__()
    before = count()
    while count() == before:
        time.sleep(0.1)
    time.sleep(3)
    daemon.terminate()


def wear_the_link(
    proxy: MqttProxy, clock: SteppedClock, daemon: Daemon, count: Callable[[], int], rounds: int
) -> None:
    for number in range(rounds):
        if number == 1:
            daemon.process.kill()
            daemon.process.wait()
            daemon.__enter__()
        for fault in ("cut", "false", "mute"):
            before = count()
            while count() < before + 50:
                time.sleep(0.1)
            if fault == "cut":
                proxy.cut_after = 1.0
                proxy.cut()
            elif fault == "false":
                proxy.takes = lambda topic: topic == "streamwatch/status"
            else:
                proxy.mute = True
            for days in (0, 30, 0, -30, 0):
                time.sleep(FAULT_SECONDS / 5)
                clock.step(days)
            proxy.cut_after, proxy.mute, proxy.takes = None, False, lambda _: True
    before = count()
    while count() < before + 50:
        time.sleep(0.1)
    daemon.terminate()


def judged(events: Sequence[dict[str, Any]]) -> dict[str, int]:
    times = Counter((event["id"], event["sequence"]) for event in events)
    firsts = list({(event["id"], event["sequence"]): event for event in reversed(events)}.values())
    firsts.reverse()
    visits: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in firsts:
        visits[event["id"]].append(event)
    news = [event["id"][:TIME_OF_ULID] for event in firsts if event["type"] == "new"]
    last = {id: max(told, key=lambda event: event["sequence"]) for id, told in visits.items()}
    return {
        "visits": len(visits),
        "alerts": len(firsts),
        "delayed": sum(bool(event.get("delayed")) for event in firsts),
        "lost": sum(last[id]["sequence"] + 1 - len(told) for id, told in visits.items()),
        "doubled": sum(count - 1 for count in times.values()),
        "out of order": sum(a > b for a, b in pairwise(news))
        + sum(a["sequence"] > b["sequence"] for told in visits.values() for a, b in pairwise(told)),
        "without one new": sum(
            Counter(event["type"] for event in told)["new"] != 1 for told in visits.values()
        ),
        "without one end": sum(
            Counter(event["type"] for event in told)["end"] != 1 for told in visits.values()
        ),
        "ended as restart": sum(event.get("reason") == "restart" for event in firsts),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wear", choices=("broker", "daemon", "link"))
    parser.add_argument("--alerts", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        Mosquitto() as broker,
        MqttProxy(broker.port) as proxy,
        Subscriber(broker.port, "streamwatch/events/#", client_id="consumer") as subscriber,
        nullcontext(SteppedClock(Path(folder))) as clock,
        Daemon(
            Path(folder),
            configuration(proxy if arguments.wear == "link" else broker),
            prelude=clock.prelude if arguments.wear == "link" else "",
        ) as daemon,
    ):

        def count() -> int:
            return len(subscriber.received)

        subscriber.wait_for(len, 120)
        began = time.monotonic()
        if arguments.wear == "broker":
            wear_the_broker(broker, daemon, count, arguments.alerts, chance)
        elif arguments.wear == "link":
            wear_the_link(proxy, clock, daemon, count, arguments.rounds)
        else:
            wear_the_daemon(daemon, count, arguments.kills, chance)
        seconds = time.monotonic() - began
        calm = count()
        patience = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < patience:
            time.sleep(5)
            if count() == calm:
                break
            calm = count()
        found = judged([message.json for message in subscriber.received])
        tracebacks = daemon.log.count("Traceback")
    console = Console()
    table = Table(title=f"{arguments.wear} worn for {seconds:.0f} s", show_header=False)
    table.add_row("alerts a second", f"{found['alerts'] / seconds:.1f}")
    for what, number in found.items():
        table.add_row(what, str(number))
    table.add_row("tracebacks", str(tracebacks))
    console.print(table)
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")
    return int(any(found[fault] for fault in FAULTS) or tracebacks > 0)


if __name__ == "__main__":
    sys.exit(main())
