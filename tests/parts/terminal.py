"""A program in a terminal: what it writes there, and what the screen shows of it."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte

from tests.parts.daemon import PATIENCE_SECONDS

SCROLLBACK_LINES = 10_000
ATTRIBUTES_ASKED = b"\x1b[c"
KITTY_ASKED = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
CELL_SIZE_ASKED = b"\x1b[16t"
SIXEL_TERMINAL = {ATTRIBUTES_ASKED: b"\x1b[?62;4;22c"}
KITTY_TERMINAL = {KITTY_ASKED: b"\x1b_Gi=31;OK\x1b\\", ATTRIBUTES_ASKED: b"\x1b[?62;c"}
PLAIN_TERMINAL = {ATTRIBUTES_ASKED: b"\x1b[?1;2c"}


class Terminal:
    """A program that reads from a terminal and writes to it, while its `with` block lasts.

    `answers` are what the terminal writes back to a question of the program. It may tell the
    program no `cell_pixels`, or no size at all, as one on a serial line.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        *,
        columns: int = 80,
        rows: int = 24,
        cell_pixels: tuple[int, int] = (8, 16),
        size_known: bool = True,
        answers: Mapping[bytes, bytes] = PLAIN_TERMINAL,
    ) -> None:
        self._command = command
        self._environment = {
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            **{k: v for k, v in environment.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")},
        }
        self._size = struct.pack(
            "HHHH", rows, columns, columns * cell_pixels[0], rows * cell_pixels[1]
        )
        if not size_known:
            self._size = bytes(len(self._size))
        self._answers = dict(answers)
        self._screen = pyte.HistoryScreen(columns, rows, history=SCROLLBACK_LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._written = b""
        self._changed = threading.Condition()

    @property
    def written(self) -> bytes:
        """All that the program has written, escape codes included."""
        with self._changed:
            return self._written

    @property
    def lines(self) -> list[str]:
        """What is on the screen, and above it what has scrolled out; empty lines are left out."""
        with self._changed:
            columns = range(self._screen.columns)
            above = ["".join(row[x].data for x in columns) for row in self._screen.history.top]
            return [line.rstrip() for line in (*above, *self._screen.display) if line.strip()]

    def wait_for(self, text: str) -> list[str]:
        """The lines, once one of them holds the text."""
        return self._wait(lambda: any(text in line for line in self.lines), text)

    def wait_for_bytes(self, part: bytes) -> bytes:
        self._wait(lambda: part in self.written, repr(part))
        return self.written

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def wait(self) -> int:
        """The exit code, once the program has ended and all that it wrote is here."""
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return code

    def _wait(self, is_so: Callable[[], object], what: str) -> list[str]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            with self._changed:
                is_over = not self._reader.is_alive()
                self._changed.wait(0.2)
            assert not is_over or is_so(), f"it ended without {what}: {self.lines}"
            assert time.monotonic() < deadline, f"no {what} in {self.lines}"
        return self.lines

    def __enter__(self) -> Self:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, self._size)
        self.process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE_SECONDS)
        os.close(self._ours)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 65_536)
            except OSError:  # the program has closed it
                data = b""
            with self._changed:
                self._written += data
                self._stream.feed(data)
                for question in [asked for asked in self._answers if asked in self._written]:
                    os.write(self._ours, self._answers.pop(question))
                self._changed.notify_all()
            if not data:
                return


def _take_terminal() -> None:
    """Make standard input the terminal of this new session, so that Ctrl-C reaches it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
