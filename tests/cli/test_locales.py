"""Commands in a legacy locale, with other characters in the file, in real processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from streamwatch.config import schema
from tests.parts.daemon import private_environment

pytestmark = pytest.mark.slow(seconds=30)

CONFIG = """\
# Grüße
mqtt: {embedded: true, port: 0}
detector: {model: toybox}
cameras:
  street: {url: bundled:street, name: Straße 門, pace: false, fps: 1}
watches:
  car: {prompt: [red car, rotes Äuto 門], name: Äuto 門}
"""
NOT_UTF_8 = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ASCII = {"LC_ALL": "C", **NOT_UTF_8}


@pytest.fixture(scope="module")
def latin_1(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A locale that is made here, since no system has it any more; else one of output alone."""
    folder = tmp_path_factory.mktemp("locales")
    compiler = shutil.which("localedef")
    if compiler is None or not Path("/usr/share/i18n/locales/de_DE").exists():
        return {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "iso8859-1"}
    subprocess.run(
        [compiler, "-i", "de_DE", "-f", "ISO-8859-1", folder / "de_DE.ISO-8859-1"], check=True
    )
    return {"LC_ALL": "de_DE.ISO-8859-1", "LOCPATH": str(folder)}


def result(
    folder: Path, locale: dict[str, str], *arguments: str | Path | bytes
) -> tuple[int, bytes, bytes]:
    """Exit code, stdout and stderr."""
    environment = private_environment(folder)
    for name in ("LANG", "LC_CTYPE", "PYTHONIOENCODING"):
        environment.pop(name, None)
    ended = subprocess.run(
        [sys.executable, "-m", "streamwatch", *arguments],
        env=environment | locale,
        capture_output=True,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_no_command_fails_at_a_character(tmp_path: Path, latin_1: dict[str, str]) -> None:
    config = tmp_path / "tür.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    for arguments in (
        ["check", "-c", str(config)],
        ["run", "-c", str(config)],
        ["demo", "-c", str(config)],
        ["models"],
        ["init", str(tmp_path / "neü")],
    ):
        code, out, said = result(tmp_path, latin_1, *arguments)
        assert code == 0, (out, said)
        assert b"Traceback" not in said
        assert b"can't encode" not in said


def test_characters_that_stdout_lacks_are_printed_as_escapes(
    tmp_path: Path, latin_1: dict[str, str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    _, out, _ = result(tmp_path, latin_1, "check", "-c", config)
    assert '"red car" or "rotes Äuto \\u9580"' in out.decode("latin-1")
    config.write_text("门: 1\n" + CONFIG, encoding="utf-8")
    code, _, said = result(tmp_path, latin_1, "check", "-c", config)
    assert code == 1
    assert "config.yaml:1:1: \\u95e8: unknown key;" in said.decode("latin-1")


def test_json_is_json_in_every_locale(tmp_path: Path, latin_1: dict[str, str]) -> None:
    printed = [
        json.loads(result(tmp_path, locale, "check", "--schema")[1])
        for locale in (latin_1, {"LC_ALL": "C"}, ASCII, {"LC_ALL": "C.UTF-8"})
    ]
    assert printed == [schema()] * 4


def test_a_file_name_that_is_no_text_is_printed(tmp_path: Path) -> None:
    config = os.fsencode(tmp_path / "x") + b"\xff.yaml"
    Path(os.fsdecode(config)).write_text(CONFIG, encoding="utf-8")
    code, out, said = result(tmp_path, {"LC_ALL": "C.UTF-8"}, "check", "-c", config)
    assert (code, said) == (0, b"")
    assert out.splitlines()[0].endswith(b"x\\udcff.yaml is right. It runs:")


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ("detector:", "snapshots: {path: ./門}\ndetector:", "3:19: snapshots.path"),
        ("bundled:street", "./門.mp4", "5:17: cameras.street.url"),
        ("toybox", "./門.pt", "3:19: detector.model"),
    ],
)
def test_a_file_name_that_the_locale_can_not_hold_is_a_mistake(
    tmp_path: Path, before: str, after: str, path: str
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.replace(before, after, 1), encoding="utf-8")
    code, _, said = result(tmp_path, ASCII, "check", "-c", config)
    shown = after.split()[-1] if "mp4" in after or ".pt" in after else "./門"
    shown = shown.replace("門", "\\u9580")
    assert (code, said.decode().splitlines()[0]) == (
        1,
        f"{config}:{path}: '{shown}' has a character that no file's name can have in this locale;"
        " set LC_ALL=C.UTF-8",
    )
