"""`streamwatch try` and `streamwatch detect` as people run them."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import av
import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from tests.parts import IMAGE_SIZE, STREET_CLIP, free_port
from tests.parts.browser import Browser
from tests.parts.command import run_here
from tests.parts.daemon import private_environment
from tests.parts.rtsp import RtspServer
from tests.parts.terminal import KITTY_TERMINAL, PLAIN_TERMINAL, Terminal
from tests.truth import FOLDER

pytestmark = pytest.mark.slow(seconds=90)

TRY = [sys.executable, "-m", "streamwatch", "try"]
TOYBOX = ("--model", "toybox")
QUICK = (*TOYBOX, "--fps", "2")
TRUTH = FOLDER / "street.truth.json"
CONFIG = {
    "detector": {"model": "toybox", "image_size": IMAGE_SIZE},
    "cameras": {
        "street": {
            "url": "bundled:street",
            "fps": 2,
            "zones": {
                "left": [[0, 0], [0.3, 0], [0.3, 1], [0, 1]],
                "sky": [[0, 0], [1, 0], [1, 0.1], [0, 0.1]],
            },
        },
        "gate": {"url": "/dev/video7"},
    },
    "watches": {
        "cars": {"prompt": "red car", "zones": ["left"], "active": "mon 03:00-03:01"},
        "flying": {"prompt": "red car", "zones": ["sky"], "cameras": ["street"]},
        "gate-dogs": {"prompt": "dog", "cameras": ["gate"]},
    },
}


def streamwatch(folder: Path, *arguments: str | Path) -> CompletedProcess[str]:
    return run_here(folder, *arguments, COLUMNS="200", NO_COLOR="1")


def configured(folder: Path, **more: Any) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **more}, sort_keys=False))
    return path


def image(path: Path) -> NDArray[np.int64]:
    return np.asarray(cv2.imread(str(path)), np.int64)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A frame of the clip with a red car."""
    clip = cv2.VideoCapture(str(STREET_CLIP))
    clip.set(cv2.CAP_PROP_POS_FRAMES, 75)
    _, image = clip.read()
    path = tmp_path / "a car.png"
    cv2.imwrite(str(path), image)
    return path


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (140, 40)])
def test_a_clip_in_a_terminal(tmp_path: Path, columns: int, rows: int) -> None:
    words = ("-p", "red car", "-p", "dog", "-p", "unicorn", "--truth", TRUTH)
    command: list[str | Path] = [*TRY, STREET_CLIP, *QUICK, *words]
    environment = private_environment(tmp_path)
    with Terminal(command, environment, columns=columns, rows=rows) as terminal:
        assert terminal.wait() == 0
        lines = terminal.lines
    assert all(len(line) <= columns for line in lines)
    hits = [line for line in lines if re.match(r" +0:\d\d\.\d  0\.\d\d  ", line)]
    assert [line.split("  ")[-1].strip() for line in hits] == ["red car", "dog"]
    text = "\n".join(lines)
    assert "red-car: 1 alert at 0.30" in text
    assert "unicorn: 0 alerts at 0.30" in text
    assert "▲ 0.30" in text
    assert re.search(r"> 0\.\d\d-0\.\d\d +1 +1\.00 +1\.00 +0:0\d\.\d", text)
    assert "lies well in between" in text
    assert "street.mp4: 80 frames in" in text


def test_pictures_where_the_terminal_can_show_them(tmp_path: Path, picture: Path) -> None:
    command: list[str | Path] = [*TRY, picture, *TOYBOX, "-p", "red car"]
    environment = private_environment(tmp_path)
    with Terminal(command, environment, answers=KITTY_TERMINAL) as terminal:
        assert terminal.wait() == 0
        assert b"\x1b_G" in terminal.written.replace(b"\x1b_Gi=31", b"")
    with Terminal(command, environment, answers=PLAIN_TERMINAL) as terminal:
        assert terminal.wait() == 0
        assert b"\x1b_G" not in terminal.written.replace(b"\x1b_Gi=31", b"")
        assert any("a car.png" in line for line in terminal.lines)


