"""A newcomer's way, timed and pictured: clone, demo, init, check --connect, look, run, an alert.

    python -m benchmarks.first_hour --pictures docs/first-hour

Each command runs in a terminal of 80x24 and of 140x40 characters, in a clone with a home folder of
its own; the camera is the bundled clip from a real RTSP server, the broker a mosquitto. Needs the
packages that the tests run against, and DejaVu Sans Mono for the pictures.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyte
from PIL import Image, ImageDraw, ImageFont

from tests.parts import STREET_CLIP
from tests.parts.mosquitto import Mosquitto
from tests.parts.rtsp import RtspServer

SIZES = ((80, 24), (140, 40))
FONT = Path("/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf")
BOLD = FONT.with_name("DejaVuSansMono-Bold.ttf")
FONT_SIZE = 14
PATIENCE_SECONDS = 900.0
COLORS = {
    "default": "#d8dee9",
    "black": "#4c566a",
    "red": "#e06c75",
    "green": "#98c379",
    "brown": "#e5c07b",
    "blue": "#61afef",
    "magenta": "#c678dd",
    "cyan": "#56b6c2",
    "white": "#eceff4",
}
BACKGROUND = "#1e222a"


class Terminal:
    """A command in a terminal of its own, shown as it would be on the screen."""

    def __init__(
        self, command: str, size: tuple[int, int], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.command = command
        self._screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._screen)
        self._stream.feed(f"\x1b[1m$ {command}\x1b[0m\r\n".encode())
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self._master = master
        self._process = subprocess.Popen(
            ["bash", "-c", command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
        )
        os.close(slave)

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def read(self, seconds: float) -> bool:
        """Show what comes within this time; False at its end."""
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        try:
            content = os.read(self._master, 65_536)
        except OSError:  # the other end is closed
            return False
        self._stream.feed(content)
        return bool(content)

    def finish(self) -> int:
        """Show everything until the command ends; its exit code."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.read(0.2):
            if time.monotonic() > deadline:
                self._process.kill()
        return self._process.wait()

    def stop(self) -> None:
        """As Ctrl-C does."""
        with suppress(OSError):
            os.write(self._master, b"\x03")
        self._process.terminate()
        self.finish()

    def picture(self) -> Image.Image:
        font, bold = (ImageFont.truetype(str(path), FONT_SIZE) for path in (FONT, BOLD))
        width, height = font.getlength("m"), FONT_SIZE + 4
        columns, lines = self._screen.columns, self._screen.lines
        margin = 10
        image = Image.new(
            "RGB", (int(width * columns) + 2 * margin, height * lines + 2 * margin), BACKGROUND
        )
        draw = ImageDraw.Draw(image)
        for y in range(lines):
            for x in range(columns):
                char = self._screen.buffer[y][x]
                if char.data.strip():
                    color = COLORS.get(char.fg, f"#{char.fg}" if len(char.fg) == 6 else "#d8dee9")
                    place = margin + x * width, margin + y * height
                    draw.text(place, char.data, color, bold if char.bold else font)
        return image


@dataclass(frozen=True)
class Way:
    """Where one newcomer goes, and the terminals that he has seen."""

    size: tuple[int, int]
    home: Path
    environment: Mapping[str, str]
    shots: dict[str, Image.Image]
    seconds: dict[str, float]

    def run(self, name: str, command: str, folder: Path, expected: int = 0) -> Terminal:
        began = time.monotonic()
        terminal = Terminal(command, self.size, folder, self.environment)
        code = terminal.finish()
        self.seconds[name] = time.monotonic() - began
        self.shots[name] = terminal.picture()
        if code != expected:
            raise SystemExit(f"{command} ended with {code}:\n{terminal.text}")
        return terminal


def edited(text: str, camera: str, port: int) -> str:
    """The starter file as the newcomer leaves it: his camera, his broker, his words."""
    changes = {
        "host: localhost ": "host: 127.0.0.1 ",
        "# port: 1883 ": f"port: {port} ",
        "model: yolov8s-worldv2 ": "model: toybox ",
        "rtsp://192.168.1.20:554/stream1 ": f"{camera} ",
        "[[0.2, 0.5], [0.8, 0.5], [0.8, 1.0], [0.2, 1.0]]": "[[0, 0.9], [1, 0.9], [1, 1], [0, 1]]",
        "prompt: person ": "prompt: red car ",
    }
    for old, new in changes.items():
        if text.count(old) != 1:
            raise SystemExit(f"the starter file has changed: {old!r}")
        text = text.replace(old, new)
    return text


def walk(size: tuple[int, int], stack: ExitStack) -> Way:
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="first-hour-")))
    kept = {key: os.environ[key] for key in os.environ if key.startswith(("PIP_", "LANG"))}
    environment = {
        **kept,
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
    }
    way = Way(size, home, environment, {}, {})
    here = Path(__file__).parents[1]
    way.run("1-clone", f"git clone -q {here} streamwatch", home)
    clone = home / "streamwatch"
    way.run("2-demo", "make demo", clone)
    way.run("3-init", ".venv/bin/streamwatch init ~/streamwatch-home", clone)
    file = home / "streamwatch-home" / "config.yaml"
    camera = stack.enter_context(RtspServer(clip=STREET_CLIP))
    broker = stack.enter_context(Mosquitto())
    file.write_text(edited(file.read_text(), camera.url, broker.port))
    there = home / "streamwatch-home"
    program = "~/streamwatch/.venv/bin/streamwatch"
    way.run("4-check", f"{program} check --connect", there)
    way.run("5-look", f"{program} look porch", there)
    way.shots["5-look-picture"] = Image.open(there / "porch.jpg").copy()
    _alert(way, program, there, broker.port)
    return way


def _alert(way: Way, program: str, there: Path, port: int) -> None:
    began = time.monotonic()
    listening = Terminal(
        f"mosquitto_sub -p {port} -v -t 'streamwatch/events/#' -C 1",
        way.size,
        there,
        way.environment,
    )
    running = Terminal(f"{program} run", way.size, there, way.environment)
    deadline = began + PATIENCE_SECONDS
    try:
        while listening.read(0.1) and time.monotonic() < deadline:
            running.read(0.1)
        way.seconds["6-run-to-alert"] = time.monotonic() - began
        if '"type": "new"' not in listening.text.replace("\n", ""):
            raise SystemExit(f"no alert came:\n{running.text}\n{listening.text}")
        way.shots["6-run"] = running.picture()
        way.shots["7-alert"] = listening.picture()
    finally:
        running.stop()
        listening.stop()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pictures", type=Path, help="folder for the pictures")
    chosen: Any = parser.parse_args(arguments)
    times: dict[str, dict[str, float]] = {}
    for size in SIZES:
        with ExitStack() as stack:
            way = walk(size, stack)
            label = f"{size[0]}x{size[1]}"
            times[label] = way.seconds
            if chosen.pictures is not None:
                chosen.pictures.mkdir(parents=True, exist_ok=True)
                for name, shot in way.shots.items():
                    shot.quantize(64).save(chosen.pictures / f"{label}-{name}.png", optimize=True)
    print(f"machine: {os.cpu_count()} cores, Python {sys.version.split()[0]}")
    print(f"{'step':<16}" + "".join(f"{label:>10}" for label in times))
    for name in next(iter(times.values())):
        print(f"{name:<16}" + "".join(f"{seconds[name]:>8.1f} s" for seconds in times.values()))


if __name__ == "__main__":
    main(sys.argv[1:])
