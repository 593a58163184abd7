"""Chromium as somebody uses it, by playwright: a window on the daemon's page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.parts import missing
from tests.parts.browser import PROGRAMS

REBOUND = "rebound.example"
"""A stranger's name, which leads here."""
RESOLVED = f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
PATIENCE_MS = 60_000.0
expect.set_options(timeout=PATIENCE_MS)
TOKEN = "a long <secret> & \"quoted\" 'one'"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's, since playwright's own would have to be fetched."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        missing("Chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--disable-gpu", RESOLVED],
        )
        yield browser
        browser.close()


class Window:
    """A page of the browser. `said` is what its scripts have said on the console, `asked` the
    addresses that it has asked for."""

    def __init__(self, context: BrowserContext, root: str) -> None:
        self.root = root
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda it: self._hear(it.type, it.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def _hear(self, kind: str, text: str) -> None:
        # A mistake that is told is none of the scripts; and it is the tests that read pictures.
        spared = "status of 422" in text or "getImageData" in text
        if kind in ("error", "warning") and not spared:
            self.said.append(text)

    def log_in(self, path: str = "/", token: str = TOKEN) -> None:
        self.open(path)
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Log in").click()

    def open(self, path: str) -> None:
        self.page.goto(f"{self.root}{path}")

    def shots(self, selector: str, count: int = 1) -> None:
        """Wait for so many live pictures of a <camera-view>."""
        self.page.wait_for_function(
            "([selector, n]) => Number(document.querySelector(selector)?.dataset.shots) >= n",
            arg=[selector, count],
        )

    def colour_at(self, selector: str, x: float, y: float) -> list[int]:
        """Red, green and blue of a view's picture at shares of its width and height."""
        found: list[int] = self.page.evaluate(
            """([selector, x, y]) => {
                const canvas = document.querySelector(selector).canvas;
                const at = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
                return [...canvas.getContext("2d").getImageData(...at, 1, 1).data].slice(0, 3);
            }""",
            [selector, x, y],
        )
        return found

    def press_at(self, selector: str, x: float, y: float) -> None:
        """Click at shares of the width and height of what is there."""
        left, top = self.place(selector, x, y)
        self.page.mouse.click(left, top)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """From one place of the window to another, in pixels."""
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=4)
        self.page.mouse.up()

    def place(self, selector: str, x: float, y: float) -> tuple[float, float]:
        box: Any = self.page.locator(selector).first.bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]
