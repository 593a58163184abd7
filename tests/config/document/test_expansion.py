"""`${…}` in texts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from streamwatch.config.document.expansion import LARGEST_FILE
from tests.config.conftest import Load

Refused = Callable[[str], list[str]]


def text(password: str) -> str:
    return (
        "detector: {model: toybox}\ncameras: {a: {url: bundled:street}}\n"
        f"mqtt:\n  password: {password}\n"
    )


def password(load: Load, written: str) -> str:
    secret = load(text(written)).mqtt.password
    assert secret is not None
    return secret.get_secret_value()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("${NAME}", "value"),
        ("'${NAME}'", "value"),
        ("a${NAME}b${OTHER}", "avalueb${NAME}"),
        ("${OTHER}", "${NAME}"),
        ("$${NAME}", "${NAME}"),
        ("a$$b$$$$", "a$b$$"),
        ("pa$word$", "pa$word$"),
        ("$$$${NAME}", "$${NAME}"),
        ("${EMPTY}", ""),
        ("${NUMBER}", "12"),
        ("${file:secret}", "from a file"),
        ("${file:two-lines}", "a\n"),
        ("${file:windows}", "a"),
        ("${file:folder/inner}", "inner"),
        ("${credential:mqtt}", "from systemd"),
    ],
)
def test_references_are_replaced(
    loaded: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, expected: str
) -> None:
    monkeypatch.setenv("NAME", "value")
    monkeypatch.setenv("OTHER", "${NAME}")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("NUMBER", "12")
    (tmp_path / "secret").write_text("from a file\n")
    (tmp_path / "two-lines").write_text("a\n\n")
    (tmp_path / "windows").write_bytes(b"a\r\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner").write_text("inner")
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "mqtt").write_text("from systemd")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert password(loaded, written) == expected


def test_a_variable_may_hold_numbers_switches_and_durations(
    loaded: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PORT": "1884", "FPS": "2.5", "ON": "true", "LONG": "5s"}.items():
        monkeypatch.setenv(name, value)
    config = loaded("""\
mqtt: {port: "${PORT}"}
detector: {model: toybox}
cameras:
  a:
    url: bundled:street
    fps: ${FPS}
    loop: ${ON}
    zones: {z: [["0.${PORT}", 0], [1, 0], [1, 1]]}
watches: {w: {prompt: "${LONG}", dwell: "${LONG}"}}
""")
    assert (config.mqtt.port, config.cameras["a"].fps, config.cameras["a"].loop) == (
        1884,
        2.5,
        True,
    )
    assert config.cameras["a"].zones["z"][0] == (0.1884, 0)
    assert config.watches["w"].prompt == ("5s",)
    assert config.watches["w"].dwell.total_seconds() == 5


def test_keys_are_not_expanded(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME", "a")
    said = refused("detector: {model: toybox}\ncameras:\n  ${NAME}: {url: bundled:street}\n")
    assert said == [
        "cameras.${NAME}: '${NAME}' is not a name; use 1 to 63 of a-z, 0-9, _ and -",
    ]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("${NOT_SET}", "the environment variable NOT_SET is not set"),
        ("a ${", "a '${' without its '}'; write $$ for a dollar sign"),
        ("${}", "a '${…}' that is not understood; "),
        ("${A B}", "a '${…}' that is not understood; "),
        ("${NAME:-default}", "a '${…}' that is not understood; "),
        ("${file:}", "a '${…}' that is not understood; "),
        ("${credential:../x}", "a '${…}' that is not understood; "),
        ("${file:missing}", "the file missing does not exist"),
        ("${file:folder}", "the file folder can't be read: is a directory"),
        ("${file:binary}", "the file binary is not text in UTF-8"),
        ("${file:large}", f"the file large is too long; at most {LARGEST_FILE} bytes"),
        ("${file:/dev/zero}", "/dev/zero is a device, and only regular files are read"),
        ("${file:pipe}", "pipe is a pipe, and only regular files are read"),
        ("${file:~nobody-here/x}", "~nobody-here/x is not the name of a file"),
        ('"${file:a\\0b}"', "a\\x00b is not the name of a file"),
        ("${credential:mqtt}", "the credential mqtt is not there: systemd sets "),
    ],
)
def test_references_that_can_not_be_replaced_are_errors(
    refused: Refused, tmp_path: Path, written: str, message: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_text("x" * (LARGEST_FILE + 1))
    (said,) = refused(text(written))
    assert said.startswith(f"mqtt.password: {message}")


def test_the_error_names_a_missing_credential(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert refused(text("${credential:mqtt}")) == ["mqtt.password: the file mqtt does not exist"]


def test_a_credential_that_is_a_pipe_is_an_error(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    os.mkfifo(tmp_path / "mqtt")
    (said,) = refused(text("${credential:mqtt}"))
    assert said == "mqtt.password: mqtt is a pipe, and only regular files are read"
