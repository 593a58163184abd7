"""A file arrives whole or not at all, whatever the line does."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections import namedtuple
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest

from streamwatch.errors import DetectorError
from streamwatch.models import fetching
from streamwatch.models.fetching import Fetcher, Patience
from tests.parts import free_port
from tests.parts.model_server import (
    Fault,
    Web,
    break_off,
    good,
    lie,
    redirect,
    serving,
    stall,
    status,
)

CONTENT = os.urandom(300_000)
FILE = "/release/model.pt"
IMPATIENT = Patience(connect_seconds=2, stall_seconds=0.3, tries=3, pause_seconds=0.01)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as server:
        server.files[FILE] = CONTENT
        yield server


def fetch(web: Web, folder: Path, patience: Patience = IMPATIENT) -> list[tuple[int, int | None]]:
    """The progress told; the content is checked."""
    told: list[tuple[int, int | None]] = []
    part = folder / "model.pt.part"
    Fetcher(patience).file(
        web.address(FILE), part, lambda name, done, total: told.append((done, total)), "model.pt"
    )
    assert part.read_bytes() == CONTENT
    assert list(folder.iterdir()) == [part]
    return told


def refusal(web: Web, folder: Path, patience: Patience = IMPATIENT) -> str:
    """What is said when it can't be had: one sentence, the address first."""
    with pytest.raises(DetectorError) as caught:
        fetch(web, folder, patience)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(f"{web.address(FILE)} can't be fetched: ")
    return said.removeprefix(f"{web.address(FILE)} can't be fetched: ")


def test_a_file_is_fetched_in_one_request(web: Web, tmp_path: Path) -> None:
    told = fetch(web, tmp_path)
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert told == sorted(told)
    assert web.ranges(FILE) == [None]


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([break_off(100_000), good], id="breaks off"),
        pytest.param([break_off(100_000), break_off(50_000), good], id="breaks off twice"),
        pytest.param([stall(100_000), good], id="stalls"),
        pytest.param([lie(400_000), good], id="promises too much"),
        pytest.param([status(503), good], id="in trouble"),
        pytest.param([status(429, Retry_After=0), good], id="too many requests"),
        pytest.param([redirect("/elsewhere/model.pt"), good], id="redirects"),
    ],
)
def test_temporary_errors_are_retried(web: Web, tmp_path: Path, faults: list[Fault]) -> None:
    web.files["/elsewhere/model.pt"] = CONTENT
    web.faults[FILE] = faults
    fetch(web, tmp_path)


def test_a_broken_download_is_resumed(web: Web, tmp_path: Path) -> None:
    web.faults[FILE] = [break_off(100_000), good]
    fetch(web, tmp_path)
    assert web.ranges(FILE) == [None, "bytes=100000-"]


def test_a_later_call_resumes_an_earlier_one(web: Web, tmp_path: Path) -> None:
    web.faults[FILE] = [break_off(100_000), status(404)]
    assert refusal(web, tmp_path) == "there is no such file (404); 0.1 MB of 0.3 MB are kept"
    del web.faults[FILE]
    told = fetch(web, tmp_path)
    assert told[0][0] > 100_000
    assert web.ranges(FILE)[-1] == "bytes=100000-"


def test_a_file_changed_on_the_server_is_fetched_from_the_start(web: Web, tmp_path: Path) -> None:
    (tmp_path / "model.pt.part").write_bytes(b"of an older one")
    (tmp_path / "model.pt.part.etag").write_text('"older"')
    fetch(web, tmp_path)
    assert web.ranges(FILE) == ["bytes=15-"]


def test_a_part_without_an_etag_is_fetched_from_the_start(web: Web, tmp_path: Path) -> None:
    (tmp_path / "model.pt.part").write_bytes(b"of who knows what")
    fetch(web, tmp_path)
    assert web.ranges(FILE) == [None]


