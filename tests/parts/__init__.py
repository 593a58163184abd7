"""The real programs the tests run against, each on a free loopback port."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest


def missing(part: str, package: str) -> None:
    """Skip the test by the name of the part it lacks; fail where every part must be there."""
    message = f"{part} is not installed (Debian: {package})"
    if os.environ.get("STREAMWATCH_REQUIRE_PARTS") == "1":
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    """A TCP port of the loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


TOYBOX = Path(__file__).parents[2] / "streamwatch" / "models" / "toybox"
STREET_CLIP = TOYBOX / "street.mp4"
STREET_TRUTH = Path(__file__).parents[1] / "truth" / "street.truth.json"
