"""A disk that becomes full while the broker is stopped, and later has room again.

    python -m tests.chaos.disk

The daemon's state (outbox, snapshots, last good file) is on a tmpfs of 8 MB, in a mount namespace
of its own (util-linux' `unshare`, no root needed where user namespaces are allowed). The broker is
stopped, the disk filled to the last byte, alerts go on, the disk is cleared, the broker restarted.
Printed is what arrived. The exit code is 1 if an alert was lost, the daemon ended or printed a
traceback, or no error reported the full disk.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.chaos.delivery import configuration, judged
from tests.parts.daemon import Daemon
from tests.parts.mosquitto import Mosquitto, Subscriber

SIZE = "8m"
FULL_SECONDS = 20.0


def fill(folder: Path) -> Path:
    """Fill the disk with one file."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return filler


def wear(folder: Path) -> tuple[dict[str, Any], list[str], str, int]:
    """The counts of what arrived, the messages of `P/errors`, the log and the exit code."""
    small = folder / "state" / "xdg-state"
    (folder / "state").mkdir()
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(small)], check=True)
    with (
        Mosquitto() as broker,
        Subscriber(broker.port, "streamwatch/#", client_id="consumer") as subscriber,
        Daemon(folder / "state", configuration(broker)) as daemon,
    ):

        def alerts() -> list[dict[str, Any]]:
            return [m.json for m in subscriber.received if "/events/" in m.topic]

        subscriber.wait_for(lambda _: len(alerts()) > 20, 120)
        broker.stop()
        time.sleep(3)
        filler = fill(small)
        time.sleep(FULL_SECONDS)
        filler.unlink()
        time.sleep(5)
        broker.start()
        known = len(alerts())
        subscriber.wait_for(lambda _: len(alerts()) > known + 100, 60)
        time.sleep(5)
        code = daemon.process.poll()
        if code is None:
            code = daemon.terminate()
        time.sleep(5)
        errors = [m.json["message"] for m in subscriber.received if m.topic.endswith("/errors")]
        return judged(alerts()), errors, daemon.log, code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    if not parser.parse_args().inside:
        again = [sys.executable, "-m", "tests.chaos.disk", "--inside"]
        os.execvp("unshare", ["unshare", "--user", "--map-root-user", "--mount", *again])
    with tempfile.TemporaryDirectory() as folder:
        found, errors, log, code = wear(Path(folder))
        subprocess.run(["umount", str(Path(folder) / "state" / "xdg-state")], check=True)
    console = Console()
    table = Table(title=f"full for {FULL_SECONDS:.0f} s, the broker away", show_header=False)
    for what, number in found.items():
        table.add_row(what, str(number))
    table.add_row("tracebacks", str(log.count("Traceback")))
    table.add_row("exit code", str(code))
    console.print(table)
    full = [error for error in errors if "disk is full" in error or "No space" in error]
    for error in dict.fromkeys(errors):
        console.print(f"told: {error}", soft_wrap=True, markup=False)
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")
    lost = found["lost"] or found["without one end"] or found["out of order"]
    return int(bool(lost or code or "Traceback" in log or not full))


if __name__ == "__main__":
    sys.exit(main())