@pytest.mark.parametrize("extra", [b"", b"too much"])
def test_a_part_that_is_complete_or_too_long(web: Web, tmp_path: Path, extra: bytes) -> None:
    web.faults[FILE] = [break_off(len(CONTENT) - 1), status(404)]
    refusal(web, tmp_path)
    (tmp_path / "model.pt.part").write_bytes(CONTENT + extra)
    del web.faults[FILE]
    fetch(web, tmp_path)


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        pytest.param([status(404)], "there is no such file (404)", id="404"),
        pytest.param([status(403)], "the server refuses it (403)", id="403"),
        pytest.param([status(418)], "the server answers 418", id="418"),
        pytest.param([status(500)], "the server is in trouble (500)", id="500"),
        pytest.param(
            [status(429)], "the server has had too many requests from here (429)", id="429"
        ),
        pytest.param(
            [status(429, Retry_After=3600)],
            "the server has had too many requests from here (429) and asks to wait 3600 s",
            id="429 for an hour",
        ),
        pytest.param(
            [break_off(1000)],
            "the connection broke off; 0.0 MB of 0.3 MB are kept",
            id="breaks off for ever",
        ),
        pytest.param(
            [stall(40_000)],
            "no byte came for 0.3 s; 0.1 MB of 0.3 MB are kept",
            id="stalls for ever",
        ),
        pytest.param([redirect(FILE)], "it is redirected in a circle", id="circle"),
    ],
)
def test_permanent_errors_are_one_sentence(
    web: Web, tmp_path: Path, faults: list[Fault], said: str
) -> None:
    web.faults[FILE] = faults
    assert refusal(web, tmp_path) == said


def test_retry_after_is_obeyed(web: Web, tmp_path: Path) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    web.faults[FILE] = [
        status(429, Retry_After=format_datetime(soon, usegmt=True)),
        status(429, Retry_After="whenever"),
        good,
    ]
    fetch(web, tmp_path)


def test_progress_resets_the_count_of_tries(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "WORTH_ANOTHER_ROUND", 50_000)
    web.faults[FILE] = [*[break_off(50_000)] * 5, good]
    fetch(web, tmp_path)
    assert len(web.ranges(FILE)) == 6 > IMPATIENT.tries


def test_an_unreachable_host_is_an_error_without_retries(tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}{FILE}"
    with pytest.raises(DetectorError, match=r"^http://\S+ can't be fetched: 127\.0\.0\.1 can't be"):
        Fetcher().file(address, tmp_path / "part", lambda *_: None, "model.pt")


def test_a_full_disk_is_an_error(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 1000))
        assert refusal(web, tmp_path) == f"it needs 0.3 MB, and {tmp_path} has 0.0 MB free"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DetectorError, match=r"can't be fetched: the disk is full"):
        Fetcher(IMPATIENT).file(web.address(FILE), tmp_path / "part", full, "model.pt")


def test_a_folder_without_write_permission_is_an_error(web: Web, tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.mkdir()
    with pytest.raises(DetectorError, match=r"it can't be written \(Is a directory: .*part\)$"):
        Fetcher(IMPATIENT).file(web.address(FILE), part, lambda *_: None, "model.pt")


def test_invalid_json_is_an_error(web: Web) -> None:
    web.files["/api"] = b"<html>please log in</html>"
    with pytest.raises(DetectorError, match="the answer is no JSON; is a portal in between"):
        Fetcher(IMPATIENT).json(web.address("/api"))


def test_a_redirect_from_https_to_http_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint is a program: who asked with TLS gets it with TLS, or not at all."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.scheme == "https":
            return httpx.Response(302, headers={"Location": "http://mirror.example/model.pt"})
        return httpx.Response(200, content=b"swapped on the way")

    client = httpx.Client(transport=httpx.MockTransport(answer), follow_redirects=True)
    monkeypatch.setattr(fetching, "_client", lambda _: client)
    with pytest.raises(DetectorError, match=r"fetched: it leads to an address without TLS$"):
        Fetcher(IMPATIENT).file("https://a.example/b.pt", tmp_path / "p", lambda *_: None, "b.pt")


def test_no_secret_of_an_address_is_told(
    web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "streamwatch")
    web.faults[FILE] = [status(500)]
    signed = web.address(FILE).replace("//", "//me:hunter2@") + "?X-Signature=hunter2&id=7"
    with pytest.raises(DetectorError) as caught:
        Fetcher(IMPATIENT).file(signed, tmp_path / "part", lambda *_: None, "model.pt")
    masked = signed.replace("hunter2", "***").replace("=7", "=***")
    assert str(caught.value).startswith(f"{masked} can't be fetched: ")
    assert f"{masked}: the server is in trouble (500); trying again" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("address", ["http://me:hunter2@host:x/?a=hunter2", "ftp://h/?a=hunter2"])
def test_what_is_no_address_is_an_error(tmp_path: Path, address: str) -> None:
    with pytest.raises(DetectorError, match=r"^\S+\?a=\*\*\* can't be fetched: ") as caught:
        Fetcher().file(address, tmp_path / "part", lambda *_: None, "model.pt")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["foo://me:hunter2@host:1", "http://me:hunter2@host:x"])
def test_a_wrong_proxy_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(DetectorError, match=r"^the proxy that the environment names can't") as told:
        Fetcher().file("https://a.example/b.pt", tmp_path / "part", lambda *_: None, "model.pt")
    assert "hunter2" not in str(told.value)
