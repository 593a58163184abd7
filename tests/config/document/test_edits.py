"""Edits of commands: checked like the file, and told of as theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamwatch.config import Config, Edit, Put, Remove, Switch, load
from streamwatch.errors import ConfigError

TEXT = """\
detector: {model: toybox}
cameras:
  porch: {url: bundled:street, zones: {steps: [[0, 0], [1, 0], [1, 1]]}}
  yard: {url: bundled:street}
watches:
  bag: {prompt: bag, zones: [steps]}
  dog: {prompt: dog, enabled: false}
"""


def loaded(folder: Path, *edits: Edit, text: str = TEXT) -> Config:
    file = folder / "config.yaml"
    file.write_text(text)
    return load(file, None, edits)


def watch(name: str, change: Any) -> Edit:
    return Edit("watches", name, change)


def test_edits_are_applied_in_order(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        watch("bag", Put({"prompt": ["bag", "sack"], "dwell": "5s"})),
        watch("cat", Put({"prompt": "$$ cat", "confidence": 0.5}, new=True)),
        watch("dog", Switch(True)),
        watch("bag", Switch(False)),
        watch("cow", Put({"prompt": "cow"})),
        watch("cow", Remove()),
        Edit("cameras", "yard", Switch(False)),
    )
    assert config.watches["bag"].prompt == ("bag", "sack")
    assert config.watches["bag"].zones is None
    assert not config.watches["bag"].enabled
    assert config.watches["cat"].prompt == ("$ cat",)
    assert config.watches["dog"].enabled
    assert list(config.watches) == ["bag", "dog", "cat"]
    assert [name for name, camera in config.cameras.items() if camera.enabled] == ["porch"]


def test_a_watch_can_be_added_to_a_file_without_watches(tmp_path: Path) -> None:
    text = TEXT.partition("watches:")[0]
    edit = watch("cat", Put({"prompt": "cat"}))
    assert list(loaded(tmp_path, edit, text=text).watches) == ["cat"]
    assert list(loaded(tmp_path, edit, text=f"{text}watches:\n").watches) == ["cat"]


def test_an_invalid_entry_of_the_file_can_be_replaced(tmp_path: Path) -> None:
    text = TEXT.replace("prompt: bag", "prompt: '${NOT_SET}'")
    edit = watch("bag", Put({"prompt": "bag"}))
    assert loaded(tmp_path, edit, text=text).watches["bag"].prompt == ("bag",)


@pytest.mark.parametrize(
    ("edit", "problems"),
    [
        (
            watch("bag", Put({"promt": "bag"})),
            [
                "command: watches.bag.prompt: is missing; write what to find, as prompt: person",
                "command: watches.bag.promt: unknown key; did you mean 'prompt'?",
            ],
        ),
        (
            watch("bag", Put({"prompt": "bag"}, new=True)),
            ["command: watches.bag: there is one of this name already"],
        ),
        (
            watch("bga", Remove()),
            ["command: watches.bga: there is none of this name; did you mean 'bag'?"],
        ),
        (
            watch("x", Switch(True)),
            ["command: watches.x: there is none of this name; there is bag and dog"],
        ),
        (
            Edit("cameras", "prch", Switch(False)),
            ["command: cameras.prch: there is none of this name; did you mean 'porch'?"],
        ),
        (
            watch("Bag", Put({"prompt": "bag"})),
            [
                "command: watches.Bag: 'Bag' is not a name; use 1 to 63 of a-z, 0-9, _ and -;"
                " did you mean 'bag'?"
            ],
        ),
        (
            watch("x", Put(None)),
            ["command: watches.x.prompt: is missing; write what to find, as prompt: person"],
        ),
        (
            watch("x", Put({"prompt": ["a", "${HOME}"]})),
            [
                "command: watches.x.prompt[1]: a command can't take anything by ${…};"
                " write $$ for a dollar sign before a {"
            ],
        ),
        (
            watch("x", Put({"prompt": "a", "dwell": 3, "cameras": ["prch"]})),
            [
                "command: watches.x.dwell: 3 lacks a unit; write 3s, or ms, m, h or d in place of"
                " s",
                "command: watches.x.cameras[0]: 'prch' is not a camera; did you mean 'porch'?",
            ],
        ),
        (
            watch("x", Put({"prompt": "a", "zones": ["stpes"]})),
            [
                "command: watches.x.zones[0]: 'stpes' is not a zone of camera porch or yard;"
                " did you mean 'steps'?"
            ],
        ),
    ],
)
def test_errors_in_a_command_are_reported_as_such(
    tmp_path: Path, edit: Edit, problems: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, edit)
    assert [str(problem) for problem in caught.value.problems] == problems


def test_a_later_edit_does_not_undo_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is none of this name"):
        loaded(tmp_path, watch("cat", Remove()), watch("cat", Put({"prompt": "cat"})))


def test_errors_in_the_file_keep_their_position(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(
            tmp_path, Edit("cameras", "porch", Remove()), text=TEXT.replace("url: b", "url: B", 1)
        )
    (problem,) = caught.value.problems
    assert str(problem).startswith(
        f"{tmp_path / 'config.yaml'}:6:30: watches.bag.zones[0]: 'steps'"
    )


def test_a_command_nested_too_deeply_is_an_error(tmp_path: Path) -> None:
    deep: object = "x"
    for _ in range(200):
        deep = [deep]
    with pytest.raises(ConfigError, match="nested too deeply"):
        loaded(tmp_path, watch("x", Put({"prompt": deep})))
