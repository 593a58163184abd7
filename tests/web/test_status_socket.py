"""The socket file of a daemon: whose it is, who may open it, and when it goes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from stat import S_IMODE
from typing import Any

import pytest

from streamwatch.errors import StreamwatchError
from streamwatch.status.socket import ask, forget, look, taught
from streamwatch.web.app import Pages
from streamwatch.web.status_socket import StatusServer


def pages(
    status: Callable[[], dict[str, Any]] = dict,
    look: Callable[[str], bytes | None] = lambda _: None,
) -> Pages:
    return Pages(lambda: (), lambda: True, lambda: b"", status, look)


def serve(path: Path, version: str) -> StatusServer:
    return StatusServer(path, pages(lambda: {"version": version}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "s"


def test_only_its_user_can_open_it_and_it_goes_with_the_daemon(path: Path) -> None:
    server = serve(path, "1")
    assert (S_IMODE(path.stat().st_mode), S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    assert ask([path]) == {"version": "1"}
    server.close()
    assert not list(path.parent.iterdir())
    assert ask([path]) is None


def test_a_second_daemon_leaves_the_socket_of_the_first(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = serve(path, "first")
    second = serve(path, "second")
    assert caplog.messages == [
        f"`streamwatch status` will not find this daemon: another answers on {path}"
    ]
    assert ask([path]) == {"version": "first"}
    second.close()
    assert ask([path]) == {"version": "first"}
    first.close()
    assert not path.exists()


def test_the_socket_of_a_daemon_that_does_not_accept_at_present_is_left(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as frozen, socket.socket(socket.AF_UNIX) as waiting:
        frozen.bind(str(path))
        frozen.listen(0)
        waiting.connect(str(path))  # now its queue is full
        inode = path.stat().st_ino
        serve(path, "second").close()
        assert path.stat().st_ino == inode
    assert "another answers" in caplog.text


def test_the_socket_of_a_killed_daemon_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
        killed.listen()
    server = serve(path, "1")
    assert ask([path]) == {"version": "1"}
    server.close()


def test_a_socket_that_is_no_longer_its_own_is_left(path: Path) -> None:
    first = serve(path, "first")
    path.unlink()
    second = serve(path, "second")
    first.close()
    assert ask([path]) == {"version": "second"}
    second.close()
    assert not path.exists()


def test_a_socket_that_somebody_removed_is_no_trouble(path: Path) -> None:
    server = serve(path, "1")
    path.unlink()
    path.parent.rmdir()
    server.close()


def test_a_folder_that_can_not_be_made_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "run").touch()
    serve(tmp_path / "run" / "s", "1").close()
    assert caplog.messages == [
        f"`streamwatch status` will not find this daemon: {tmp_path / 'run' / 's'}: File exists"
    ]


@pytest.mark.expects_errors
def test_a_fault_of_the_document_is_no_answer(path: Path) -> None:
    server = StatusServer(path, pages(lambda: {"x": {1}}))
    with pytest.raises(TimeoutError, match="it answered 500"):
        ask([path])
    server.close()


def test_a_picture_is_handed_out_or_why_there_is_none(path: Path) -> None:
    """Of a camera with a name of any kind; one that is not read is left to whoever asks."""
    assert look([path], "porch") is None

    def seen(camera: str) -> bytes | None:
        if camera == "gate":
            raise StreamwatchError("gate is offline: rtsp://1.2.3.4/é: no answer within 5 s")
        return b"\xff\xd8of a & b" if camera == "a & b" else None

    server = StatusServer(path, pages(look=seen))
    assert look([path], "a & b") == b"\xff\xd8of a & b"
    assert look([path], "shed") is None
    with pytest.raises(StreamwatchError, match=r"gate is offline: rtsp://1\.2\.3\.4/é: no answer"):
        look([path], "gate")
    server.close()


@pytest.mark.expects_errors
def test_a_picture_that_fails_unforeseen_is_no_answer(path: Path) -> None:
    def breaks(_camera: str) -> bytes:
        raise RuntimeError("no memory")

    server = StatusServer(path, pages(look=breaks))
    with pytest.raises(TimeoutError, match="it answered 500"):
        look([path], "porch")
    server.close()


def test_votes_are_listed_and_taken_back(path: Path) -> None:
    votes = {"01J A&B": {"id": "01J A&B", "is": "wrong"}}

    def take_back(id: str) -> None:
        if votes.pop(id, None) is None:
            raise StreamwatchError(f"nothing was taught of {id}")

    served = replace(pages(), taught=lambda: list(votes.values()), forget=take_back)
    server = StatusServer(path, served)
    assert taught([path]) == [{"id": "01J A&B", "is": "wrong"}]
    assert forget([path], "01J A&B")
    assert taught([path]) == []
    with pytest.raises(StreamwatchError, match="nothing was taught of 01J A&B"):
        forget([path], "01J A&B")
    server.close()
    assert taught([path]) is None
    assert not forget([path], "x")
