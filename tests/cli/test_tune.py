"""`streamwatch tune`: what was learnt, what it would change, and writing it into the file."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import cv2
import numpy as np
import pytest

from streamwatch.config import load
from streamwatch.learning.learnt import (
    BINS,
    Learnt,
    Other,
    Subject,
    Together,
    words_of,
)
from streamwatch.learning.overview import Experience, overview
from streamwatch.learning.store import Store
from streamwatch.paths import state_file
from tests.learning.lessons import MOMENT, near_miss, told_visit
from tests.parts.command import run_here
from tests.parts.daemon import private_environment
from tests.parts.terminal import KITTY_TERMINAL, PLAIN_TERMINAL, Terminal

pytestmark = pytest.mark.slow(seconds=10)

FILE = """\
detector: {model: toybox}   # small
timezone: Europe/Berlin
near_misses: {path: near}
cameras:
  porch: {url: /dev/video7}
  yard: {url: /dev/video8}
watches:
  # what drives by
  cars:
    prompt: red car   # not blue ones
    cameras: [porch]
  giraffe: {prompt: giraffe, cameras: [yard]}
  plants: {prompt: potted plant, cameras: [yard]}
  dogs: {prompt: dog, confidence: auto, cameras: [porch]}
"""


def histogram(**counts: int) -> tuple[int, ...]:
    """By the bin, as `b12=5`."""
    return tuple(counts.get(f"b{place}", 0) for place in range(BINS))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration whose daemon has run for some days, and stopped."""
    path = tmp_path / "config.yaml"
    path.write_text(FILE)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", private_environment(tmp_path)["XDG_STATE_HOME"])
    settings = load(path)

    def subject(camera: str, watch: str) -> Subject:
        return Subject(camera, watch, words_of(settings.watches[watch], settings.detector))

    cars, giraffe, dogs = (
        subject("porch", "cars"),
        subject("yard", "giraffe"),
        subject("porch", "dogs"),
    )
    near = tmp_path / "near"
    near.mkdir()
    cv2.imwrite(str(near / "a.jpg"), np.full((60, 80, 3), 90, np.uint8))
    store = Store(state_file("learnt", path, ".sqlite3"))
    store.save(
        {
            cars: Learnt(histogram(b16=12, b17=8, b40=20, b42=15), histogram(b6=30, b7=12), 55),
            giraffe: Learnt(
                histogram(b17=5),
                told=5,
                together={Other("giraffe", "plants", "potted plant"): Together(5, 1.7, 3.85)},
            ),
            dogs: Learnt(histogram(b20=3), threshold=0.35, told=3),
        },
        # Of two days in Berlin, though of one in UTC.
        [
            told_visit(reach=0.33, subject=cars, captured_at=MOMENT.replace(hour=20))
            for _ in range(3)
        ]
        + [told_visit(reach=0.8, subject=cars, captured_at=MOMENT.replace(hour=20))]
        + [told_visit(reach=0.34, subject=cars, captured_at=MOMENT.replace(hour=23, minute=30))],
    )
    weak = near_miss("below", 0.24, subject=cars, reach=0.2)
    store.keep_near_miss(weak, MOMENT.date(), "a.jpg")
    outside = replace(weak, kind="zone", reason="outside zone steps", confidence=0.2)
    store.keep_near_miss(outside, MOMENT.date() - timedelta(days=1), None)
    store.close()
    return path


def streamwatch(config: Path, *arguments: str) -> CompletedProcess[str]:
    return run_here(config.parent, *arguments, "-c", config, COLUMNS="120", NO_COLOR="1")


