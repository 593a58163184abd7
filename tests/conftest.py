"""Fixtures for every test: the real parts, and a check that fails on an unexpected ERROR.

Modules run side by side in several processes (pytest-xdist), which share the cores, the vectors of
prompts and the compiled detector, but nothing else.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.parts import SIDE_BY_SIDE, made_once
from tests.parts.compiled import compile_toybox

pytest_plugins = [
    "tests.parts.certificates",
    "tests.parts.home_assistant",
    "tests.parts.mosquitto",
    "tests.parts.rtsp",
    "tests.parts.vectors",
    "tests.parts.browser",  # after those that it imports
    "tests.parts.pages",
]

# How long an example takes says something of the machine, not of the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

if SIDE_BY_SIDE:
    # With a thread per core in each process, threads would only wait for each other. PyTorch reads
    # this once, here and in the processes that the tests start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


WAITING = ("daemon", "doctor", "fleet", "page", "publisher", "source", "status", "web")
"""The folders whose tests wait most of the time; those of the others keep the cores busy."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run modules that wait beside those that calculate, and of both the slowest first, so that
    none runs alone at the end."""
    if not SIDE_BY_SIDE:
        return
    modules = sorted({item.path: _seconds(item) for item in items}.items(), key=lambda m: -m[1])
    begins: dict[Path, float] = {}
    for waiting in (False, True):
        ours = [module for module in modules if _waits(module[0]) == waiting]
        total = sum(seconds for _, seconds in ours)
        before = 0
        for path, seconds in ours:
            begins[path] = before / total
            before += seconds
    items.sort(key=lambda item: begins[item.path])


def _seconds(item: pytest.Item) -> int:
    slow = item.get_closest_marker("slow")
    return slow.kwargs["seconds"] if slow else 1


def _waits(path: Path) -> bool:
    return path.relative_to(Path(__file__).parent).parts[0] in WAITING


@pytest.fixture(scope="session")
def ipv6() -> str:
    """`::1`; skips the test on a machine without IPv6 on its loopback."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 on its loopback")
    return "::1"


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Use a cache folder of the tests' own instead of the user's.

    All processes of a run share the vectors of prompts and the compiled detector, which take
    seconds to make.
    """
    cache = tmp_path_factory.mktemp("cache")
    if SIDE_BY_SIDE:
        vectors = made_once(tmp_path_factory, "embeddings", lambda _: None)
        (cache / "embeddings").symlink_to(vectors)
        compiled = made_once(tmp_path_factory, "compiled", compile_toybox)
        (cache / "compiled").symlink_to(compiled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CACHE_DIRECTORY", str(cache))
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
