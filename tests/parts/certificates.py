"""Certificates for the tests and an authority that signs them, made with `openssl`."""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parts import missing

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, as PEM files."""

    path: Path
    key: Path


class Authority:
    """Signs certificates; all files are in `folder`, and `certificate.path` is the one to trust."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self.certificate = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
        signs = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        _self_signed(self.certificate, name, *signs)

    @property
    def ca(self) -> Path:
        return self.certificate.path

    def issue(self, name: str, *, hosts: tuple[str, ...] = LOOPBACK, days: int = 2) -> Certificate:
        """A certificate valid for `days`; with -1 it expired a day ago."""
        issued = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, names = self._folder / f"{name}.csr", self._folder / f"{name}.names"
        names.write_text(f"subjectAltName={','.join(map(_alternative_name, hosts))}\n")
        _openssl("req", "-new", *_NEW_KEY, "-keyout", issued.key, "-out", request,
                 "-subj", f"/CN={name}")  # fmt: skip
        _openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.certificate.key,
                 "-CAcreateserial", "-extfile", names, "-days", str(days),
                 "-out", issued.path)  # fmt: skip
        return issued


def self_signed(folder: Path, name: str) -> Certificate:
    """A self-signed certificate for a name that no host has, as cameras make it."""
    certificate = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    _self_signed(certificate, name)
    return certificate


def _self_signed(certificate: Certificate, name: str, *options: str) -> None:
    _openssl("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", f"/CN={name}", *options,
             "-keyout", certificate.key, "-out", certificate.path)  # fmt: skip


def _alternative_name(host: str) -> str:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return f"DNS:{host}"
    return f"IP:{host}"


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that the tests' servers and clients trust."""
    if shutil.which("openssl") is None:
        missing("openssl", "openssl")
    return Authority(tmp_path_factory.mktemp("authority"), "authority")
