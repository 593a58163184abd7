"""The page behind a prefix, in the frame of another page, and attacked from one: in Chromium."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from urllib.parse import quote

import pytest
import yaml
from playwright.sync_api import Browser, expect

from tests.parts import IMAGE_SIZE, free_port
from tests.parts.daemon import Daemon
from tests.parts.mosquitto import Mosquitto
from tests.parts.pages import REBOUND, TOKEN, Window
from tests.parts.serving import EncryptedHTTPServer, in_a_thread

pytestmark = pytest.mark.slow(seconds=40)

PREFIX = "/cams"


class Host(BaseHTTPRequestHandler):
    """A page that shows, in a frame, the address in its query."""

    def do_GET(self) -> None:
        address = self.path.partition("?")[2]
        content = f'<!doctype html><iframe src="{address}" width=900 height=700></iframe>'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def home() -> Iterator[str]:
    """The address of a page that may show ours in a frame, as Home Assistant's."""
    with in_a_thread(EncryptedHTTPServer(Host, None)) as server:
        yield server.address


@pytest.fixture(scope="module")
def stranger() -> Iterator[str]:
    """The address of a page that may not: another port is another origin."""
    with in_a_thread(EncryptedHTTPServer(Host, None)) as server:
        yield server.address


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, mosquitto: Mosquitto, home: str
) -> Iterator[tuple[Daemon, str]]:
    port = free_port()
    tree = {
        "mqtt": {"host": mosquitto.host, "port": mosquitto.port, "topic_prefix": "framed"},
        "detector": {"model": "toybox", "device": "cpu", "image_size": IMAGE_SIZE},
        "cameras": {"street": {"url": "bundled:street", "loop": True}},
        "watches": {"car": {"prompt": "red car"}},
        "http": {
            "port": port,
            "token": TOKEN,
            "root_path": PREFIX,
            "frame_ancestors": [home],
        },
    }
    with Daemon(tmp_path_factory.mktemp("framed"), tree) as daemon:
        daemon.wait_for_log("first frame")
        yield daemon, f"http://127.0.0.1:{port}"


@pytest.fixture
def window(chromium: Browser, served: tuple[Daemon, str]) -> Iterator[Window]:
    context = chromium.new_context(viewport={"width": 1000, "height": 800})
    found = Window(context, f"{served[1]}{PREFIX}")
    found.log_in()
    expect(found.page.locator(".tile")).to_have_count(1)
    yield found
    context.close()


def test_under_a_prefix_all_of_it_works(window: Window, served: tuple[Daemon, str]) -> None:
    window.shots("camera-view")
    for link in ("Alerts", "Watches", "Words", "Health", "Cameras"):
        window.page.get_by_role("navigation").get_by_role("link", name=link).click()
        expect(window.page.get_by_role("heading", level=1)).to_be_visible()
    assert all(url.startswith(f"{served[1]}{PREFIX}/") for url in window.asked)
    assert not window.said


def test_a_page_that_may_shows_it_in_a_frame_and_another_does_not(
    window: Window, home: str, stranger: str
) -> None:
    window.page.goto(f"{home}/?{window.root}/")
    framed = window.page.frame_locator("iframe")
    expect(framed.locator(".status").first).to_have_text("online")
    expect(framed.locator("camera-view[data-shots]")).to_have_count(1)
    assert not window.said

    window.page.goto(f"{stranger}/?{window.root}/")
    window.page.wait_for_timeout(500)
    assert any("frame-ancestors" in said for said in window.said)
    assert window.page.frames[1].url.startswith("chrome-error:")


def test_another_page_changes_nothing_and_sees_nothing(
    window: Window, served: tuple[Daemon, str], stranger: str
) -> None:
    """Though the browser sends it the cookie: another port is another origin, but the same site."""
    before = served[0].config.read_text()
    edit = {"section": "watches", "name": "car", "remove": True, "seen": ""}
    for path, body in (("/edits", edit), ("/teach", {"id": "x", "is": "wrong"}), ("/logout", {})):
        window.page.goto(f"{stranger}/?about:blank")
        with window.page.expect_navigation() as answered:
            window.page.evaluate(
                """([url, name, value]) => {
                    const form = document.createElement("form");
                    Object.assign(form, {action: url, method: "post", enctype: "text/plain"});
                    form.append(Object.assign(document.createElement("input"), {name, value}));
                    document.body.append(form);
                    form.submit();
                }""",
                # Sent as one text with a = between: JSON.
                [f"{window.root}{path}", json.dumps(body)[:-1] + ', "x":"', '"}'],
            )
        assert answered.value.status == 403
        assert "cookie" in answered.value.request.all_headers()
    window.page.goto(f"{stranger}/?about:blank")
    assert served[0].config.read_text() == before
    read = window.page.evaluate(
        "url => fetch(url, {credentials: 'include'}).then((it) => it.text()).catch(() => null)",
        f"{window.root}/health",
    )
    assert read is None
    closed = window.page.evaluate(
        """url => new Promise((resolve) => {
            const socket = new WebSocket(url);
            socket.onopen = () => resolve("open");
            socket.onclose = () => resolve("closed");
        })""",
        f"{window.root.replace('http', 'ws')}/live",
    )
    assert closed == "closed"
    shown = window.page.evaluate(
        """url => new Promise((resolve) => {
            const image = new Image();
            image.onload = () => resolve("shown");
            image.onerror = () => resolve("hidden");
            image.src = url;
        })""",
        f"{window.root}/static/icon.svg",
    )
    assert shown == "hidden"  # Cross-Origin-Resource-Policy


def test_a_name_that_is_made_to_lead_here_shows_nothing(
    window: Window, served: tuple[Daemon, str]
) -> None:
    port = served[1].rpartition(":")[2]
    for path in ("/", "/login", "/health", "/static/live.js"):
        answer = window.page.goto(f"http://{REBOUND}:{port}{PREFIX}{path}")
        assert answer is not None
        assert answer.status == 421
        expect(window.page.locator("body")).to_contain_text(
            f"the page is not served under the name '{REBOUND}'"
        )


@pytest.mark.parametrize(
    "path",
    [
        "/pictures/..%2f..%2fconfig.yaml",
        "/near-misses/..%2f..%2fconfig.yaml",
        f"/near-misses/{quote('/etc/passwd', safe='')}",
        "/static/..%2f..%2faccess.py",
    ],
)
def test_no_path_leads_to_the_configuration(
    window: Window, served: tuple[Daemon, str], path: str
) -> None:
    assert TOKEN in yaml.safe_load(served[0].config.read_text())["http"]["token"]
    answer = window.page.request.get(f"{window.root}{path}")
    assert answer.status == 404
    assert "toybox" not in answer.text()
