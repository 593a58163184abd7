"""Eight cameras that give twice as many frames as the detector can take.

    python -m benchmarks.overload [--mixed]

The whole daemon with `toybox` and a real broker. Each camera plays the bundled clip in real time;
one is searched for what passes there, the others for what never comes. First all give all their
frames, which shows how many the detector takes; then `fps` is set so that twice as many are due,
and two passes over the clip are measured. Shown are what each camera gets, the visits that are
told, and how old an event's frame is; at last how long the daemon takes to stop. `--mixed` gives
every second camera a fifth of the others' `fps`.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.daemon import CLIP_FPS, machine
from benchmarks.reload import CLIP_SECONDS
from benchmarks.visits import PRESENT
from streamwatch.paths import cache_dir
from tests.parts import free_port
from tests.parts.compiled import compile_toybox
from tests.parts.daemon import PATIENCE_SECONDS, Daemon
from tests.parts.mosquitto import Mosquitto, Received, Subscriber
from tests.truth import score, street

STREET = "street"
OTHERS = tuple(f"quiet-{number}" for number in range(1, 8))
CAMERAS = (STREET, *OTHERS)
SLOW = 0.2
"""The `fps` of a slow camera, by that of the others."""
TOO_MUCH = 2.0
"""Frames that are due, by those that the detector takes."""
PASSES = 2
TRIALS, TRIAL_SECONDS = 3, 5.0
"""In which the detector's speed is measured. The best counts: other work makes it slower only."""
SETTLE_SECONDS = 5.0
"""After a start or a change of `fps`, before something is measured."""
GOAL = 0.1
"""No camera's share of its due frames should differ more from their mean, as a share of that."""
COUNTED = re.compile(
    r'^streamwatch_camera_frames_(analysed|dropped)_total\{camera="(.+)"\} (\S+)$', re.M
)


def settings(
    broker: Mosquitto, port: int, fps: Mapping[str, float], folder: Path
) -> dict[str, Any]:
    there = {word.replace(" ", "-"): {"prompt": word, "cameras": [STREET]} for word in PRESENT}
    clip = {"url": "bundled:street", "loop": True, "motion": "off"}
    return {
        "mqtt": {"host": broker.host, "port": broker.port},
        "http": {"port": port},
        "detector": {"model": "toybox"},
        "cameras": {name: {**clip, "fps": round(each, 2)} for name, each in fps.items()},
        "watches": {**there, "elephant": {"prompt": "elephant", "cameras": list(OTHERS)}},
        "snapshots": {"path": str(folder / "snapshots")},
    }


@dataclass(frozen=True, slots=True)
class Counted:
    """Frames by camera so far, and when that was, in monotonic seconds."""

    analysed: Counter[str]
    dropped: Counter[str]
    at_seconds: float


def counted(port: int) -> Counted:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        found = COUNTED.findall(answer.read().decode())
    frames: dict[str, Counter[str]] = defaultdict(Counter)
    for what, camera, value in found:
        frames[what][camera] = round(float(value))
    return Counted(frames["analysed"], frames["dropped"], time.monotonic())


@dataclass(frozen=True, slots=True)
class Rates:
    """Frames a second by camera, between two counts."""

    analysed: Mapping[str, float]
    due: Mapping[str, float]

    @property
    def deviation(self) -> float:
        """How far the share of due frames of the camera that differs most is from the mean, as a
        share of that."""
        shares = [self.analysed[name] / self.due[name] for name in CAMERAS]
        mean = sum(shares) / len(shares)
        return max(abs(share - mean) for share in shares) / mean

    @property
    def too_much(self) -> float:
        return sum(self.due.values()) / sum(self.analysed.values())


def rates(before: Counted, after: Counted) -> Rates:
    seconds = after.at_seconds - before.at_seconds
    analysed = {name: after.analysed[name] - before.analysed[name] for name in CAMERAS}
    dropped = {name: after.dropped[name] - before.dropped[name] for name in CAMERAS}
    return Rates(
        {name: frames / seconds for name, frames in analysed.items()},
        {name: (frames + dropped[name]) / seconds for name, frames in analysed.items()},
    )


@dataclass(frozen=True, slots=True)
class Result:
    """Of one run. `visits` are those told and those there were; `latency` is that of `P/stats`."""

    detector_fps: float
    rates: Rates
    visits: tuple[int, int]
    latency: Mapping[str, float]
    arrived_after_seconds: Sequence[float]
    stopped_after_seconds: float


