"""What the log says of prompts that will find nothing: once, and with the line."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from streamwatch.config import load
from streamwatch.daemon.advising import Advising

HEAD = "detector: {model: toybox}\ncameras: {a: {url: bundled:street}}\nwatches:\n"
LIST = (
    "is looked for as one phrase, which commas, full stops and 'or' don't divide; if each by "
    "itself is meant, write prompt: [dog, cat]"
)


class Bench:
    def __init__(self, file: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.file = file
        self.caplog = caplog
        self.advising = Advising()

    def said(self, watches: str, *, placed: bool = True) -> list[str]:
        """What is logged when the file has these watches."""
        self.caplog.clear()
        self.file.write_text(HEAD + watches)
        self.advising.look_at(load(self.file), self.file if placed else None)
        assert {record.levelno for record in self.caplog.records} <= {logging.WARNING}
        return [record.getMessage() for record in self.caplog.records]


@pytest.fixture
def bench(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Bench:
    return Bench(tmp_path / "config.yaml", caplog)


def test_each_warning_is_told_once_until_it_no_longer_holds(bench: Bench) -> None:
    one = f"{bench.file}:4:15: watches.w.prompt: 'dog, cat' {LIST}"
    two = f"{bench.file}:5:15: watches.v.prompt: 'dog or cat' {LIST}"
    assert bench.said("  w: {prompt: 'dog, cat'}\n") == [one]
    assert bench.said("  w: {prompt: 'dog, cat'}\n  v: {prompt: dog or cat}\n") == [two]
    assert bench.said("  w: {prompt: dog}\n  v: {prompt: dog or cat}\n") == []
    assert bench.said("  w: {prompt: 'dog, cat'}\n") == [one]


def test_without_the_right_file_there_is_no_line(bench: Bench) -> None:
    assert bench.said("  w: {prompt: 'dog, cat'}\n", placed=False) == [
        f"watches.w.prompt: 'dog, cat' {LIST}"
    ]


def test_a_file_that_is_broken_meanwhile_has_no_lines(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.file.write_text(HEAD + "  w: {prompt: 'dog, cat'}\n")
    config = load(bench.file)
    bench.file.write_text("[")
    bench.advising.look_at(config, bench.file)
    assert caplog.messages == [f"watches.w.prompt: 'dog, cat' {LIST}"]


def test_toybox_at_a_camera_is_told_at_its_model(bench: Bench) -> None:
    bench.file.write_text(HEAD.replace("bundled:street", "'rtsp://cam/'") + "  w: {prompt: dog}\n")
    bench.advising.look_at(load(bench.file), bench.file)
    (said,) = bench.caplog.messages
    assert said.startswith(f"{bench.file}:1:19: detector.model: toybox knows drawn scenes only")
