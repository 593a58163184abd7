"""Chromium without a window: what a page holds once its scripts have run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.parts import missing
from tests.parts.daemon import PATIENCE_SECONDS

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
NETWORK = ("--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9")
"""Nothing is reached, whatever a page asks for."""


class Browser:
    """`folder` is for its profile."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder

    def dom(self, page: Path) -> str:
        """The page's HTML after its scripts."""
        return self._run(page, "--dump-dom").stdout

    def errors(self, page: Path) -> list[str]:
        """What its scripts write to the console."""
        done = self._run(page, "--enable-logging=stderr", "--dump-dom")
        return [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    def screenshot(self, page: Path, to: Path, size: tuple[int, int], *, dark: bool) -> None:
        """`size` is (width, height) in pixels; Chromium's least width is 500."""
        scheme = 0 if dark else 1
        self._run(
            page,
            f"--screenshot={to}",
            f"--window-size={size[0]},{size[1]}",
            f"--blink-settings=preferredColorScheme={scheme}",
        )

    def _run(self, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                self._program,
                *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *("--disable-background-networking", "--no-first-run"),
                *NETWORK,
                f"--user-data-dir={self._folder}",
                *options,
                page.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=True,
        )


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        missing("Chromium", "chromium")
    assert program is not None
    return Browser(program, tmp_path / "browser")
