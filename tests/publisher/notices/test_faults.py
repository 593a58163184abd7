"""Notices to a server standing for ntfy that fails: told at least once, in order, and once where
no fault falls between sending and answer."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from streamwatch.publisher.notices.sending import Failure
from tests.parts import free_port
from tests.parts.ntfy import Fault, NtfyServer, Told
from tests.publisher.notices.running import LIMITS, NAMES, Said, notify, running, tell

pytestmark = pytest.mark.slow(seconds=40)

IDS = tuple(f"visit-{number}" for number in range(8))
JPEG = b"\xff\xd8 a picture \xff\xd9"


def test_each_notice_is_told_once_and_in_order(tmp_path: Path) -> None:
    with NtfyServer() as server:
        with running(tmp_path / "notices.sqlite3", notify(server.url())) as notices:
            tell(notices, *IDS, picture=JPEG)
            server.wait_for(lambda: len(server.taken) >= len(IDS))
            assert notices.stop(10.0) == 0
        assert server.texts() == list(IDS)
        assert {each.picture for each in server.told} == {JPEG}


def test_a_server_that_is_down_at_first_gets_all_once(tmp_path: Path) -> None:
    server, said = NtfyServer(), Said()
    with running(tmp_path / "notices.sqlite3", notify(server.url()), said) as notices:
        tell(notices, *IDS[:4])
        while not said.problems:
            server._closing.wait(0.05)
        tell(notices, *IDS[4:])
        with server:
            server.wait_for(lambda: len(server.taken) >= len(IDS))
            assert notices.stop(10.0) == 0
    assert [each.text for each in server.told] == list(IDS)
    first, second = said.problems
    assert str(first).startswith("notices to notify[0] (ntfy) wait: ")
    assert second is None


@pytest.mark.parametrize("fault", [429, 500, 503, 408])
def test_what_is_refused_for_now_is_told_once(tmp_path: Path, fault: Fault) -> None:
    said = Said()
    with NtfyServer() as server:
        server.faults.extend([fault] * 7)
        with running(tmp_path / "notices.sqlite3", notify(server.url()), said) as notices:
            tell(notices, *IDS)
            server.wait_for(lambda: len(server.taken) >= len(IDS))
            assert notices.stop(10.0) == 0
        assert server.texts() == list(IDS)
    assert [sentence is None for sentence in said.problems] == [False, True]
    assert said.problems[0] is not None
    assert f"it answers {fault} (" in said.problems[0]
    assert not said.losses


@pytest.mark.parametrize("fault", ["slow", "closed"])
def test_what_was_taken_without_an_answer_is_told_again(tmp_path: Path, fault: Fault) -> None:
    with NtfyServer() as server:
        server.faults.append(fault)
        with running(tmp_path / "notices.sqlite3", notify(server.url())) as notices:
            tell(notices, *IDS)
            server.wait_for(lambda: len(server.taken) >= len(IDS))
            assert notices.stop(10.0) == 0
        assert [each.text for each in server.told] == [IDS[0], *IDS]


def test_a_refusal_for_good_is_given_up_and_told(tmp_path: Path) -> None:
    said = Said()
    with NtfyServer() as server:
        server.always = lambda told: 403 if told.text == IDS[1] else None
        with running(tmp_path / "notices.sqlite3", notify(server.url()), said) as notices:
            tell(notices, *IDS)
            server.wait_for(lambda: len(server.taken) >= len(IDS) - 1)
            assert notices.stop(10.0) == 0
            (state,) = notices.states
        assert server.texts() == [IDS[0], *IDS[2:]]
        assert sum(each.text == IDS[1] for each in server.told) == 5
    assert said.losses == [
        "notices to notify[0] (ntfy) dropped: 1; it is refused: it answers 403 (Forbidden)"
    ]
    assert (state.sent, state.given_up) == (len(IDS) - 1, 1)


def test_a_picture_that_is_refused_costs_only_itself(tmp_path: Path) -> None:
    def no_pictures(told: Told) -> Fault | None:
        return 413 if told.picture else None

    with NtfyServer() as server:
        server.always = no_pictures
        with running(tmp_path / "notices.sqlite3", notify(server.url())) as notices:
            tell(notices, *IDS[:2], picture=JPEG)
            server.wait_for(lambda: len(server.taken) >= 2)
        assert server.texts() == list(IDS[:2])


def test_a_service_that_is_down_does_not_hold_up_another(tmp_path: Path) -> None:
    with NtfyServer() as server:
        down = f"ntfy://127.0.0.1:{free_port()}/alerts"
        file = tmp_path / "notices.sqlite3"
        with running(file, notify(down, server.url())) as notices:
            tell(notices, *IDS)
            server.wait_for(lambda: len(server.taken) >= len(IDS))
            notices.stop(10.0)
            assert [state.waiting for state in notices.states] == [len(IDS), 0]
        said = Said()
        with running(file, notify(server.url()), said) as notices:
            assert [state.waiting for state in notices.states] == [0]


def test_what_waits_is_sent_after_a_restart(tmp_path: Path) -> None:
    server, file = NtfyServer(), tmp_path / "notices.sqlite3"
    with running(file, notify(server.url())) as notices:
        tell(notices, *IDS[:5], picture=JPEG)
        assert notices.stop(10.0) == 5
    with server, running(file, notify(server.url())) as notices:
        tell(notices, *IDS[5:], picture=JPEG)
        server.wait_for(lambda: len(server.taken) >= len(IDS))
    assert [each.text for each in server.told] == list(IDS)
    assert {each.picture for each in server.told} == {JPEG}


def test_a_stop_waits_for_no_service_that_hangs_and_keeps_the_notice(tmp_path: Path) -> None:
    sending, answered = threading.Event(), threading.Event()

    def hang(*_: object) -> Failure | None:
        sending.set()
        answered.wait(60.0)
        return None

    file = tmp_path / "notices.sqlite3"
    with running(file, notify("json://localhost"), send=hang) as notices:
        tell(notices, *IDS[:2])
        assert sending.wait(60.0)
        assert notices.stop(0.1) == 2
        answered.set()
    with running(file, notify("json://localhost"), send=lambda *_: None) as notices:
        tell(notices, IDS[2])


def test_an_edit_drops_what_waits_for_a_url_that_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said, file = Said(), tmp_path / "notices.sqlite3"
    with NtfyServer() as server:
        down = f"ntfy://127.0.0.1:{free_port()}/alerts"
        both, one = notify(down, server.url()), notify(server.url())
        with running(file, both, said) as notices:
            tell(notices, *IDS[:3])
            server.wait_for(lambda: len(server.taken) == 3 and said.problems)
            notices.change(one, NAMES, LIMITS)
            assert [state.label for state in notices.states] == ["notify[0] (ntfy)"]
            assert [sentence is None for sentence in said.problems] == [False, True]
            tell(notices, IDS[3])
            server.wait_for(lambda: notices.states[0].sent == 4)
            notices.change((), NAMES, LIMITS)
            tell(notices, IDS[4])
            assert notices.states == []
        assert server.texts() == list(IDS[:4])
    dropped = "notices dropped for services that the configuration no longer has: 3"
    assert [line for line in caplog.messages if "no longer" in line] == [dropped]


def test_apprise_is_loaded_only_for_notices(tmp_path: Path) -> None:
    program = (
        "import sys; from streamwatch.config import load; from pathlib import Path;"
        "import streamwatch.daemon.daemon; load(Path(sys.argv[1]));"
        "sys.exit('apprise' in sys.modules)"
    )
    file = tmp_path / "config.yaml"
    file.write_text("detector: {model: toybox}\ncameras: {a: {url: bundled:street}}\n")
    subprocess.run([sys.executable, "-c", program, str(file)], check=True, timeout=60)


CHILD = """
import sys, time
from pathlib import Path
from tests.publisher.notices.running import notify, running, tell
with running(Path(sys.argv[1]), notify(sys.argv[2])) as notices:
    for number in range(int(sys.argv[3])):
        tell(notices, f"visit-{number}")
        print(number, flush=True)
    time.sleep(600)