def test_json_for_pipes(tmp_path: Path, picture: Path) -> None:
    done = streamwatch(
        tmp_path, "try", STREET_CLIP, picture, *QUICK, "-p", "red car", "--not", "truck", "--json"
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert [each["kind"] for each in found["footage"]] == ["pictures", "clip"]
    assert all(each["complete"] for each in found["footage"])
    watch = found["watches"]["red-car"]
    assert (watch["prompts"], watch["not"], watch["confidence"]) == (["red car"], ["truck"], 0.3)
    own = next(row for row in watch["sweep"] if row["confidence"] == 0.3)
    told = [watch["alerts"][place] for place in own["alerts"]]
    assert [alert.get("picture") for alert in told] == [str(picture), None]
    assert [visit["seconds"] is not None for visit in watch["visits"]] == [True, True]
    assert sum(watch["detections"]["red car"]["histogram"]) >= 10


def test_annotated_pictures_and_clips_are_written(tmp_path: Path, picture: Path) -> None:
    out = tmp_path / "out"
    done = streamwatch(
        tmp_path, "try", STREET_CLIP, picture, *QUICK, "-p", "red car", "-o", str(out)
    )
    assert done.returncode == 0, done.stderr
    assert f"3 files in {out}" in done.stdout
    assert f"{out}/street-red-car-1.jpg\n" in done.stdout
    assert {path.name for path in out.iterdir()} == {
        "a car.jpg", "street.mp4", "street-red-car-1.jpg",
    }  # fmt: skip
    before, after = image(picture), image(out / "a car.jpg")
    assert (np.abs(before - after).max(axis=2) > 60).sum() > 500
    with av.open(str(out / "street.mp4")) as clip:
        (stream,) = clip.streams.video
        frames = [frame.time for frame in clip.decode(stream)]
    assert len(frames) == 80
    assert frames[-1] == pytest.approx(39.5, abs=0.1)


def test_a_watch_is_tried_with_its_rules_and_zones(tmp_path: Path) -> None:
    configured(tmp_path)
    both = ("-w", "cars", "-w", "flying", "--fps", "2", "--json")
    for named in (str(STREET_CLIP), "street"):
        done = streamwatch(tmp_path, "try", named, *both)
        assert (done.returncode, done.stderr) == (0, "")
        watches = json.loads(done.stdout)["watches"]
        (visit,) = watches["cars"]["visits"]
        assert visit["zones"] == ["left"]
        assert watches["flying"]["visits"] == []
        kinds = {miss["kind"] for miss in watches["flying"]["near_misses"]}
        assert "zone" in kinds


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["street"], 3, 'say what to look for: --prompt "red backpack", or --watch NAME'),
        (["street", "-w", "car"], 3, "there is no watch car; did you mean 'cars'?"),
        (["street", "-w", "gate-dogs"], 3, "is not for the camera street, but for gate"),
        (["gate", "-w", "cars", "-w", "gate-dogs"], 3, "no camera has cars and gate-dogs together"),
        (["streat", "-p", "cat"], 3, "no file, no folder and no camera; did you mean 'street'?"),
        (["street", "-p", " "], 3, "prompt.0: ' ' is empty"),
        (["street", "-p", "cat", "-m", "toybux"], 3, "did you mean 'toybox'?"),
        (["street", "-p", "cat", "--truth", "none.json"], 3, "none.json can't be read"),
        (["street", "-p", "cat", "--out", "config.yaml"], 3, "config.yaml can't be written"),
        (["street", "-p", "cat", "--report", "no/r.html"], 3, "no/r.html can't be written"),
        (["street", "-p", "cat", "--seconds", "0"], 2, "--seconds"),
        (["street", "-p", "cat", "--confidence", "7"], 2, "--confidence"),
        ([], 2, "Missing argument"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, arguments: list[str], code: int, told: str) -> None:
    configured(tmp_path)
    done = streamwatch(tmp_path, "try", *arguments)
    assert done.returncode == code, done.stderr
    assert told in " ".join(re.sub("[│╭╰─╮╯]", " ", done.stderr).split())
    assert "Traceback" not in done.stderr


def test_without_a_configuration_a_model_must_be_named(tmp_path: Path) -> None:
    done = streamwatch(tmp_path, "try", STREET_CLIP, "-p", "cat")
    assert (done.returncode, "name a model with --model" in done.stderr) == (3, True)
    done = streamwatch(tmp_path, "try", STREET_CLIP, "-w", "cats")
    assert (done.returncode, "needs a configuration" in done.stderr) == (3, True)
    (tmp_path / "config.yaml").write_text("cameras: 3\n")
    done = streamwatch(tmp_path, "try", STREET_CLIP, "-p", "cat")
    assert (done.returncode, "config.yaml:1:10: cameras: " in done.stderr) == (1, True)