def run(parts: Mapping[str, float]) -> Result:
    """With these parts of the sum of all cameras' `fps`."""
    compile_toybox(cache_dir() / "compiled")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker, port = stack.enter_context(Mosquitto()), free_port()
        subscriber = stack.enter_context(Subscriber(broker.port, "streamwatch/#"))
        daemon = stack.enter_context(
            Daemon(folder, settings(broker, port, dict.fromkeys(CAMERAS, CLIP_FPS), folder))
        )
        wait_for_all(daemon, port)
        time.sleep(SETTLE_SECONDS)
        detector_fps = max(trial(port) for _ in range(TRIALS))

        due = TOO_MUCH * detector_fps
        fps = {name: min(due * part, CLIP_FPS) for name, part in parts.items()}
        changed = yaml.safe_dump(settings(broker, port, fps, folder), sort_keys=False)
        daemon.config.write_text(changed)
        time.sleep(SETTLE_SECONDS)
        first = len(subscriber.received)
        before, began = counted(port), time.time()
        # A pass that was under way is not counted, so it takes one more.
        time.sleep((PASSES + 1) * CLIP_SECONDS)
        measured, ended = rates(before, counted(port)), time.time()
        received = subscriber.received[first:]

        stopping = time.monotonic()
        if daemon.terminate():
            raise RuntimeError(f"the daemon failed: {daemon.log}")
        return Result(
            detector_fps,
            measured,
            visits(events_of(received), began, ended),
            [m.json for m in received if m.topic == "streamwatch/stats"][-1]["latency_ms"],
            [arrived_after(message) for message in told(received)],
            time.monotonic() - stopping,
        )


def trial(port: int) -> float:
    """Frames a second that the detector takes of all cameras."""
    before = counted(port)
    time.sleep(TRIAL_SECONDS)
    return sum(rates(before, counted(port)).analysed.values())


def wait_for_all(daemon: Daemon, port: int) -> None:
    daemon.wait_for_log("first frame")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len([frames for frames in counted(port).analysed.values() if frames]) < len(CAMERAS):
        if time.monotonic() > deadline:
            raise RuntimeError(f"not all cameras give frames: {daemon.log}")
        time.sleep(0.5)


def told(received: Sequence[Received]) -> list[Received]:
    """The messages of events; not of the end of one, which tells of an earlier frame."""
    events = [m for m in received if m.topic.startswith("streamwatch/events/")]
    return [message for message in events if message.json["type"] != "end"]


def events_of(received: Sequence[Received]) -> list[Mapping[str, Any]]:
    return [m.json for m in received if m.topic.startswith(f"streamwatch/events/{STREET}/")]


def arrived_after(message: Received) -> float:
    """Seconds from the frame's capture to the message's arrival at the subscriber."""
    clock = time.time() - time.monotonic()
    return message.at_seconds + clock - captured(message.json)


def captured(event: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(event["captured_at"]).timestamp()


def visits(events: Sequence[Mapping[str, Any]], began: float, ended: float) -> tuple[int, int]:
    """Visits that were told, and those there were, in passes between these times (since 1970)."""
    by_pass: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    starts = [captured(event) - event["position"] for event in events if event["type"] == "new"]
    if not starts:
        raise RuntimeError("nothing was told")
    for event in events:
        number = round((captured(event) - event["position"] - starts[0]) / CLIP_SECONDS)
        by_pass[number].append(event)
    scores = [
        score(street(), mine)
        for number, mine in by_pass.items()
        if began <= starts[0] + number * CLIP_SECONDS
        and starts[0] + (number + 1) * CLIP_SECONDS <= ended
    ]
    missed = sum(len(each.missed) for each in scores)
    there = len(street().visits) * len(scores)
    return there - missed, there


def shown(result: Result) -> Table:
    table = Table(title=f"{len(CAMERAS)} cameras, {result.rates.too_much:.1f} x too much")
    table.add_column("")
    table.add_column("", justify="right")
    table.add_row("frames a second that the detector took of all", f"{result.detector_fps:.1f}")
    table.add_section()
    for name in CAMERAS:
        got, due = result.rates.analysed[name], result.rates.due[name]
        table.add_row(f"{name}, frames analysed of those due, a second", f"{got:.2f} of {due:.2f}")
    table.add_row(
        f"largest deviation of a share from their mean (goal {GOAL:.0%})",
        f"{result.rates.deviation:.1%}",
    )
    table.add_section()
    table.add_row("visits that were told", "{} of {}".format(*result.visits))
    p50, p95 = np.percentile(np.array(result.arrived_after_seconds) * 1000, [50, 95])
    for what, middle, most in (
        ("P/stats", result.latency["p50"], result.latency["p95"]),
        ("at a subscriber", p50, p95),
    ):
        row = f"ms from capture to event, {what}: p50, p95"
        table.add_row(row, f"{middle:.0f}, {most:.0f}")
    table.add_row("seconds from SIGTERM to exit", f"{result.stopped_after_seconds:.2f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mixed", action="store_true", help="cameras that differ in `fps`")
    mixed = parser.parse_args().mixed
    weights = {name: SLOW if mixed and turn % 2 else 1.0 for turn, name in enumerate(CAMERAS)}
    console = Console()
    console.print(shown(run({name: w / sum(weights.values()) for name, w in weights.items()})))
    console.print(machine())


if __name__ == "__main__":
    main()
