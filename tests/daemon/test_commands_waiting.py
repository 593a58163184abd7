"""Commands that wait for the reloading thread: how many, and what comes before them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
import yaml

from streamwatch.config import Config
from streamwatch.daemon.changing import MOST_COMMANDS, Applied, Outcome
from streamwatch.daemon.reloading import Reloading, start

PATIENCE_SECONDS = 30.0


class Bench:
    """A reloading thread that applies to nothing, and what it has done in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write("red car")
        self.done: list[str] = []
        self.live = threading.Event()
        self.released = threading.Event()
        self.reloading = Reloading(
            *start(path, last_good=False),
            apply=self.apply,
            unknown=lambda _: (),
            encode=lambda _prompts, _config: Future(),
            on_outcome=self.take_outcome,
            on_cut_off=lambda _: None,
        )

    def write(self, prompt: str) -> None:
        tree = {
            "detector": {"model": "toybox"},
            "cameras": {"street": {"url": "bundled:street"}},
            "watches": {"car": {"prompt": prompt}},
        }
        self.path.write_text(yaml.safe_dump(tree))

    def apply(self, _config: Config) -> Applied:
        return Applied((), 0.0)

    def take_outcome(self, outcome: Outcome) -> None:
        assert outcome.error is None
        self.done.append("file")
        self.live.set()

    def hold(self) -> None:
        """Keep the thread busy with a command until it is `released`."""
        begun = threading.Event()

        def wait() -> None:
            begun.set()
            assert self.released.wait(PATIENCE_SECONDS)

        assert self.reloading.offer(wait)
        assert begun.wait(PATIENCE_SECONDS)

    def offer(self, name: str) -> bool:
        return self.reloading.offer(lambda: self.done.append(name))

    def finish(self) -> None:
        """Return when everything that waits is done."""
        last = threading.Event()
        self.released.set()
        while not self.reloading.offer(last.set):
            pass
        assert last.wait(PATIENCE_SECONDS)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    bench = Bench(tmp_path / "config.yaml")
    bench.reloading.start()
    yield bench
    bench.reloading.request_stop()
    assert bench.reloading.failure is None


def test_only_so_many_commands_wait(bench: Bench) -> None:
    bench.hold()
    assert all(bench.offer(f"{number}") for number in range(MOST_COMMANDS))
    assert not bench.offer("one more")
    bench.finish()
    assert bench.done == [f"{number}" for number in range(MOST_COMMANDS)]
    assert bench.offer("later")


def test_a_signal_and_what_goes_on_come_before_commands(bench: Bench) -> None:
    bench.hold()
    bench.offer("command")
    bench.reloading.do(lambda: bench.done.append("goes on"))
    bench.reloading.request()
    bench.finish()
    assert bench.done == ["file", "goes on", "command"]


def test_a_saved_file_takes_effect_during_a_flood_that_does_not_end(bench: Bench) -> None:
    over = threading.Event()

    def flood() -> None:
        while not over.is_set():
            bench.offer("command")

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        bench.write("blue car")
        assert bench.live.wait(PATIENCE_SECONDS)
    finally:
        over.set()
        thread.join()
    bench.finish()