def test_what_can_not_be_read_is_told_and_the_rest_is_done(tmp_path: Path, picture: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no clip")
    (tmp_path / "no.jpg").write_bytes(b"no picture")
    done = streamwatch(
        tmp_path, "try", broken, tmp_path / "no.jpg", picture, *TOYBOX, "-p", "red car"
    )
    assert done.returncode == 3
    assert "red-car: 1 alert at 0.30" in done.stdout
    assert "no.jpg: this is no picture that can be decoded" in done.stdout
    assert "broken.mp4" in done.stdout
    assert done.stderr == ""


def test_ctrl_c_keeps_what_was_done(tmp_path: Path) -> None:
    command: list[str | Path] = [*TRY, STREET_CLIP, *TOYBOX, "-p", "red car", "-p", "cyclist"]
    with Terminal(command, private_environment(tmp_path)) as terminal:
        terminal.wait_for("0.8")
        terminal.press(b"\x03")
        assert terminal.wait() == 130
        text = "\n".join(terminal.lines)
    assert "red-car: 1 alert at 0.30" in text
    assert "street.mp4: stopped before its end" in text
    assert "Traceback" not in text


def test_a_live_camera_is_tried_for_some_seconds_or_until_ctrl_c(
    tmp_path: Path, rtsp_server: Callable[..., RtspServer]
) -> None:
    url = rtsp_server(clip=STREET_CLIP).url
    done = streamwatch(tmp_path, "try", url, *TOYBOX, "-p", "red car", "--seconds", "4", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (run,) = json.loads(done.stdout)["footage"]
    assert (run["kind"], run["complete"]) == ("camera", True)
    assert run["frames"] >= 1
    with Terminal([*TRY, url, *TOYBOX, "-p", "red car"], private_environment(tmp_path)) as terminal:
        terminal.wait_for(" s")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == 0


def test_a_live_camera_that_is_not_there_is_told_without_its_password(tmp_path: Path) -> None:
    url = f"rtsp://me:geheim@127.0.0.1:{free_port()}/x"
    done = streamwatch(tmp_path, "try", url, *TOYBOX, "-p", "red car", "--seconds", "1")
    assert done.returncode == 3
    assert "nothing listens there" in done.stdout
    assert "red-car" not in done.stdout
    assert "geheim" not in done.stdout + done.stderr


# --- the report -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    hostile = folder / "<img src=x onerror=alert(1)> & co.mp4"
    hostile.symlink_to(STREET_CLIP)
    page = folder / "report.html"
    words = ("-p", "dog", "-p", "cat", "-p", "unicorn", "--truth", TRUTH)
    done = streamwatch(folder, "try", hostile, *QUICK, *words, "--report", page)
    assert done.returncode == 0, done.stderr
    assert f"The report is in {page}" in done.stdout
    return page


def test_the_report_needs_nothing_else(report: Path) -> None:
    page = report.read_text()
    assert "default-src 'none'" in page
    outside = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:)\S+""", page)
    assert [found for found in outside if "http" in found] == []
    addresses = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}


def test_the_report_in_a_browser(report: Path, browser: Browser) -> None:
    dom = browser.dom(report)
    assert browser.errors(report) == []
    for said in ("<h2>dog</h2>", "<h2>cat</h2>", "precision 1.00"):
        assert said in dom
    assert "<h2>unicorn</h2>" in dom
    assert "onerror=alert(1)&gt; &amp; co.mp4: 80 frames" in dom
    assert "<img src=x" not in dom
    assert dom.count("data:image/jpeg;base64,") >= 4


def test_the_slider_moves_the_threshold_over_what_was_found(
    report: Path, browser: Browser, tmp_path: Path
) -> None:
    def alerts(position: str) -> str:
        page = tmp_path / "moved.html"
        script = (
            "<script>const range = document.querySelectorAll('input')[1];"
            f"range.value = {position}; range.dispatchEvent(new Event('input'));</script>"
        )
        page.write_text(report.read_text().replace("</body>", f"{script}</body>"))
        cat = browser.dom(page).split("<h2>cat</h2>")[1].split("<h2>")[0]
        return str(re.findall(r'class="count"[^>]*>([^<]*)<', cat)[0])

    assert alerts("0") == "1 alert"
    assert alerts("range.max") == "0 alerts"


@pytest.mark.parametrize("dark", [False, True])
def test_the_report_follows_the_colours_of_the_system(
    report: Path, browser: Browser, tmp_path: Path, *, dark: bool
) -> None:
    shot = tmp_path / "shot.png"
    browser.screenshot(report, shot, (500, 900), dark=dark)
    corner = image(shot)[2, 2]
    assert bool(corner.max() < 60) is dark


# --- detect ---------------------------------------------------------------------------------------


def test_detect_finds_what_is_in_pictures(tmp_path: Path, picture: Path) -> None:
    asked = ("detect", picture, *TOYBOX, "-p", "red car", "-p", "unicorn")
    done = streamwatch(tmp_path, *asked, "--json", "-o", tmp_path / "drawn")
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = json.loads(done.stdout)
    (car,) = found["detections"]
    assert (found["picture"], found["frame"]) == (str(picture), [640, 360])
    assert car["prompt"] == "red car"
    assert car["confidence"] > 0.8
    assert car["box"] == pytest.approx([83, 237, 177, 301], abs=6)
    assert Path(found["annotated"]).is_file()
    shown = streamwatch(tmp_path, *asked).stdout
    assert re.search(r"red car +0\.\d\d +8\d +23\d +17\d +30\d", shown)
    none = streamwatch(tmp_path, "detect", picture, *TOYBOX, "-p", "unicorn").stdout
    assert "nothing of that was found" in none


def test_detect_goes_on_after_a_picture_that_can_not_be_read(tmp_path: Path, picture: Path) -> None:
    done = streamwatch(tmp_path, "detect", "none.jpg", picture, *TOYBOX, "-p", "red car", "--json")
    assert (done.returncode, done.stderr) == (3, "streamwatch: none.jpg: there is no such file\n")
    first, second = json.loads(done.stdout)
    assert first == {"picture": "none.jpg", "problem": "none.jpg: there is no such file"}
    assert len(second["detections"]) == 1
    done = streamwatch(tmp_path, "detect", picture, *TOYBOX)
    assert (done.returncode, "say what to look for" in done.stderr) == (2, True)
