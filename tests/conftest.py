"""What every test shares: the real parts, and that an unexpected ERROR in the log fails."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

pytest_plugins = ["tests.parts.certificates", "tests.parts.mosquitto", "tests.parts.rtsp"]


@pytest.fixture(autouse=True)
def no_unexpected_errors(
    caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> Iterator[None]:
    """Fail a test that logs an ERROR, unless it is marked `expects_errors`."""
    yield
    if request.node.get_closest_marker("expects_errors"):
        return
    errors = [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.levelno >= logging.ERROR and record.name.startswith("streamwatch")
    ]
    assert not errors, f"unexpected errors in the log: {errors}"
