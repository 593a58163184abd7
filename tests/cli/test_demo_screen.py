"""What the demo shows, without a daemon."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from streamwatch.cli.demo_screen import ABSENT, OTHER_LINES, Board, held_back, next_step, silence
from streamwatch.config import Config
from streamwatch.paths import shipped


def config(*cameras: str, **watches: object) -> Config:
    return Config.model_validate(
        {
            "mqtt": {"embedded": True, "port": 0},
            "detector": {"model": "toybox"},
            "cameras": {camera: {"url": "bundled:street"} for camera in cameras},
            "watches": {name: {"prompt": prompt} for name, prompt in watches.items()},
        }
    )


def event(number: int, kind: str = "new", **others: Any) -> dict[str, Any]:
    return {
        "id": f"visit-{number}",
        "type": kind,
        "camera": "street",
        "watch": "car",
        "prompt": "red car",
        "confidence": 0.8,
        "zones": [],
        "captured_at": f"2026-11-26T10:17:{number:02}+00:00",
        **others,
    }


def shown(board: Board, height: int = 24, *, on_terminal: bool = True) -> list[str]:
    console = Console(
        file=io.StringIO(), width=80, height=height, force_terminal=on_terminal, no_color=True
    )
    lines = console.render_lines(board, console.options.update(height=None))
    texts = ["".join(segment.text for segment in line).rstrip() for line in lines]
    return [text for text in texts if text]


def test_visits_are_ordered_by_when_they_began() -> None:
    board = Board(config("street", car="red car"))
    board.take(event(2, position=13.24))
    board.take(event(1, position=4.4, prompt="car [late]"))
    board.take(event(2, "update", position=14.0, confidence=0.9, zones=["pavement"]))
    board.take(event(2, "end", position=19.44, confidence=0.7, reason="left"))
    head, _, *visits = shown(board)
    assert head.split() == ["appeared", "gone", "watch", "prompt", "sure", "zones"]
    assert [visit.split() for visit in visits] == [
        ["4.4", "s", "car", "car", "[late]", "80%"],
        ["13.2", "s", "19.4", "s", "car", "red", "car", "90%", "pavement"],
    ]


def test_what_is_there_at_the_end_is_not_gone() -> None:
    board = Board(config("street", car="red car"))
    board.take(event(1, position=4.4))
    board.take(event(1, "end", position=9.9, reason="shutdown"))
    assert shown(board)[-1].split() == ["4.4", "s", "car", "red", "car", "80%"]


def test_a_row_is_cut_to_the_width_of_the_screen() -> None:
    board = Board(config("street", "gate", car="red car"))
    board.take(event(1, position=4.4, prompt="a very long prompt " * 8, zones=["kerb", "lawn"]))
    lines = shown(board)
    assert lines[0].split()[:3] == ["appeared", "gone", "camera"]
    assert len(lines) == 3
    assert all(len(line) <= 80 for line in lines)
    assert "street" in lines[-1]
    assert "…" in lines[-1]


def test_only_the_newest_visits_are_on_a_terminal() -> None:
    board = Board(config("street", car="red car"))
    for number in range(40):
        board.take(event(number, position=float(number)))
    visits = shown(board)[2:]
    assert len(visits) == 24 - OTHER_LINES
    assert visits[0].split()[:2] == [f"{40 - len(visits)}.0", "s"]
    assert visits[-1].split()[:2] == ["39.0", "s"]
    assert len(shown(board, on_terminal=False)) == 2 + 40


def test_the_silence_of_what_is_in_no_clip_is_right() -> None:
    watched = config("street", zoo=["elephant", "giraffe"], car="red car", unicorn="unicorn")
    assert list(silence(watched, {"car"}, ())) == [
        "Silent, which is right: zoo; nothing of the kind is in the clip.",
        "Silent: unicorn; nothing was seen that looks enough like it.",
    ]
    assert list(silence(watched, {"car", "zoo", "unicorn"}, ())) == []
    elsewhere = watched.model_copy(
        update={"cameras": {"gate": watched.cameras["street"].model_copy(update={"url": "0"})}}
    )
    assert list(silence(elsewhere, {"car"}, {"unicorn"})) == [
        "Silent: zoo; nothing was seen that looks enough like it."
    ]


@pytest.mark.parametrize(
    ("rejected", "said"),
    [
        ({}, []),
        (
            {"cat": {"second_look": {"beaten_by": "dog"}}},
            ["Held back by a second look: cat (it looks more like dog)."],
        ),
        (
            {
                "cat": {"second_look": {"beaten_by": "dog"}},
                "hat": {"second_look": {"beaten_by": None}},
            },
            ["Held back by a second look: cat (it looks more like dog) and hat."],
        ),
    ],
)
def test_what_was_held_back_is_told_with_what_it_looks_like(
    rejected: dict[str, Any], said: list[str]
) -> None:
    assert list(held_back(rejected)) == said


def test_what_is_absent_is_what_the_shipped_configuration_says() -> None:
    watches = yaml.safe_load(shipped("config.yaml").read_text())["watches"]
    assert {*watches["zoo"]["prompt"], watches["boat"]["prompt"]} == ABSENT


def test_the_next_step_calls_the_program_as_it_was_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "streamwatch"
    program.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(program), "demo"])
    assert next_step(None) == f"Next, for your own camera:\n  {program} init ~/streamwatch"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert next_step(Path("demo.yaml")) == (
        "Next: change a word in demo.yaml and run it again. For your own camera:\n"
        "  streamwatch init ~/streamwatch"
    )
