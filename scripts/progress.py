"""Run a command of pip with a bar in the place of its output, which goes to the end of a log.

    python progress.py LOG MEGABYTES COMMAND…

MEGABYTES is about what it downloads. pip must be told `--progress-bar raw`. If the command fails,
the end of the log is shown; the exit code is the command's.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

END_LINES = 15
"""So many lines of the log tell what went wrong."""
BAR_WIDTH = 24
LOOK_SECONDS = 0.5
"""pip doesn't tell how far it has unpacked; it shows in the folder of packages."""

FILE = re.compile(r"\s+(?:Downloading|Using cached) (?:\S*/)?(\S+) \(([0-9.]+) (bytes|kB|MB|GB)\)")
PROGRESS = re.compile(r"Progress (\d+) of (\d+)$")
INSTALLING = "Installing collected packages: "
UNITS = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}


class Bar:
    """One line that is drawn again and again; a line for each tenth where there is no terminal."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._tenth = 0

    def draw(self, share: float, text: str) -> None:
        full = min(int(share * BAR_WIDTH), BAR_WIDTH)
        line = f"   [{'#' * full}{'-' * (BAR_WIDTH - full)}] {text}"
        if self._is_terminal:
            print(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)
        elif int(share * 10) > self._tenth:
            self._tenth = int(share * 10)
            print(line, flush=True)

    def clear(self) -> None:
        self._tenth = 0
        if self._is_terminal:
            print("\r\x1b[K", end="", flush=True)


class Download:
    """What pip has downloaded, or found in its cache, by the lines that it prints."""

    def __init__(self, about_bytes: float) -> None:
        self._about = about_bytes
        self._done = 0.0
        self._size = 0.0
        self._file = ""

    def take(self, line: str, bar: Bar) -> None:
        if progress := PROGRESS.match(line):
            self._draw(bar, float(progress[1]))
            return
        self._done, self._size = self._done + self._size, 0.0
        if file := FILE.match(line):
            self._file, self._size = file[1].split("-")[0], float(file[2]) * UNITS[file[3]]
            self._draw(bar, 0.0)

    def _draw(self, bar: Bar, of_file: float) -> None:
        done = self._done + of_file
        about = max(self._about, done)
        text = f"{done / 1e9:.1f} of about {about / 1e9:.1f} GB: {self._file}"
        bar.draw(done / about if about else 0.0, text)


def unpack(names: list[str], bar: Bar, over: threading.Event) -> None:
    """Draw how many of the packages are there, in the order in which pip installs them."""
    folder = Path(sysconfig.get_path("purelib"))
    before = len(list(folder.glob("*.dist-info")))
    while not over.wait(LOOK_SECONDS):
        done = len(list(folder.glob("*.dist-info"))) - before
        number = min(max(done, 0), len(names) - 1)
        bar.draw(number / len(names), f"unpacking {number + 1} of {len(names)}: {names[number]}")


def run(command: list[str], log: Path, about_bytes: float) -> int:
    """Run it and return its exit code."""
    bar, download, over = Bar(), Download(about_bytes), threading.Event()
    with (
        log.open("a") as file,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            download.take(line, bar)
            if not PROGRESS.match(line):
                file.write(line)
                file.flush()
            if line.startswith(INSTALLING):
                bar.clear()
                names = line.removeprefix(INSTALLING).strip().split(", ")
                threading.Thread(target=unpack, args=(names, bar, over), daemon=True).start()
    over.set()
    bar.clear()
    return process.returncode


def main() -> None:
    log, megabytes, command = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    try:
        code = run(command, log, megabytes * 1e6)
    except KeyboardInterrupt:  # pip gets it too
        sys.exit(f"\n== Stopped; the same command goes on. The log is {log}")
    if code:
        lines = log.read_text(errors="replace").splitlines()[-END_LINES:]
        print(f"== Failed: {' '.join(command)}", file=sys.stderr)
        print(*(f"   {line}" for line in lines), sep="\n", file=sys.stderr)
        print(f"== The whole log is {log}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
