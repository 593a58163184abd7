"""Strangers at `http`: slow, many, and gone before they are answered.

    python -m tests.chaos.connections [--slow 1200] [--hang-ups 2000]

The real daemon analyses the clip in a loop. First as many connections as `--slow` are opened that
send half a request and stay; then as many as `--hang-ups` that leave at different moments, half of
them by a reset. Meanwhile `streamwatch status` and `/healthz` are asked again and again. Printed
are the most descriptors of the daemon, the lines that it logged besides the camera's, and who was
answered. The exit code is 1 if anybody was not, a line was logged, strangers had more descriptors
than they may, or the daemon did not stop with 0.
"""

from __future__ import annotations

import argparse
import platform
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from streamwatch.web.connection import MOST_CONNECTIONS, REQUEST_SECONDS
from streamwatch.web.server import ACCEPTED_AT_ONCE
from tests.parts import STREET_CLIP, free_port
from tests.parts.daemon import Daemon, private_environment
from tests.parts.mosquitto import Mosquitto, Subscriber

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
RESET = struct.pack("ii", 1, 0)
JUST_ACCEPTED = 4 * ACCEPTED_AT_ONCE
"""Descriptors of connections that are on their way to being looked at, or to being closed."""
SAMPLE_SECONDS = 0.01
PATIENCE_SECONDS = 30.0


@dataclass
class Seen:
    """What was found meanwhile; each `answered` of as many as were `asked`."""

    descriptors: int = 0
    healthz_asked: int = 0
    healthz_answered: int = 0
    slowest_seconds: float = 0.0
    status_asked: int = 0
    status_answered: int = 0


def configuration(broker: Mosquitto, port: int) -> dict[str, Any]:
    return {
        "mqtt": {"host": broker.host, "port": broker.port},
        "detector": {"model": "toybox"},
        "cameras": {"street": {"url": str(STREET_CLIP), "loop": True}},
        "watches": {"car": {"prompt": "red car", "snapshot": False}},
        "http": {"port": port},
    }


def healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def status_answers(daemon: Daemon) -> bool:
    asking = [sys.executable, "-m", "streamwatch", "status", "-c", str(daemon.config)]
    environment = private_environment(daemon.folder)
    done = subprocess.run(asking, env=environment, capture_output=True, check=False)
    return done.returncode == 0


@contextmanager
def watched(daemon: Daemon, port: int, seen: Seen) -> Iterator[None]:
    """Ask and count in three threads while the `with` block lasts."""
    ended = threading.Event()

    def count() -> None:
        process = psutil.Process(daemon.process.pid)
        while not ended.wait(SAMPLE_SECONDS):
            seen.descriptors = max(seen.descriptors, process.num_fds())

    def ask_healthz() -> None:
        while not ended.wait(0.2):
            began = time.monotonic()
            seen.healthz_asked += 1
            seen.healthz_answered += healthy(port)
            seen.slowest_seconds = max(seen.slowest_seconds, time.monotonic() - began)

    def ask_status() -> None:
        while not ended.wait(1):
            seen.status_asked += 1
            seen.status_answered += status_answers(daemon)

    threads = [threading.Thread(target=each) for each in (count, ask_healthz, ask_status)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def connected(port: int, sent: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
    with suppress(ConnectionResetError, BrokenPipeError):  # it was sent away already
        client.sendall(sent)
    return client


def wear(port: int, slow: int, hang_ups: int) -> None:
    with ExitStack() as held:
        for number in range(slow):
            held.enter_context(connected(port, REQUEST[: number % len(REQUEST)]))
        time.sleep(REQUEST_SECONDS + 1)
    for number in range(hang_ups):
        client = connected(port, REQUEST[: number % (len(REQUEST) + 1)])
        if number % 2:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slow", type=int, default=1200)
    parser.add_argument("--hang-ups", type=int, default=2000)
    arguments = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    port = free_port()
    with (
        tempfile.TemporaryDirectory() as folder,
        Mosquitto() as broker,
        Subscriber(broker.port, "streamwatch/#") as subscriber,
        # The usual limit, whatever this shell's is.
        Daemon(
            Path(folder), configuration(broker, port), within=("prlimit", "--nofile=1024:1024")
        ) as daemon,
    ):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
        subscriber.wait_for_payload("streamwatch/state/street/car", b"ON", 120)
        process = psutil.Process(daemon.process.pid)
        calm, lines = process.num_fds(), daemon.log.count("\n")
        seen = Seen()
        with watched(daemon, port, seen):
            wear(port, arguments.slow, arguments.hang_ups)
        logged = [line for line in daemon.log.splitlines()[lines:] if " street: " not in line]
        afterwards = healthy(port)
        with connected(port, b"GET "):  # one that holds on to the end
            began = time.monotonic()
            code = daemon.terminate()
            stopped_after = time.monotonic() - began
    console = Console()
    table = Table(title=f"{arguments.slow} slow, {arguments.hang_ups} gone", show_header=False)
    table.add_row("descriptors before", str(calm))
    table.add_row("most descriptors", str(seen.descriptors))
    table.add_row("lines logged", str(len(logged)))
    table.add_row("/healthz answered", f"{seen.healthz_answered} of {seen.healthz_asked}")
    table.add_row("slowest /healthz", f"{seen.slowest_seconds:.2f} s")
    table.add_row("/healthz afterwards", "answered" if afterwards else "no answer")
    table.add_row("status answered", f"{seen.status_answered} of {seen.status_asked}")
    table.add_row("exit code", f"{code}, after {stopped_after:.1f} s")
    console.print(table)
    for line in logged[:10]:
        console.print(f"logged: {line}", soft_wrap=True, markup=False)
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")
    answered = (seen.healthz_answered, seen.status_answered) == (
        seen.healthz_asked,
        seen.status_asked,
    )
    bounded = seen.descriptors <= calm + MOST_CONNECTIONS + JUST_ACCEPTED
    return int(bool(logged or code) or not (answered and afterwards and bounded))


if __name__ == "__main__":
    sys.exit(main())
