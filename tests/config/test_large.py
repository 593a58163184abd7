"""A file of ten thousand cameras: what it becomes, how it is edited, and what is wrong in it."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from streamwatch.config import (
    Amend,
    Config,
    Edit,
    Put,
    Switch,
    config_hash,
    describe,
    load,
    persist,
    warnings,
)
from streamwatch.config.document.reading import MOST_VALUES
from streamwatch.daemon.changing import differences
from streamwatch.errors import ConfigError

pytestmark = pytest.mark.slow(seconds=40)

COUNT = 10_000
DETECTOR = "detector: {model: toybox}\n"
ZONES = """\
    zones:
      door: [[0, 0], [1, 0], [1, 1]]
      yard:
        - [0.1, 0.2]
        - [0.5, 0.2]
        - [0.5, 0.9]
"""


def camera(number: int, more: str = "") -> str:
    address = f"10.0.{number // 256}.{number % 256}"
    return (
        f"  cam{number:05}:\n"
        f"    url: rtsp://me:p%40ss@{address}/stream?channel=1&subtype=0\n"
        f"    fps: 2\n{more}"
    )


def cameras(count: int = COUNT, more: str = "") -> str:
    """The section, in which each fifth camera has zones."""
    return "cameras:\n" + "".join(
        camera(number, more + (ZONES if number % 5 == 0 else "")) for number in range(count)
    )


def watches() -> str:
    named = ", ".join(f"cam{number:05}" for number in range(0, COUNT, 7))
    kinds = ("", "    zones: [door]\n", f"    cameras: [{named}]\n", "    cameras: [cam00001]\n")
    return "watches:\n" + "".join(
        f"  w{number}:\n    prompt: person\n{kinds[number % 4]}" for number in range(20)
    )


@pytest.fixture(scope="module")
def text() -> str:
    return DETECTOR + cameras() + watches()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, text: str) -> Path:
    path = tmp_path_factory.mktemp("large") / "config.yaml"
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def config(path: Path) -> Config:
    return load(path)


def told(path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, text)
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]


def test_all_cameras_are_loaded(text: str, config: Config) -> None:
    assert len(text) > 1_000_000
    assert [*config.cameras] == [f"cam{number:05}" for number in range(COUNT)]
    last = config.cameras["cam09999"]
    assert last.url == "rtsp://me:p%40ss@10.0.39.15/stream?channel=1&subtype=0"
    assert (last.fps, last.zones) == (2, {})
    assert [*config.cameras["cam09995"].zones] == ["door", "yard"]
    assert len(config.cameras_of("w0")) == COUNT
    assert len(config.cameras_of("w1")) == COUNT / 5
    assert gc.isenabled()


def test_it_is_described(config: Config, path: Path) -> None:
    assert sum(line.startswith("camera ") for line in describe(config)) == COUNT
    assert all(len(str(advice)) < 2000 for advice in warnings(config, path))
    (toybox,) = [a.message for a in warnings(config) if a.path == "detector.model"]
    assert "as of cam00000, cam00001, " in toybox
    assert ", cam00029 and 9,970 more; for those run" in toybox


def test_a_command_edits_it(config: Config, path: Path) -> None:
    edits = [
        Edit("cameras", "cam00004", Switch(False)),
        Edit("cameras", "cam00005", Amend({"fps": 3})),
        Edit("cameras", "new", Put({"url": "bundled:street"})),
    ]
    edited = load(path, None, edits)
    assert differences(config, edited) == (
        "camera new added",
        "camera cam00004 changed",
        "camera cam00005 changed",
    )
    assert config_hash(edited) != config_hash(config)


def test_an_edit_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    text = DETECTOR + cameras(2000)
    path.write_text(text)
    persist(path, [Edit("cameras", "cam01999", Amend({"fps": 3}))])
    head, _, tail = text.rpartition("    fps: 2\n")
    assert path.read_text() == f"{head}    fps: 3\n{tail}"


def test_a_mistake_far_down_has_its_place(path: Path, text: str) -> None:
    lines = text.split("\n")
    at = next(n for n in range(39_990, len(lines)) if lines[n] == "    fps: 2")
    lines[at] = "    fps: fast"
    (wrong,) = told(path, "\n".join(lines))
    assert wrong.startswith(f"{at + 1}:10: cameras.cam")
    assert wrong.endswith(".fps: 'fast' is not a number above 0 and at most 120")
    lines[at] = "   fps: 2"
    assert told(path, "\n".join(lines)) == [
        f"{at + 1}:4: this does not fit to the lines above; is the indentation the same, or a quote"
        " too many?"
    ]


def test_all_mistakes_are_told_at_once_and_in_order(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    unset = "    name: ${NOT_SET}\n    motion: of\n    motion: auto\n"
    found = told(path, DETECTOR + cameras(2000, unset))
    assert len(found) == 3 * 2000
    assert found[:3] == [
        "6:11: cameras.cam00000.name: the environment variable NOT_SET is not set",
        "7:13: cameras.cam00000.motion: 'of' is not allowed; write auto or off; did you mean"
        " 'off'?",
        "8:5: cameras.cam00000.motion: given twice; the first stands in line 7",
    ]
    lines = [int(problem.split(":")[0]) for problem in found]
    assert lines == sorted(lines)


def test_of_many_names_few_are_told(path: Path, text: str) -> None:
    found = told(path, text.replace("[cam00001]", "[porch, cam1000]").replace("[door]", "[roof]"))
    assert len(found) == 15
    assert found[1].endswith(
        ".cameras[0]: 'porch' is not a camera; there is cam00000, cam00001, "
        + "".join(f"cam{number:05}, " for number in range(2, 29))
        + "cam00029 and 9,970 more"
    )
    assert found[2].endswith("'cam1000' is not a camera; did you mean 'cam01000'?")
    assert found[0].endswith("cam00029 or 9,970 more; there is door and yard")


def test_many_misspelt_names_are_told(path: Path, text: str) -> None:
    found = told(path, text.replace("[cam", "[xam").replace(", cam", ", xam"))
    assert len(found) == 5 * len(range(0, COUNT, 7)) + 5
    assert "did you mean" in found[0]
    assert "; there is cam00000, " in found[-1]


def test_all_may_merge_the_same(path: Path) -> None:
    shared = (
        "x-all: &all {enabled: true, transport: tcp, loop: false, pace: true, motion: auto,"
        " ignore: [[[0, 0], [1, 0], [1, 1]]]}\n"
    )
    config = load(path, shared + DETECTOR + cameras(COUNT, "    <<: *all\n"))
    assert len(config.cameras["cam09999"].ignore) == 1


def test_an_alias_bomb_in_it_is_refused(path: Path, text: str) -> None:
    bomb = "x-0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)
    )
    (wrong,) = told(path, text + bomb)
    most = len(text + bomb) // 4
    assert most > MOST_VALUES
    assert wrong.endswith(f"too much: aliases unfold to more than {most} values")


@pytest.mark.parametrize("deep", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "[" * 1_000_000])
def test_deep_nesting_in_it_is_refused(path: Path, deep: str) -> None:
    text = DETECTOR + cameras(2000)
    (wrong,) = told(path, f"{text}x-deep:\n  {deep}")
    assert wrong.startswith(f"{text.count(chr(10)) + 2}:")
    assert wrong.endswith("nested too deeply; at most 40 levels")
