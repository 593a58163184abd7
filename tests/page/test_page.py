"""The page in a real browser, served by a daemon with real video and a real broker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.parts import IMAGE_SIZE, free_port
from tests.parts.daemon import PATIENCE_SECONDS, Daemon
from tests.parts.mosquitto import Mosquitto, Subscriber
from tests.parts.pages import PATIENCE_MS, TOKEN, Window

pytestmark = pytest.mark.slow(seconds=90)

XSS = "<img src=x onerror=\"document.title='owned'\">'\"{{7*7}}"
"""In every name and prompt that people write."""
PAVEMENT = [[0.0, 0.9], [1.0, 0.9], [1.0, 1.0], [0.0, 1.0]]

WIDTH = "image => image.decode().then(() => image.naturalWidth)"

PLAYED = """video => new Promise((found, failed) => {
    video.muted = true;
    video.addEventListener("error", () => failed(video.error.message));
    video.addEventListener("timeupdate", () => {
        if (video.currentTime > 1) found([video.videoWidth, video.videoHeight]);
    });
    video.play();
})"""
SOUGHT = """video => new Promise(found => {
    video.addEventListener("seeked", () => found(video.currentTime));
    video.currentTime = 8;
})"""

Served = tuple[Daemon, str, Mosquitto]


def config(broker: Mosquitto, port: int, **http: Any) -> dict[str, Any]:
    return {
        "mqtt": {"host": broker.host, "port": broker.port},
        "detector": {"model": "toybox", "device": "cpu", "image_size": IMAGE_SIZE},
        "cameras": {
            "street": {
                "name": f"Street {XSS}",
                "url": "bundled:street",
                "loop": True,
                "zones": {"pavement": PAVEMENT},
            },
            "gone": {"url": "rtsp://127.0.0.1:9/none"},
        },
        "watches": {
            "car": {"name": f"A car {XSS}", "prompt": ["red car", XSS]},
            "people": {"prompt": "pedestrian", "clip": True},
        },
        "clips": {"before": "2s", "after": "1s", "longest": "12s", "unmasked": True},
        "http": {"port": port, "token": TOKEN.replace("$", "$$"), **http},
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, mosquitto: Mosquitto) -> Iterator[Served]:
    port = free_port()
    folder = tmp_path_factory.mktemp("page")
    with Daemon(folder, config(mosquitto, port)) as daemon:
        daemon.wait_for_log("first frame")
        yield daemon, f"http://127.0.0.1:{port}", mosquitto


@pytest.fixture
def window(chromium: Browser, served: Served) -> Iterator[Window]:
    """Logged in; nothing that its scripts complain of, or that reaches elsewhere, passes."""
    context = chromium.new_context(viewport={"width": 1200, "height": 900})
    found = Window(context, served[1])
    found.log_in()
    yield found
    context.close()
    assert not found.said
    assert all(url.startswith((served[1], "data:")) for url in found.asked)


def accessible(page: Page) -> None:
    """What axe finds wrong: names, roles, contrast, focus."""
    found = Axe().run(page)
    assert not found.violations_count, found.generate_report()


def test_a_wrong_token_is_told_and_the_right_one_leads_to_what_was_asked(
    chromium: Browser, served: Served
) -> None:
    context = chromium.new_context()
    window = Window(context, served[1])
    window.log_in("/health", token="wrong")
    expect(window.page.get_by_role("alert")).to_contain_text("this is not the token")
    accessible(window.page)
    window.page.get_by_label("Token").fill(TOKEN)
    window.page.get_by_role("button", name="Log in").click()
    expect(window.page).to_have_url(f"{served[1]}/health")
    (cookie,) = context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert TOKEN not in cookie["value"]

    window.page.get_by_role("button", name="Log out").click()
    window.open("/alerts")
    expect(window.page.get_by_label("Token")).to_be_visible()
    context.close()


def test_the_cameras_are_seen_live_with_what_is_found(window: Window) -> None:
    view = "camera-view[camera=street]"
    window.shots(view, 3)
    red, _, blue = window.colour_at(view, 0.5, 0.05)
    assert blue > red  # the drawn sky
    tile = window.page.locator(".tile[data-camera=street]")
    expect(tile.locator(".status")).to_have_text("online")
    expect(tile.locator(".rate")).to_contain_text("of 5 a second", timeout=PATIENCE_MS)
    expect(tile.locator(".why")).to_contain_text("wake")
    expect(tile.locator("svg .mark").first).to_be_visible(timeout=PATIENCE_MS)
    expect(tile.locator("svg text.name").first).to_contain_text("%")

    away = window.page.locator(".tile[data-camera=gone]")
    expect(away.locator(".status")).to_have_text("offline")
    expect(away.locator(".why")).to_contain_text("connection refused")

    window.page.get_by_label("Zones").check()
    expect(tile.locator("svg .area.zone")).to_have_count(1)
    accessible(window.page)
    assert window.page.title() == "Cameras · streamwatch"


def test_what_people_have_named_is_shown_as_it_is_written(window: Window) -> None:
    """No name of a camera or watch, and no prompt, becomes part of a page."""
    pages = ("/", "/cameras/street", "/watches", "/watches/car", "/alerts", "/near-misses",
             "/health", "/words?camera=street")  # fmt: skip
    for path in pages:
        window.open(path)
        window.page.wait_for_load_state()
        assert (
            XSS in window.page.content()
            or "&lt;img" in window.page.content()
            or (XSS in window.page.inner_text("body"))
        )
        assert window.page.locator("img[src=x]").count() == 0
        assert window.page.title() != "owned"
        assert "'\"49" not in window.page.inner_text("body")


def test_a_zone_is_drawn_moved_undone_and_saved(window: Window, served: Served) -> None:
    daemon, page = served[0], window.page
    text = daemon.config.read_text()
    daemon.config.write_text(
        f"# the one by the door\n{text}".replace("  gone:", "  # away\n  gone:")
    )
    window.open("/cameras/street")
    view = "camera-view"
    window.shots(view)
    page.get_by_role("button", name="New zone").click()
    corners = [(0.2, 0.3), (0.4, 0.3), (0.4, 0.5), (0.2, 0.5)]
    for corner in corners:
        window.press_at(view, *corner)
    window.press_at(view, *corners[0])
    name = page.get_by_label("Name of the zone")
    expect(name).to_have_value("zone-1")
    name.fill("door")
    name.press("Enter")
    expect(page.get_by_role("button", name="Save…")).to_be_enabled()
    accessible(page)

    # Crossing edges are told at the zone itself, and are not saved.
    window.drag(window.place(view, 0.2, 0.5), window.place(view, 0.6, 0.4))
    mistake = page.locator("#shapes .mistake")
    expect(mistake).to_contain_text("this polygon crosses itself")
    expect(page.locator("svg .crossing")).to_have_count(2)
    expect(page.get_by_role("button", name="Save…")).to_be_disabled()
    page.get_by_role("button", name="Undo").click()
    expect(mistake).to_have_count(0)

    # With the keys: a corner by a hundredth, and away with another.
    page.get_by_role("button", name="Edit door").click()
    page.get_by_role("button", name=re.compile("door, corner 3 of 4")).focus()
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Save…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("door: [[")
    accessible(page)
    before = daemon.config.read_text()
    dialog.get_by_role("button", name="Write it").click()
    expect(page.locator("#mistakes")).to_contain_text("camera street changed")

    written = daemon.config.read_text()
    zone = yaml.safe_load(written)["cameras"]["street"]["zones"]["door"]
    wanted = [[0.2, 0.3], [0.4, 0.3], [0.41, 0.5], [0.2, 0.5]]
    for found, meant in zip(zone, wanted, strict=True):
        assert found == pytest.approx(meant, abs=0.01)
    assert written.startswith("# the one by the door\n")
    assert "  # away\n" in written
    added = [line for line in written.splitlines() if line not in before.splitlines()]
    assert len(added) == 1


def test_a_mask_hides_and_a_crop_and_a_least_size_are_drawn(window: Window, served: Served) -> None:
    daemon, page = served[0], window.page
    window.open("/cameras/street")
    view = "camera-view"
    window.shots(view)
    page.get_by_role("button", name="Mask for privacy").focus()
    page.keyboard.press("Enter")  # one in the middle, for those who use the keys
    page.get_by_role("button", name="Crop").click()
    window.drag(window.place(view, 0.05, 0.1), window.place(view, 0.95, 0.95))
    page.get_by_role("button", name="Save…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("mask:")
    dialog.get_by_role("button", name="Write it").click()
    expect(page.locator("#mistakes")).to_contain_text("camera street changed")
    street = yaml.safe_load(daemon.config.read_text())["cameras"]["street"]
    assert street["mask"] == [[[0.35, 0.35], [0.65, 0.35], [0.65, 0.65], [0.35, 0.65]]]
    assert street["crop"] == pytest.approx([0.05, 0.1, 0.95, 0.95], abs=0.01)
    page.wait_for_function(
        """() => { const canvas = document.querySelector("camera-view").canvas;
            const at = [canvas.width / 2, canvas.height / 2, 1, 1];
            const colour = canvas.getContext("2d").getImageData(...at).data.slice(0, 3);
            return Math.max(...colour) < 12; }"""
    )

    page.get_by_role("button", name="Least size of a watch").click()
    window.drag(window.place(view, 0.7, 0.3), window.place(view, 0.8, 0.4))
    page.get_by_label("Watch").select_option("people")
    page.get_by_role("button", name=re.compile("as the least size")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("min_area: 0.01")
    dialog.get_by_role("button", name="Cancel").click()
    assert "min_area" not in daemon.config.read_text()

    # Both are taken away again.
    for label in ("Delete Masked", "Delete Crop"):
        page.get_by_role("button", name=re.compile(label)).click()
    page.get_by_role("button", name="Save…").click()
    page.get_by_role("dialog").get_by_role("button", name="Write it").click()
    expect(page.locator("#mistakes")).to_contain_text("camera street changed")
    street = yaml.safe_load(daemon.config.read_text())["cameras"]["street"]
    assert street.keys().isdisjoint(("mask", "crop"))


def test_words_are_tried_and_made_a_watch_that_alerts(window: Window, served: Served) -> None:
    daemon, _, broker = served
    page = window.page
    window.open("/words?camera=street")
    page.get_by_label("What to look for").fill("truck, sailing boat")
    page.get_by_role("button", name="Try").click()
    window.shots("camera-view", 3)
    expect(page.locator("#legend li")).to_have_count(2)
    expect(page.locator("#legend")).to_contain_text("truck: ")
    page.wait_for_function(
        "() => Number(/truck: .*? ([0-9.]+) at most/.exec(legend.textContent)?.[1]) > 0.5"
    )
    expect(page.locator("svg .mark").first).to_be_visible()
    page.locator("#threshold").fill("0.4")
    expect(page.locator("#threshold-shown")).to_have_text("0.40")
    accessible(page)

    page.get_by_label("What to look for").fill("truck")
    page.get_by_role("button", name="Try").click()
    expect(page.locator("#legend li")).to_have_count(1)
    page.get_by_label("Name").fill("lorry")
    page.get_by_label("On this camera only").check()
    with Subscriber(broker.port, "streamwatch/events/#") as subscriber:
        page.get_by_role("button", name="Make it a watch…").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("lorry:")
        dialog.get_by_role("button", name="Write it").click()
        expect(page).to_have_url(re.compile("/watches/lorry$"))
        subscriber.wait_for(lambda _: subscriber.of("streamwatch/events/street/lorry"),
                            PATIENCE_SECONDS)  # fmt: skip
    watch = yaml.safe_load(daemon.config.read_text())["watches"]["lorry"]
    assert watch == {"prompt": "truck", "confidence": 0.4, "cameras": ["street"]}


def test_words_that_are_wrong_are_told(window: Window) -> None:
    window.open("/words?camera=street&words=" + "a," * 11 + "b")
    expect(window.page.locator("#said")).to_have_text("try 10 texts at most at once")


def test_the_alerts_have_pictures_a_course_and_are_taught(window: Window) -> None:
    page = window.page
    first = page.locator(".alert", has=page.locator("img")).first
    until(window, "/alerts?watch=people&camera=street", first)
    assert first.locator("img").evaluate(WIDTH) > 10
    accessible(page)
    first.get_by_role("button", name="Wrong").click()
    expect(first.get_by_role("button", name="Wrong")).to_have_attribute("aria-pressed", "true")
    expect(first.get_by_role("status")).not_to_be_empty()
    first.get_by_role("link").click()
    expect(page.locator(".timeline li").first).to_contain_text("it came")
    expect(page.get_by_role("button", name="Wrong")).to_have_attribute("aria-pressed", "true")
    assert (
        page.locator("img.picture").evaluate("it => it.decode().then(() => it.naturalWidth)") == 640
    )
    accessible(page)
    window.open("/alerts?watch=lorry-none")
    expect(page.locator("main")).to_contain_text("None of these yet.")


def test_the_clip_of_an_alert_is_played(window: Window) -> None:
    page = window.page
    with_clip = page.locator(".alert", has_text="clip").first
    until(window, "/alerts?watch=people&camera=street", with_clip)
    with_clip.get_by_role("link").click()
    until(window, page.url.removeprefix(window.root), page.locator("video"))
    video = page.locator("video")
    video.scroll_into_view_if_needed()
    accessible(page)
    assert video.evaluate(PLAYED) == [640, 360]
    assert video.evaluate("video => video.duration") > 8
    assert video.evaluate(SOUGHT) > 7.5
    poster = video.evaluate("video => video.poster")
    assert page.evaluate(
        "url => fetch(url).then(it => it.headers.get('content-type'))", poster
    ) == ("image/jpeg")


def test_the_near_misses_say_why(window: Window) -> None:
    page = window.page
    shown = page.locator(".alert", has=page.locator("img"))
    weak = shown.filter(has_text="is below").first
    until(window, "/near-misses?watch=people", weak)
    expect(weak.locator("h2")).to_have_text(re.compile(r"0\.\d+ is below 0\.3"))
    assert weak.locator("img").evaluate(WIDTH) > 10
    accessible(page)


def until(window: Window, path: str, there: Locator) -> None:
    """Open a page again and again until something is there: the clip goes on meanwhile."""
    for _ in range(int(PATIENCE_MS / 1000)):
        window.open(path)
        if there.count():
            return
        window.page.wait_for_timeout(1000)
    raise AssertionError(f"{there} does not come")


def test_a_watch_is_changed_disabled_and_removed(window: Window, served: Served) -> None:
    daemon, page = served[0], window.page
    window.open("/watches")
    people = page.locator(".watch[data-watch=people]")
    people.get_by_label("Enabled").uncheck()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("enabled: false")
    dialog.get_by_role("button", name="Cancel").click()
    expect(people.get_by_label("Enabled")).to_be_checked()
    accessible(page)

    window.open("/watches/people")
    page.get_by_label("Words, one a line").fill("pedestrian\ncyclist")
    page.get_by_label("What it must beat, one a line").fill("pedestrian")
    page.get_by_role("button", name="Save…").click()
    expect(page.locator("#said")).to_contain_text("watches.people.not: names a prompt of the watch")
    page.get_by_label("What it must beat, one a line").fill("")
    page.locator("#confidence").fill("0.35")
    page.get_by_role("button", name="Save…").click()
    page.get_by_role("dialog").get_by_role("button", name="Write it").click()
    expect(page.locator("#said")).to_contain_text("watch people changed")
    watch = yaml.safe_load(daemon.config.read_text())["watches"]["people"]
    assert watch == {"prompt": ["pedestrian", "cyclist"], "clip": True, "confidence": 0.35}
    accessible(page)

    page.get_by_role("button", name="Remove it…").click()
    page.get_by_role("dialog").get_by_role("button", name="Write it").click()
    expect(page).to_have_url(re.compile("/watches$"))
    assert "people" not in yaml.safe_load(daemon.config.read_text())["watches"]
    window.open("/watches/people")
    expect(page.locator("main")).to_contain_text("there is no such watch")
    window.said.clear()  # Chromium complains of the 404


def test_the_health_of_all_is_told(window: Window) -> None:
    page = window.page
    window.open("/health")
    expect(page.locator("#broker")).to_contain_text("connected")
    expect(page.locator("#detector")).to_contain_text("ms a picture")
    expect(page.locator("tr[data-camera=gone] .why")).to_contain_text("connection refused")
    accessible(page)


def test_on_a_phone_nothing_is_wider_than_the_screen(chromium: Browser, served: Served) -> None:
    context = chromium.new_context(
        viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True, color_scheme="dark"
    )
    window = Window(context, served[1])
    window.log_in()
    for path in ("/", "/cameras/street", "/words", "/alerts", "/near-misses", "/watches",
                 "/watches/car", "/health"):  # fmt: skip
        window.open(path)
        window.page.wait_for_load_state()
        assert window.page.evaluate("document.documentElement.scrollWidth") <= 360, path
        accessible(window.page)
    context.close()


def test_a_camera_that_is_removed_says_so_on_its_page(window: Window, served: Served) -> None:
    config = served[0].config
    before = config.read_text()
    tree = yaml.safe_load(before)
    window.open("/cameras/gone")
    expect(window.page.locator(".status")).to_have_text("offline")
    del tree["cameras"]["gone"]
    config.write_text(yaml.safe_dump(tree, sort_keys=False))
    expect(window.page.locator(".status")).to_have_text("removed")
    expect(window.page.locator(".why")).to_contain_text("not in the configuration file any more")
    config.write_text(before)
    expect(window.page.locator(".status")).to_have_text("offline")


def test_a_finger_draws_a_zone(chromium: Browser, served: Served) -> None:
    context = chromium.new_context(
        viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True
    )
    window = Window(context, served[1])
    window.log_in("/cameras/street")
    window.shots("camera-view")
    window.page.get_by_role("button", name="Ignore an area").tap()
    for corner in ((0.2, 0.2), (0.8, 0.2), (0.5, 0.8), (0.2, 0.2)):
        window.page.locator("camera-view").scroll_into_view_if_needed()
        window.page.touchscreen.tap(*window.place("camera-view", *corner))
    expect(window.page.locator("#shapes .ignore")).to_have_count(1)
    expect(window.page.get_by_role("button", name="Save…")).to_be_enabled()
    context.close()


def test_a_page_that_is_not_seen_gets_nothing_until_it_is_seen_again(window: Window) -> None:
    """As a tab in the background: nothing is rendered for it."""
    view = "camera-view[camera=street]"
    window.shots(view)
    hide(window.page, hidden=True)
    window.page.wait_for_timeout(300)
    before = window.page.locator(view).get_attribute("data-shots")
    window.page.wait_for_timeout(1500)
    assert window.page.locator(view).get_attribute("data-shots") == before
    hide(window.page, hidden=False)
    window.shots(view, int(before or 0) + 2)


def hide(page: Page, *, hidden: bool) -> None:
    page.evaluate(
        """(hidden) => {
            Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_a_page_that_is_left_while_it_connects_says_nothing(window: Window) -> None:
    window.page.wait_for_load_state()
    window.page.evaluate(
        """async () => {
            const {name} = performance.getEntriesByType("resource")
                .find(({name}) => name.includes("/static/live.js"));
            const {Live} = await import(name);
            const sockets = [];
            const Real = window.WebSocket;
            window.WebSocket = class extends Real {
                constructor(url) { super(url); sockets.push(this); }
            };
            new Live();
            const [socket] = sockets;
            if (socket.readyState !== Real.CONNECTING) throw new Error("it is connected already");
            const closed = new Promise((resolve) => socket.addEventListener("close", resolve));
            dispatchEvent(new Event("pagehide"));
            await closed;
            window.WebSocket = Real;
        }"""
    )
    assert window.said == []
