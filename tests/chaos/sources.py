"""A camera with every fault that cameras have, beside one without faults.

    python -m tests.chaos.sources

Each fault is applied to a real RTSP server while the project's own capture reads it. Printed are
the seconds from the server's return to the first frame, and the other camera's frames a second
meanwhile. The exit code is 1 if a reconnect took more than 5 s, or the other camera lost a tenth of
its frames.
"""

from __future__ import annotations

import logging
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.source import Capture, Slot
from tests.parts.rtsp import RtspServer
from tests.source.peers import garbage_peer, mute_peer

AWAY_SECONDS = 12.0
"""How long each fault lasts: longer than any timeout of ours."""
RETURN_SECONDS = 5.0
FPS = 15


def killed(server: RtspServer) -> None:
    server.kill()
    time.sleep(AWAY_SECONDS)
    server.start()


def frozen(server: RtspServer) -> None:
    server.freeze()
    time.sleep(AWAY_SECONDS)
    server.thaw()


def another_size(server: RtspServer) -> None:
    server.size = (1280, 720) if server.size == (640, 360) else (640, 360)
    server.restart()


def another_codec(server: RtspServer) -> None:
    server.codec = "jpeg" if server.codec == "h264" else "h264"
    server.restart()


def garbage(server: RtspServer) -> None:
    server.kill()
    with garbage_peer(server.port):
        time.sleep(AWAY_SECONDS)
    server.start()


def mute(server: RtspServer) -> None:
    server.kill()
    with mute_peer(server.port):
        time.sleep(AWAY_SECONDS)
    server.start()


FAULTS: dict[str, Callable[[RtspServer], None]] = {
    "killed": killed,
    "frozen (SIGSTOP)": frozen,
    "restarted with another size": another_size,
    "restarted with another codec": another_codec,
    "garbage bytes on the port": garbage,
    "a peer that never answers": mute,
}


@contextmanager
def captured(name: str, server: RtspServer) -> Iterator[Capture]:
    capture = Capture(
        name,
        CameraSettings(url=server.url),
        slot=Slot(threading.Condition()),
        due=lambda _: True,
        on_problem=lambda _: None,
    )
    capture.start()
    try:
        yield capture
    finally:
        capture.stop()


def frames(capture: Capture) -> int:
    return capture.counts(time.monotonic()).frames


def steady(capture: Capture) -> None:
    """Wait until frames have come for two seconds."""
    while True:
        before = frames(capture)
        time.sleep(2)
        if frames(capture) - before > FPS:
            return


def main() -> int:
    logging.disable()
    table = Table(title=f"each fault for {AWAY_SECONDS:.0f} s, where it lasts")
    for heading in ("fault", "from its return to the first frame", "the other camera"):
        table.add_column(heading, justify="left" if heading == "fault" else "right")
    bad = False
    with (
        RtspServer(fps=FPS) as worn_server,
        RtspServer(fps=FPS) as well_server,
        captured("worn", worn_server) as worn,
        captured("well", well_server) as well,
    ):
        for title, fault in FAULTS.items():
            steady(worn)
            steady(well)
            began, before = time.monotonic(), frames(well)
            fault(worn_server)
            returned, gone = time.monotonic(), frames(worn)
            while frames(worn) == gone:
                time.sleep(0.01)
            now = time.monotonic()
            rate = (frames(well) - before) / (now - began)
            bad |= now - returned > RETURN_SECONDS or rate < 0.9 * FPS
            table.add_row(title, f"{now - returned:.1f} s", f"{rate:.1f} frames a second")
    console = Console()
    console.print(table)
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
