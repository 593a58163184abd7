"""A fleet whose workers, nodes and controller are killed, and whose nodes freeze.

    python -m tests.chaos.fleet [worker] [node] [freeze] [controller] [--kills 20]

Two nodes of a real Ray cluster watch four cameras, which are one RTSP stream of the clip in a loop.
`worker` kills a worker's process, `node` the raylet of a node, which another node of the same name
replaces, `freeze` stops everything on a node for 12 s and replaces it then, and `controller` kills
that and starts another. A subscriber with a persistent session counts the alerts.

An alert is lost if a visit's sequence has a gap or it has no `new`; a visit that the clip's truth
has is doubled if two alerts of it were open at once, and split if one followed the other. A repeat
is the same id and sequence once more: a consumer drops those, so there must be no two unlike ones
of a number. A visit is missed if nothing was told of it, which is the case where a camera was seen
by nobody for as long as it lasted. The seconds are those from the fault until another worker sees a
camera. The rate is that of cameras of workers that nothing happened to, as a share of what is due.
The exit code is 1 if anything was lost, doubled, numbered twice or left open.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from streamwatch.publisher import STATS_SECONDS
from tests.parts.fleet import CAMERAS, FPS, PROMPTS, Scene
from tests.truth import SLACK_SECONDS, Visit, clip_seconds, street

FAULTS = ("worker", "node", "freeze", "controller")
FROZEN_SECONDS = 12.0
THAWED_SECONDS = 5.0
SETTLE_SECONDS = 30.0
CLIP_SECONDS = 40.0


class Wear:
    """Does one kind of fault again and again, and notes how long cameras were not seen."""

    def __init__(self, scene: Scene, chance: random.Random) -> None:
        self.scene = scene
        self._chance = chance
        self.seconds: list[float] = []
        self._others: list[tuple[str, float]] = []
        """A worker that nothing happened to, and the time of the fault, in monotonic seconds."""

    def worker(self, name: str) -> None:
        self.scene.worker(name).kill()
        self._wait_until_seen(name)

    def node(self, name: str) -> None:
        self.scene.cluster.kill(name)
        self._wait_until_seen(name)
        self.scene.cluster.add(name)

    def freeze(self, name: str) -> None:
        self.scene.cluster.freeze(name)
        until = time.monotonic() + FROZEN_SECONDS
        self._wait_until_seen(name)
        time.sleep(max(0.0, until - time.monotonic()))
        self.scene.cluster.thaw(name)
        time.sleep(THAWED_SECONDS)
        self.scene.cluster.kill(name)  # Ray ends a node that it believed to be dead
        self.scene.cluster.add(name)

    def controller(self, _name: str) -> None:
        self.scene.restart_controller()
        self.scene.controller.wait_for_log("is ready")

    def once(self, fault: str) -> None:
        """One fault, once everything is as it should be."""
        self.scene.wait_until_spread("one", "two")
        time.sleep(self._chance.uniform(2, 8))
        name = self._chance.choice(("one", "two"))
        since = time.monotonic()
        getattr(self, fault)(name)
        self._others.append(("two" if name == "one" else "one", since))

    def _wait_until_seen(self, name: str) -> None:
        since = time.monotonic()
        mine = [camera for camera, worker in self.scene.owners().items() if worker == name]
        self.scene.wait_until(
            lambda: all(self.scene.seen_since(camera, since) is not None for camera in mine)
        )
        for camera in mine:
            seen = self.scene.seen_since(camera, since)
            assert seen is not None
            self.seconds.append(seen - since)

    @property
    def rates(self) -> list[float]:
        """Of the cameras that were not concerned, in the statistics right after each fault."""
        above = f"{self.scene.prefix}/workers"
        return [
            camera["fps"] / FPS
            for worker, since in self._others
            for message in self.scene.subscriber.of(f"{above}/{worker}/stats")
            if since < message.at_seconds < since + STATS_SECONDS
            for camera in message.json["cameras"].values()
            if camera["fps"] is not None
        ]


def told(scene: Scene, began: float, ended: float) -> dict[str, int]:
    """What became of the truth's visits between two times of day, and what was told."""
    counts: Counter[str] = Counter()
    frame0 = scene.server.frame0_at
    assert frame0 is not None
    for camera in CAMERAS:
        events = scene.events(camera)
        times = Counter((event["id"], event["sequence"]) for event in events)
        counts["repeats"] += sum(count - 1 for count in times.values())
        unlike = {(event["id"], event["sequence"], event["type"]) for event in events}
        counts["two of a number"] += len(unlike) - len(times)
        steps: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
        for event in events:
            steps[event["id"]].setdefault(event["sequence"], event)
        for there in steps.values():
            kinds = Counter(event["type"] for event in there.values())
            counts["alerts"] += len(there)
            counts["lost"] += max(there) + 1 - len(there)
            counts["without one new"] += kinds["new"] != 1
            counts["without one end"] += kinds["end"] != 1
            counts["ended as restart"] += any(
                event.get("reason") == "restart" for event in there.values()
            )
        visits = [spans(there, frame0.timestamp()) for there in steps.values()]
        for visit, offset in in_loops(frame0.timestamp(), began, ended):
            mine = [
                (start, end)
                for prompt, start, end in visits
                if prompt == visit.name
                and visit.start - SLACK_SECONDS <= start - offset <= visit.end + SLACK_SECONDS
            ]
            counts["visits"] += 1
            counts["missed"] += not mine
            if len(mine) > 1:
                mine.sort()
                overlap = any(a[1] > b[0] for a, b in pairwise(mine))
                counts["doubled" if overlap else "split"] += 1
    return counts


