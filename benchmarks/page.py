"""What the page costs: the detector's rate and the CPU with nobody looking, one, and ten.

    python -m benchmarks.page [--quick] [--pictures FOLDER]

The whole daemon with `toybox`, eight watches and a real broker; those who look are WebSockets in
another process on the same machine, which take each picture and ask for the next, as a browser
does, without drawing it.

- live: four cameras at 5 fps in real time, seen as tiles 480 px wide.
- saturated: one file as fast as the detector goes, seen 960 px wide, so that the page and the
  detector compete for the processor.

With none, one and ten in turns; medians of the turns and the ratio to none. Then how long it takes
from opening the page to its first picture, and what the daemon's memory is after 1,000 openings.

`--pictures` takes pictures of the page with Chromium instead, for docs/page.md.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import re
import shutil
import statistics
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlencode

import psutil
from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.progress import track as progress
from rich.table import Table
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from benchmarks.daemon import machine
from benchmarks.visits import PRESENT
from streamwatch.paths import cache_dir
from tests.parts import free_port
from tests.parts.browser import PROGRAMS
from tests.parts.compiled import compile_toybox
from tests.parts.daemon import Daemon
from tests.parts.mosquitto import Mosquitto

TOKEN = "benchmark"
LOOKING = (0, 1, 10)
GOAL = 0.03
"""How much less the detector may look at while people look, as a share."""
TURNS, TURN_SECONDS = 5, 12.0
SETTLE_SECONDS = 3.0
OPENINGS, BEFORE = 1000, 600
"""Openings of the page, and those before, after which memory is measured first: the daemon alone
grows by 25 MB in its first minute."""
FIRST_PICTURES = 30
ANALYSED = re.compile(r'^streamwatch_camera_frames_analysed_total\{camera=".+"\} (\S+)$', re.M)


@dataclass(frozen=True, slots=True)
class Scene:
    """Cameras, and how wide each is seen."""

    title: str
    cameras: Mapping[str, Any]
    width: int


CLIP = {"url": "bundled:street", "loop": True, "motion": "off"}
SCENES = (
    Scene("live: 4 cameras at 5 fps", {f"street-{n}": CLIP | {"fps": 5} for n in range(4)}, 480),
    Scene("saturated: one file", {"street": CLIP | {"pace": False, "fps": 120}}, 960),
)


@contextmanager
def running(scene: Scene) -> Iterator[tuple[Daemon, int]]:
    compile_toybox(cache_dir() / "compiled")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker, port = stack.enter_context(Mosquitto()), free_port()
        settings = {
            "mqtt": {"host": broker.host, "port": broker.port},
            "http": {"port": port, "token": TOKEN},
            "detector": {"model": "toybox"},
            "cameras": dict(scene.cameras),
            "watches": {word.replace(" ", "-"): {"prompt": word} for word in PRESENT},
            "snapshots": {"path": str(folder / "snapshots")},
        }
        daemon = stack.enter_context(Daemon(folder, settings))
        daemon.wait_for_log("first frame")
        time.sleep(SETTLE_SECONDS)
        yield daemon, port


def analysed(port: int) -> float:
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return sum(map(float, ANALYSED.findall(answer.read().decode())))


def cpu_seconds(daemon: Daemon) -> float:
    times = psutil.Process(daemon.process.pid).cpu_times()
    return times.user + times.system


# --- those who look ------------------------------------------------------------------------------


def logged_in(port: int) -> str:
    """The cookie of a session."""
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    body = urlencode({"token": TOKEN})
    asking.request("POST", "/login", body, {"Origin": f"http://127.0.0.1:{port}"})
    cookie = asking.getresponse().getheader("Set-Cookie", "")
    asking.close()
    return cookie.partition(";")[0]


def connected(port: int, cookie: str) -> ClientConnection:
    return connect(
        f"ws://127.0.0.1:{port}/live",
        additional_headers={"Cookie": cookie, "Origin": f"http://127.0.0.1:{port}"},
        compression=None,
        proxy=None,
    )


def camera_of(message: bytes) -> str:
    length = int.from_bytes(message[:4], "big")
    camera: str = json.loads(message[4 : 4 + length])["camera"]
    return camera


def look(port: int, cookie: str, widths: Mapping[str, int], pictures: list[int]) -> None:
    with connected(port, cookie) as socket:
        socket.send(json.dumps({"look": dict(widths)}))
        try:
            for message in socket:
                if isinstance(message, bytes):
                    pictures.append(len(message))
                    socket.send(json.dumps({"next": camera_of(message)}))
        except ConnectionClosed:
            return


def lookers(
    port: int, count: int, widths: Mapping[str, int], seconds: float, ready: Event, told: Any
) -> None:
    """In a process of their own; `told` gets pictures and bytes a second of one of them."""
    cookie = logged_in(port)
    seen: list[list[int]] = [[] for _ in range(count)]
    for pictures in seen:
        Thread(target=look, args=(port, cookie, widths, pictures), daemon=True).start()
    time.sleep(SETTLE_SECONDS)
    before = [len(pictures) for pictures in seen]
    ready.set()
    time.sleep(seconds)
    new = [pictures[first:] for first, pictures in zip(before, seen, strict=True)]
    told.send((sum(map(len, new)) / count / seconds, sum(map(sum, new)) / count / seconds))


# --- rate and CPU --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Turn:
    """Frames the detector looked at a second, the daemon's CPU seconds a second, and what one who
    looks got a second."""

    rate: float
    cpu: float
    pictures: float
    bytes: float


def turn(daemon: Daemon, port: int, scene: Scene, count: int, seconds: float) -> Turn:
    ready = multiprocessing.Event()
    ours, theirs = multiprocessing.Pipe()
    process = None
    if count:
        widths = dict.fromkeys(scene.cameras, scene.width)
        process = multiprocessing.Process(
            target=lookers, args=(port, count, widths, seconds, ready, theirs)
        )
        process.start()
        ready.wait(60)
    frames, cpu, began = analysed(port), cpu_seconds(daemon), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    rate, share = (analysed(port) - frames) / took, (cpu_seconds(daemon) - cpu) / took
    pictures = bytes_ = 0.0
    if process is not None:
        pictures, bytes_ = ours.recv()
        process.join()
    return Turn(rate, share, pictures, bytes_)


def measured(scene: Scene, turns: int, seconds: float) -> Table:
    found: dict[int, list[Turn]] = defaultdict(list)
    with running(scene) as (daemon, port):
        for number in progress(range(turns), scene.title, transient=True):
            order = LOOKING if number % 2 == 0 else LOOKING[::-1]
            for count in order:
                found[count].append(turn(daemon, port, scene, count, seconds))
    table = Table(title=scene.title)
    table.add_column("who look")
    for title in ("frames a second", "ratio", "CPU s/s", "more", "pictures a second, each", "kB/s"):
        table.add_column(title, justify="right")
    first = found[0]
    for count in LOOKING:
        mine = found[count]
        rate, cpu = median(mine, "rate"), median(mine, "cpu")
        table.add_row(
            str(count),
            f"{rate:.2f}",
            f"{rate / median(first, 'rate'):.3f}",
            f"{cpu:.3f}",
            f"{cpu - median(first, 'cpu'):+.3f}",
            f"{median(mine, 'pictures'):.1f}",
            f"{median(mine, 'bytes') / 1000:.0f}",
        )
    table.caption = f"goal: a ratio of {1 - GOAL:.2f} or more"
    return table


def median(turns: Sequence[Turn], what: str) -> float:
    return statistics.median(float(getattr(each, what)) for each in turns)


# --- opening it ----------------------------------------------------------------------------------


def opened(port: int, cookie: str, widths: Mapping[str, int]) -> float:
    """Seconds from asking for the page to the first picture."""
    began = time.monotonic()
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    asking.request("GET", "/", headers={"Cookie": cookie})
    asking.getresponse().read()
    asking.close()
    with connected(port, cookie) as socket:
        socket.send(json.dumps({"look": dict(widths)}))
        for message in socket:
            if isinstance(message, bytes):
                break
    return time.monotonic() - began


def openings(scene: Scene, count: int, before: int) -> Table:
    with running(scene) as (daemon, port):
        cookie, process = logged_in(port), psutil.Process(daemon.process.pid)
        widths = dict.fromkeys(scene.cameras, scene.width)
        first = [opened(port, cookie, widths) for _ in range(FIRST_PICTURES)]
        for _ in range(before):
            opened(port, cookie, widths)
        memory, threads = process.memory_info().rss, process.num_threads()
        descriptors = process.num_fds()
        for _ in progress(range(count), "opening", transient=True):
            opened(port, cookie, widths)
        time.sleep(SETTLE_SECONDS)
        table = Table(title=f"opening the page, {scene.title}")
        table.add_column("")
        table.add_column("", justify="right")
        ms = sorted(seconds * 1000 for seconds in first)
        table.add_row(
            "ms to the first picture: median, most", f"{ms[len(ms) // 2]:.0f}, {ms[-1]:.0f}"
        )
        after = process.memory_info().rss
        more = f"{after / 1e6:.1f} ({(after - memory) / 1e6:+.1f})"
        table.add_row("MB before", f"{memory / 1e6:.1f}")
        table.add_row(f"MB after {count:,} openings", more)
        more = f"{process.num_threads() - threads}, {process.num_fds() - descriptors}"
        table.add_row("threads, descriptors more", more)
        return table


# --- pictures ------------------------------------------------------------------------------------

SHOWN = Scene(
    "shown",
    {
        "street": {
            "name": "Street",
            "url": "bundled:street",
            "loop": True,
            "zones": {"pavement": [[0, 0.9], [1, 0.9], [1, 1], [0, 1]]},
        },
        "side": {"name": "Side street", "url": "bundled:street", "loop": True},
        "garden": {"name": "Garden", "url": "rtsp://127.0.0.1:9/garden"},
    },
    640,
)
ALERTS_SECONDS = 42.0
"""A pass over the clip, so that there are alerts."""
SCREENS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1200, "height": 760}},
    "phone": {
        "viewport": {"width": 390, "height": 780},
        "device_scale_factor": 1.5,
        "is_mobile": True,
        "has_touch": True,
    },
    "dark": {"viewport": {"width": 1200, "height": 760}, "color_scheme": "dark"},
}


def pictures(folder: Path) -> None:
    program = next(filter(None, map(shutil.which, PROGRAMS)))
    folder.mkdir(parents=True, exist_ok=True)
    with running(SHOWN) as (_, port), sync_playwright() as playwright:
        time.sleep(ALERTS_SECONDS)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for screen, options in SCREENS.items():
            context = browser.new_context(**options)
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{port}/")
            page.get_by_label("Token").fill(TOKEN)
            page.get_by_role("button", name="Log in").click()
            page.get_by_label("Zones").check()
            page.wait_for_selector("svg .mark")
            take(page, folder / f"cameras-{screen}.jpg")
            if screen != "dark":
                page.goto(f"http://127.0.0.1:{port}/alerts")
                take(page, folder / f"alerts-{screen}.jpg")
                draw(page, port)
                take(page, folder / f"camera-{screen}.jpg")
                page.goto(f"http://127.0.0.1:{port}/words?camera=street&words=truck,%20red%20car")
                page.wait_for_selector("camera-view svg .mark")
                page.wait_for_timeout(9000)
                take(page, folder / f"words-{screen}.jpg")
            page.goto(f"http://127.0.0.1:{port}/watches/red-car")
            take(page, folder / f"watch-{screen}.jpg")
            context.close()
        browser.close()


def take(page: Page, to: Path) -> None:
    page.screenshot(path=to, type="jpeg", quality=82)


def draw(page: Page, port: int) -> None:
    """A zone with its corners, not saved."""
    page.goto(f"http://127.0.0.1:{port}/cameras/street")
    page.wait_for_selector("camera-view[data-shots]")
    page.get_by_role("button", name="New zone").click()
    box = page.locator("camera-view").bounding_box()
    assert box is not None
    for x, y in ((0.3, 0.55), (0.75, 0.55), (0.85, 0.8), (0.2, 0.8), (0.3, 0.55)):
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.get_by_label("Name of the zone").fill("crossing")
    page.get_by_label("Name of the zone").press("Enter")
    page.wait_for_selector("#save:enabled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="little time, with figures to match")
    parser.add_argument("--pictures", type=Path, help="take pictures of the page instead")
    asked = parser.parse_args()
    quick = asked.quick
    if asked.pictures is not None:
        pictures(asked.pictures)
        return
    console = Console()
    for scene in SCENES:
        console.print(measured(scene, 1 if quick else TURNS, 4.0 if quick else TURN_SECONDS))
    console.print(openings(SCENES[0], 50 if quick else OPENINGS, 10 if quick else BEFORE))
    console.print(machine())


if __name__ == "__main__":
    main()