def tuned(config: Path, *arguments: str) -> Any:
    done = streamwatch(config, "tune", "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_what_a_better_threshold_would_have_changed(config: Path) -> None:
    found = tuned(config)
    assert list(found["watches"]) == ["cars", "giraffe", "plants", "dogs"]
    cars = found["watches"]["cars"]
    porch = cars["cameras"]["porch"]
    assert (porch["confidence"], cars["suggested"], porch["suggested"]) == (0.3, 0.51, 0.51)
    assert porch["days"] == [
        {"day": "2026-01-02", "alerts": 4, "fewer": 3, "more": 0},
        {"day": "2026-01-03", "alerts": 1, "fewer": 1, "more": 0},
    ]
    assert [miss["reason"] for miss in porch["near_misses"]] == [
        "0.24 is below 0.30", "outside zone steps",
    ]  # fmt: skip
    assert found["watches"]["giraffe"]["suggested"] is None
    assert [pair["settled_by"] for pair in found["together"]] == ["potted plant"]
    dogs = found["watches"]["dogs"]
    assert (dogs["learns"], dogs["cameras"]["porch"]["confidence"]) == (True, 0.35)
    only = tuned(config, "giraffe")
    assert (list(only["watches"]), len(only["together"])) == (["giraffe"], 1)
    assert tuned(config, "cars")["together"] == []


def test_a_lower_threshold_would_have_given_more(config: Path) -> None:
    settings = load(config)
    cars = Subject("porch", "cars", words_of(settings.watches["cars"], settings.detector))
    learnt = {cars: Learnt(histogram(b20=30), histogram(b3=40), 30)}
    rows = [
        {
            "camera": "porch", "watch": "cars", "day": day, "kind": kind, "confidence": 0.29,
            "needed": 0.3, "reach": reach, "prompt": "red car", "reason": reason, "file": None,
            "captured_at": MOMENT.isoformat(),
        }
        for day, kind, reach, reason in (
            ("2026-01-02", "below", 0.25, "0.25 is below 0.30"),
            ("2026-01-02", "below", 0.02, "0.28 is below 0.30"),
            ("2026-01-02", "below", 0.25, "0.25 is below 0.30; too small"),
            ("2026-01-05", "zone", 0.25, "outside zone steps"),
        )
    ]  # fmt: skip
    found = overview(settings, Experience(learnt, near_misses=rows))["watches"]["cars"]
    assert found["suggested"] is not None
    assert found["suggested"] <= 0.24
    assert found["cameras"]["porch"]["days"] == [
        {"day": "2026-01-02", "alerts": 0, "fewer": 0, "more": 1}
    ]


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (140, 40)])
def test_tune_in_a_terminal(config: Path, columns: int, rows: int) -> None:
    command = [sys.executable, "-m", "streamwatch", "tune", "-c", str(config)]
    environment = private_environment(config.parent)
    with Terminal(
        command, environment, columns=columns, rows=rows, answers=PLAIN_TERMINAL
    ) as terminal:
        assert terminal.wait() == 0
        lines = terminal.lines
    assert all(len(line) <= columns for line in lines)
    text = "\n".join(lines)
    for said in (
        "cars on porch, from 0.30 on",
        "55 alerts, and 42 things not sure enough",
        "▲ 0.30",
        "▲ 0.51 suggested",
        "With 0.51 it would have been:",
        "car 0.24: 0.24 is below 0.30",
        "--apply cars",
        "dogs on porch, from 0.35 on, learnt",
        "dogs learns its confidence by itself.",
        "For plants nothing is suggested before 20 alerts are known; there are 0.",
    ):
        assert said in text, text
    assert re.search(r"2026-01-02 +4 +3", text)
    assert "5 of 5 alerts lay on what" in text


def test_near_misses_are_shown_where_the_terminal_can(config: Path) -> None:
    command = [sys.executable, "-m", "streamwatch", "tune", "cars", "-c", str(config)]
    environment = private_environment(config.parent)
    with Terminal(command, environment, answers=KITTY_TERMINAL) as terminal:
        assert terminal.wait() == 0
        assert b"\x1b_G" in terminal.written.replace(b"\x1b_Gi=31", b"")
        assert not any("a.jpg" in line for line in terminal.lines)
    done = streamwatch(config, "tune", "cars")
    assert str(config.parent / "near" / "a.jpg") in done.stdout


def test_what_is_suggested_is_written_into_the_file(config: Path) -> None:
    done = streamwatch(config, "tune", "--apply", "cars")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{config}: watches.cars.confidence is 0.51 now, was 0.3\n"
    assert config.read_text() == FILE.replace(
        "    cameras: [porch]\n  giraffe", "    cameras: [porch]\n    confidence: 0.51\n  giraffe"
    )
    done = streamwatch(config, "tune", "--apply", "giraffe")
    assert done.stdout == f"{config}: watches.giraffe.not has potted plant now too\n"
    assert load(config).watches["giraffe"].not_ == ("potted plant",)
    assert "# what drives by" in config.read_text()
    again = streamwatch(config, "tune", "--apply", "cars")
    assert (again.returncode, again.stdout) == (3, "")
    assert again.stderr.startswith("streamwatch: nothing is suggested for cars yet")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--apply", "plants"], 3, "nothing is suggested for plants yet"),
        (["--apply", "dogs"], 3, "nothing is suggested for dogs yet"),
        (["--apply", "car"], 2, "there is no watch car; did you mean 'cars'?"),
        (["car"], 2, "there is no watch car; did you mean 'cars'?"),
    ],
)
def test_what_can_not_be_applied_is_told(
    config: Path, arguments: list[str], code: int, told: str
) -> None:
    done = streamwatch(config, "tune", *arguments)
    assert done.returncode == code
    assert told in " ".join(re.sub("[│╭╰─╮╯]", " ", done.stderr).split())
    assert config.read_text() == FILE


def test_a_file_that_may_not_be_written_stays_as_it_is(config: Path) -> None:
    config.chmod(0o444)
    done = streamwatch(config, "tune", "--apply", "cars")
    assert (done.returncode, "may not be written" in done.stderr) == (1, True)
    assert config.read_text() == FILE


def test_before_anything_was_learnt(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(FILE)
    done = streamwatch(path, "tune", "cars")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 alerts, and 0 things not sure enough" in done.stdout
    assert not list(tmp_path.rglob("*.sqlite3"))


def test_a_file_of_learning_that_is_broken_is_told(config: Path) -> None:
    state_file("learnt", config, ".sqlite3").write_bytes(b"broken" * 1000)
    done = streamwatch(config, "tune")
    assert (done.returncode, "can't be read" in done.stderr) == (3, True)
