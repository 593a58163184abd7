"""How the log looks, and lines that others can cause as often as they like."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from streamwatch.logs import Seldom
from tests.parts import STREET_CLIP
from tests.parts.daemon import Daemon

log = logging.getLogger("streamwatch.tests")


def test_a_line_a_second_tells_how_many_were_left_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 7.0
    say = Seldom(log, logging.INFO, lambda: now)
    for number in range(5):
        say("did %s", number)
    now = 7.9
    say("did %s", "it")
    now = 8.0
    say("did %s", "100%")
    now = 9.0
    say("did %s", "more")
    assert [record.getMessage() for record in caplog.records] == [
        "did 0",
        "did 100% (and 5 more like it before)",
        "did more",
    ]


def test_lines_in_json_say_what_they_are_of(tmp_path: Path) -> None:
    tree = {
        "mqtt": {"embedded": True, "port": 0},
        "detector": {"model": "toybox"},
        "cameras": {"street": {"url": str(STREET_CLIP), "pace": False, "fps": 2}},
        "watches": {"car": {"prompt": "red car"}},
        "log": {"format": "json"},
    }
    with Daemon(tmp_path, tree) as daemon:
        assert daemon.wait() == 0
        lines = [json.loads(line) for line in daemon.log.splitlines()]
    usual = {"at", "level", "logger", "thread", "message"}
    visits = [line for line in lines if "event" in line]
    assert {line["event"] for line in visits} == {"new", "end"}
    for line in visits:
        assert line.keys() == usual | {"camera", "watch", "event", "id"}
        assert (line["camera"], line["watch"]) == ("street", "car")
    assert len({line["id"] for line in visits}) == len(visits) / 2
    first = next(line for line in lines if "first frame" in line["message"])
    assert (first.keys(), first["camera"]) == (usual | {"camera"}, "street")
    assert any(line.keys() == usual for line in lines)