"""


def test_a_kill_loses_nothing(tmp_path: Path) -> None:
    file, count = tmp_path / "notices.sqlite3", 60
    with NtfyServer() as server:
        # Faults in between, so that the kill meets it at work.
        busy = iter(range(10_000))
        server.always = lambda _: 500 if next(busy) % 3 == 0 else None
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(file), server.url(), str(count)],
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            try:
                server.wait_for(lambda: len(server.taken) >= 5)
                written = [child.stdout.readline() for _ in range(10)]
            finally:
                child.kill()
            queued = len(written) + len(child.stdout.read().splitlines())
        with running(file, notify(server.url())) as notices:
            ids = [f"visit-{number}" for number in range(queued)]
            server.wait_for(lambda: ids[-1] in server.texts())
            notices.stop(10.0)
        told = server.texts()
        assert set(ids) <= set(told)
        assert list(dict.fromkeys(told))[:queued] == ids
        assert len(told) <= len({*told}) + 1  # the one on its way at the kill


def test_secrets_are_in_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = Said()
    with NtfyServer() as server:
        server.faults.extend([401, "closed", 500])
        secret = f"ntfy://maria:pass-word@127.0.0.1:{server.port}/hidden-topic?rto=1"
        with running(tmp_path / "notices.sqlite3", notify(secret), said) as notices:
            tell(notices, *IDS)
            server.wait_for(lambda: len(server.taken) >= len(IDS))
            states = str(notices.states)
    ours = [record.getMessage() for record in caplog.records if "streamwatch" in record.name]
    assert ours
    # pytest reads its lines all the same; the daemon's log does not hold them.
    assert not logging.getLogger("apprise").propagate
    content = b"".join(path.read_bytes() for path in tmp_path.glob("notices.sqlite3*"))
    for word in ("pass-word", "hidden-topic", "maria"):
        assert word not in f"{ours} {said} {states}"
        assert word.encode() not in content