def spans(steps: dict[int, dict[str, Any]], frame0: float) -> tuple[str, float, float]:
    """The prompt of a visit, and its first and last sighting in seconds of the stream."""
    first, last = steps[min(steps)], steps[max(steps)]
    return first["prompt"], clip_seconds(first, frame0), clip_seconds(last, frame0)


def in_loops(frame0: float, began: float, ended: float) -> list[tuple[Visit, float]]:
    """The truth's visits that lie between two times of day, with their loop's beginning."""
    found = []
    loop = 0.0
    while frame0 + loop < ended:
        for visit in street().visits:
            start, end = frame0 + loop + visit.start, frame0 + loop + visit.end
            if visit.name in PROMPTS and began < start and end + SLACK_SECONDS < ended:
                found.append((visit, loop))
        loop += CLIP_SECONDS
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faults", nargs="*", choices=[*FAULTS, []], default=[])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    console = Console()
    table = Table("", *(faults := arguments.faults or FAULTS))
    rows: dict[str, list[str]] = defaultdict(list)
    failed = False
    for fault in faults:
        counts, wear = worn(fault, arguments.kills, random.Random(arguments.seed), console)
        failed |= any(
            counts[what]
            for what in (
                *("lost", "doubled", "two of a number"),
                *("without one new", "without one end"),
            )
        )
        for what in (
            *("alerts", "visits", "missed", "lost", "doubled", "split", "repeats"),
            *("two of a number", "without one new", "without one end", "ended as restart"),
        ):
            rows[what].append(str(counts[what]))
        rows["seconds, median and most"].append(_median_and_most(wear.seconds))
        rows["rate of the others, median"].append(
            f"{statistics.median(wear.rates):.2f}" if wear.rates else "-"
        )
    for what, values in rows.items():
        table.add_row(what, *values)
    console.print(table)
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")
    return int(failed)


def worn(
    fault: str, kills: int, chance: random.Random, console: Console
) -> tuple[dict[str, int], Wear]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with Scene(Path(folder)) as scene:
            wear = Wear(scene, chance)
            scene.wait_until_spread("one", "two")
            began = time.time()
            for number in range(kills):
                wear.once(fault)
                if faults := scene.faults():
                    console.print(f"{fault} {number + 1}: {faults}")
            scene.wait_until_spread("one", "two")
            time.sleep(SETTLE_SECONDS)
            ended = time.time()
            scene.controller.terminate()
            with suppress(TimeoutError):
                scene.subscriber.wait_for_payload(f"{scene.prefix}/status", b"offline", 30)
            counts = told(scene, began, ended)
            if counts["lost"] or counts["doubled"] or counts["without one end"]:
                console.print(scene.controller.log)
        return counts, wear


def _median_and_most(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.1f}, {max(seconds):.1f}" if seconds else "-"


if __name__ == "__main__":
    sys.exit(main())
