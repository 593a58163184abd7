"""A daemon whose configuration file is damaged at random again and again.

    python -m tests.chaos.fuzzed_config [--mutations 1000] [--seed 1]

The file is the project's config.yaml, with a real broker, the clip in a loop and `near_misses`. A
mutation inserts text, deletes, repeats, swaps or indents lines, or cuts off the end. Each is saved
while the daemon runs. A mutation that still loads runs for a moment, then the right file is
restored. Printed are the alerts and the frames analysed before and meanwhile. The exit code is 1 if
the daemon ended, printed a traceback, sent no alerts for too long, or left an alert open.
"""

from __future__ import annotations

import argparse
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from streamwatch.config import load
from streamwatch.errors import ConfigError
from tests.parts.daemon import Daemon
from tests.parts.mosquitto import Mosquitto, Received, Subscriber

BITS = (
    *("{", "}", "[", "]", ":", "- ", "\t", "\n", '"', "'", "#", "&a ", "*a", "!!int ", "!x ", "|"),
    *("${X}", "${file:.}", "$$", "<<: ", "? ", "~", ".nan", "-.inf", "0x1f", "9" * 400, "true"),
    *("\x00", "é", "\u2028", "---\n", "%YAML 1.2\n", "null", "-1", "1e999", "auto"),
)
NOTICE_SECONDS = 0.3
"""The daemon reads a file once it hasn't changed for 0.1 s."""
CALM_SECONDS = 40.0
"""One pass of the clip."""
SILENCE_SECONDS = 20.0
"""Longer than the clip's longest time without an alert."""


def mutated(text: str, chance: random.Random) -> str:
    """`text` with one to four random changes."""
    for _ in range(chance.randint(1, 4)):
        lines = text.splitlines(keepends=True) or [""]
        at, other = (chance.randrange(len(lines)) for _ in range(2))
        match chance.randrange(7):
            case 0 | 1:
                start = chance.randrange(len(text) + 1)
                end = start + chance.randint(0, 30)
                text = text[:start] + chance.choice(BITS) + text[end:]
                continue
            case 2:
                del lines[at]
            case 3:
                lines.insert(at, lines[other])
            case 4:
                lines[at], lines[other] = lines[other], lines[at]
            case 5:
                lines[at] = chance.choice((" ", "  ", "")) + lines[at].lstrip(" ")
            case 6 if chance.random() < 0.2:
                lines = lines[:at]
        text = "".join(lines)
    return text


@dataclass(frozen=True)
class Stretch:
    """What arrived in a period of time."""

    seconds: float
    alerts: int
    longest_silence: float
    fps: Sequence[float]


def stretch(messages: Sequence[Received], since: float, until: float) -> Stretch:
    times = [
        m.at_seconds for m in messages if "/events/" in m.topic and since <= m.at_seconds <= until
    ]
    fps = [
        value
        for m in messages
        if m.topic.endswith("/stats") and since + 10 <= m.at_seconds <= until
        for camera in m.json["cameras"].values()
        if (value := camera["fps"]) is not None
    ]
    silence = max(later - earlier for earlier, later in pairwise([since, *times, until]))
    return Stretch(until - since, len(times), silence, fps)


def spoil(daemon: Daemon, right: str, count: int, chance: random.Random) -> Counter[str]:
    """How many of the mutations were loaded and how many refused."""
    outcomes: Counter[str] = Counter()
    probe = daemon.folder / "probe.yaml"
    for number in track(range(count), "spoiling", transient=True):
        content = mutated(right, chance).encode("utf-8", "surrogatepass")
        _save(daemon.config, content, in_place=number % 2 == 0)
        time.sleep(NOTICE_SECONDS)
        probe.write_bytes(content)
        try:
            load(probe)
        except ConfigError:
            outcomes["refused"] += 1
        else:
            outcomes["loaded"] += 1
            _save(daemon.config, right.encode(), in_place=False)
            time.sleep(NOTICE_SECONDS)
        if daemon.process.poll() is not None:
            break
    return outcomes


def _save(path: Path, content: bytes, *, in_place: bool) -> None:
    if in_place:
        path.write_bytes(content)
    else:
        new = path.with_suffix(".new")
        new.write_bytes(content)
        new.replace(path)


def configuration(broker: Mosquitto) -> str:
    text = Path("config.yaml").read_text()
    for before, now in (
        ("embedded: true ", f"host: {broker.host} "),
        ("port: 0 ", f"port: {broker.port} "),
        ("pace: false ", "loop: true "),
    ):
        assert before in text
        text = text.replace(before, now)
    return text + "near_misses: {path: missed, a_day: 5, keep: 1d, max_size: 10MB}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Mosquitto() as broker:
        right = configuration(broker)
        prepared = Daemon(Path(folder), {})
        prepared.config.write_text(right)
        with Subscriber(broker.port, "#") as subscriber, prepared as daemon:
            subscriber.wait_for(lambda _: subscriber.of("streamwatch/cameras/street/status"), 60)
            began = time.monotonic()
            time.sleep(CALM_SECONDS)
            spoiling = time.monotonic()
            outcomes = spoil(daemon, right, arguments.mutations, random.Random(arguments.seed))
            _save(daemon.config, right.encode(), in_place=False)
            repaired = time.monotonic()
            time.sleep(CALM_SECONDS)
            ended = time.monotonic()
            code = daemon.process.poll()
            if code is None:
                code = daemon.terminate()
            time.sleep(1)
            messages = subscriber.received
        log = daemon.log
    return report(messages, [began, spoiling, repaired, ended], outcomes, log, code)


def report(
    messages: Sequence[Received],
    moments: Sequence[float],
    outcomes: Counter[str],
    log: str,
    code: int,
) -> int:
    """Print the results and return the exit code."""
    console = Console()
    table = Table(title=", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()))
    for heading in ("", "seconds", "alerts", "longest silence", "analysed/s"):
        table.add_column(heading, justify="right")
    silent = False
    for name, since, until in zip(
        ("before", "spoiled", "repaired"), moments[:-1], moments[1:], strict=True
    ):
        one = stretch(messages, since, until)
        silent |= one.longest_silence > SILENCE_SECONDS
        rate = f"{sum(one.fps) / len(one.fps):.2f}" if one.fps else "-"
        table.add_row(
            name, f"{one.seconds:.0f}", str(one.alerts), f"{one.longest_silence:.1f} s", rate
        )
    console.print(table)
    steps = Counter(
        (m.json["id"], m.json["type"]) for m in messages if "/events/" in m.topic and m.payload
    )
    news = [visit for visit, kind in steps if kind == "new"]
    unended = [visit for visit in news if steps[visit, "end"] != 1]
    doubled = [visit for visit in news if steps[visit, "new"] != 1]
    tracebacks = log.count("Traceback")
    console.print(
        f"{len(news)} visits, {len(unended)} without exactly one end, {len(doubled)} told twice;"
        f" tracebacks: {tracebacks}; exit code {code}; lines in the log: {log.count(chr(10))}"
    )
    if tracebacks:
        console.print(log[log.index("Traceback") :][:2000], markup=False)
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")
    return int(bool(unended or doubled or tracebacks or code or silent))


if __name__ == "__main__":
    sys.exit(main())
