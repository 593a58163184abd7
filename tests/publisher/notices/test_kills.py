"""Notices of a process that is killed again and again, to a server that fails at random."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts.ntfy import Fault, NtfyServer, Told
from tests.publisher.notices.running import notify, running

pytestmark = pytest.mark.slow(seconds=20)

KILLS = 8
CHILD = """
import sys, time
from pathlib import Path
from tests.publisher.notices.running import notify, running, tell
with running(Path(sys.argv[1]), notify(sys.argv[2])) as notices:
    for number in range(int(sys.argv[3]), 1_000_000):
        tell(notices, str(number))
        print(number, flush=True)
        time.sleep(0.01)
"""


def test_nothing_is_lost_and_only_what_met_a_fault_comes_again(tmp_path: Path) -> None:
    file, chance = tmp_path / "notices.sqlite3", random.Random(1)

    def fault(_: Told) -> Fault | None:
        faults: list[Fault | None] = [None, 429, 500, "closed", "slow"]
        return chance.choices(faults, [90, 4, 4, 2, 1])[0]

    kept: list[int] = []
    with NtfyServer() as server:
        server.always = fault
        for _ in range(KILLS):
            # One that was killed may have kept a number that it did not print yet.
            begin = kept[-1] + 2 if kept else 0
            with subprocess.Popen(
                [sys.executable, "-c", CHILD, str(file), server.url(), str(begin)],
                stdout=subprocess.PIPE,
                text=True,
            ) as child:
                assert child.stdout is not None
                try:
                    printed = [child.stdout.readline() for _ in range(chance.randrange(5, 60))]
                finally:
                    child.kill()
                kept += map(int, [*printed, *child.stdout.read().splitlines()])
        with running(file, notify(server.url())) as notices:
            server.wait_for(lambda: notices.states[0].waiting == 0, 120.0)
        told = [int(each.text) for each in server.taken]
        unanswered = sum(each.fault in ("closed", "slow") for each in server.told)
        everything = [int(each.text) for each in server.told if not isinstance(each.fault, int)]
    assert set(kept) <= set(told)
    assert list(dict.fromkeys(told)) == sorted(set(told))
    assert len(everything) - len(set(everything)) <= unanswered + KILLS
