"""Lines that others can cause as often as they like."""

from __future__ import annotations

import logging

import pytest

from streamwatch.logs import Seldom

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
