"""What every test shares: the real parts, and that an unexpected ERROR in the log fails."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import pytest

pytest_plugins = [
    "tests.parts.certificates",
    "tests.parts.home_assistant",
    "tests.parts.mosquitto",
    "tests.parts.rtsp",
]


@pytest.fixture(scope="session")
def ipv6() -> str:
    """`::1`; a machine without IPv6 on its loopback skips the test."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 on its loopback")
    return "::1"


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is read from or left in the cache of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CACHE_DIRECTORY", str(tmp_path_factory.mktemp("cache")))
        yield


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
