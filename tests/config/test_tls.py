"""The files of `mqtt.tls`: valid ones are accepted, others refused with the setting's name."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from streamwatch.config.sections.mqtt import TlsSettings
from streamwatch.tls import LARGEST
from tests.config.conftest import Load
from tests.parts.certificates import Authority

RIGHT = "detector: {model: toybox}\ncameras: {a: {url: bundled:street}}\n"


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> Path:
    """`ca.pem`, `client.pem`, `client.key` and others beside the configuration."""
    client, other = authority.issue("client"), authority.issue("other")
    (tmp_path / "ca.pem").write_bytes(authority.ca.read_bytes())
    (tmp_path / "client.pem").write_bytes(client.path.read_bytes())
    (tmp_path / "client.key").write_bytes(client.key.read_bytes())
    (tmp_path / "both.pem").write_bytes(client.path.read_bytes() + client.key.read_bytes())
    (tmp_path / "other.key").write_bytes(other.key.read_bytes())
    lock = ("openssl", "pkey", "-aes128", "-passout", "pass:hunter2")
    subprocess.run([*lock, "-in", client.key, "-out", tmp_path / "locked.key"], check=True)
    (tmp_path / "der.pem").write_bytes(b"0\x82\x01\x0a")
    return tmp_path


@pytest.mark.parametrize(
    "tls",
    [
        "{ca: ca.pem}",
        "{certificate: client.pem, key: client.key}",
        "{ca: ca.pem, certificate: both.pem}",
        "{ca: client.pem}",
    ],
)
def test_valid_tls_files_are_accepted(loaded: Load, files: Path, tls: str) -> None:
    made = loaded(f"{RIGHT}mqtt: {{tls: {tls}}}\n").mqtt.tls_files
    assert made is not None
    assert all(path.parent == files for path in (made.ca, made.certificate, made.key) if path)


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        ("{ca: gone.pem}", "mqtt.tls.ca: 'gone.pem' does not exist"),
        ("{ca: client.key}", "mqtt.tls.ca: 'client.key' holds no certificate in PEM"),
        ("{ca: der.pem}", "mqtt.tls.ca: 'der.pem' holds no certificate in PEM"),
        ("{ca: /dev/zero}", "mqtt.tls.ca: '/dev/zero' is not a file"),
        ("{ca: pipe}", "mqtt.tls.ca: 'pipe' is not a file"),
        ("{certificate: pipe, key: client.key}", "mqtt.tls.certificate: 'pipe' is not a file"),
        ("{certificate: client.pem, key: pipe}", "mqtt.tls.key: 'pipe' is not a file"),
        ("{ca: large.pem}", "mqtt.tls.ca: 'large.pem' is larger than 10,000,000 bytes; is it"),
        ("{ca: ca.pem/x}", "mqtt.tls.ca: 'ca.pem/x' can't be read: not a directory"),
        (
            "{certificate: client.pem}",
            "mqtt.tls: the certificate needs its key; write key: FILE too",
        ),
        (
            "{certificate: client.pem, key: other.key}",
            "mqtt.tls.key: 'other.key' does not belong to the certificate",
        ),
        (
            "{certificate: client.pem, key: ca.pem}",
            "mqtt.tls.key: 'ca.pem' holds no private key in PEM",
        ),
        (
            "{certificate: client.pem, key: locked.key}",
            "mqtt.tls.key: 'locked.key' is locked with a passphrase; write one without",
        ),
        ("{certificate: gone.pem, key: gone.key}", "mqtt.tls.certificate: 'gone.pem' does not"),
    ],
)
def test_invalid_tls_files_are_refused_with_a_reason(
    refused: Callable[[str], list[str]], files: Path, tls: str, said: str
) -> None:
    if not (files / "pipe").exists():
        os.mkfifo(files / "pipe")
        with (files / "large.pem").open("wb") as large:
            large.truncate(LARGEST + 1)
    (sentence,) = refused(f"{RIGHT}mqtt: {{tls: {tls}}}\n")
    assert sentence.startswith(said)


def test_an_unreadable_tls_file_is_refused(
    refused: Callable[[str], list[str]], files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    text = f"{RIGHT}mqtt: {{tls: {{ca: ca.pem}}}}\n"
    monkeypatch.setattr(Path, "is_file", refuse)  # root, as in a container, may read everything
    assert refused(text) == ["mqtt.tls.ca: 'ca.pem' may not be read by the user that runs this"]


def test_tls_settings_can_be_made_in_code(files: Path) -> None:
    settings = TlsSettings(ca=files / "ca.pem", certificate=files / "both.pem")
    assert settings.key is None
