"""TLS as a client: which authorities are trusted, client certificates, and why it failed."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from streamwatch.errors import StreamwatchError

# X509_V_ERR_… of OpenSSL's x509_vfy.h.
_NOT_YET_VALID = 9
_EXPIRED = 10
_NO_KNOWN_ISSUER = {18, 19, 20, 21}
_OTHER_NAME = {62, 64}

LARGEST = 10_000_000
"""Most bytes of a file of certificates; those of all public authorities take 0.3 MB."""


class BadFile(StreamwatchError):  # noqa: N818 - reads as what is wrong
    """A certificate or key file that can't be used; `predicate` says why."""

    def __init__(self, path: Path, predicate: str) -> None:
        super().__init__(f"{path} {predicate}")
        self.predicate = predicate


@dataclass(frozen=True, slots=True)
class TlsProblem:
    """Why TLS with a peer failed; `text` continues a sentence that begins with the peer's name."""

    kind: Literal["authority", "name", "time", "client certificate", "protocol", "other"]
    text: str


def client_context(
    ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """Verifies the peer and its host name, by the system's authorities or by those in `ca`.

    `certificate` is the client's, for a peer that asks for one; its file may hold the key too. All
    files are PEM.
    Raises BadFile.
    """
    context = ssl.create_default_context() if ca is None else _trusting(ca)
    # Python 3.13 is stricter than OpenSSL, and most self-made certificates would fail.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    # `ca` may hold the peer's own certificate instead of an authority's.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if certificate is not None:
        _show(context, certificate, key)
    return context


def check_certificates(path: Path) -> None:
    """Raises BadFile unless the file holds certificates."""
    _trusting(path)


def expires_at(path: Path) -> datetime | None:
    """When the client certificate in the file expires, in UTC; None if it can't be read."""
    from cryptography import x509  # slow to import, and only `check` needs it

    try:
        _check_readable(path)
        return x509.load_pem_x509_certificates(path.read_bytes())[0].not_valid_after_utc
    except (BadFile, OSError, ValueError):  # stricter than OpenSSL, which accepted the file before
        return None


def problem(error: ssl.SSLError | ConnectionResetError) -> TlsProblem:
    """What an exception during the handshake, or at the first answer after it, means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _refusal(error)
    if isinstance(error, (ssl.SSLEOFError, ConnectionResetError)):
        return TlsProblem("protocol", "closes the connection instead of speaking TLS")
    reason = error.reason or ""
    said = reason.rpartition("ALERT_")[2].replace("_", " ").lower()
    if reason.endswith("ALERT_CERTIFICATE_REQUIRED"):
        return TlsProblem("client certificate", "wants a client certificate")
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return TlsProblem("client certificate", f"refuses the client certificate ({said})")
    if (
        reason == "SSLV3_ALERT_HANDSHAKE_FAILURE"
    ):  # what TLS 1.2 says when a client certificate is missing
        return TlsProblem(
            "client certificate", "can't agree on TLS; perhaps it wants a client certificate"
        )
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return TlsProblem("protocol", "does not speak TLS on this port")
    return TlsProblem("other", f"can't agree on TLS ({said or 'no reason given'})")


def _refusal(error: ssl.SSLCertVerificationError) -> TlsProblem:
    code = error.verify_code
    if code == _EXPIRED:
        return TlsProblem("time", "shows a certificate that has expired")
    if code == _NOT_YET_VALID:
        return TlsProblem(
            "time", "shows a certificate that is not valid yet by this machine's clock"
        )
    if code in _OTHER_NAME:
        return TlsProblem("name", "shows a certificate for another host name")
    if code in _NO_KNOWN_ISSUER:
        return TlsProblem("authority", "shows a certificate of an authority that is not trusted")
    return TlsProblem("other", f"shows a certificate that is refused ({error.verify_message})")


def _trusting(path: Path) -> ssl.SSLContext:
    _check_readable(path)
    try:
        return ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise BadFile(path, "holds no certificate in PEM") from None


def _show(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    check_certificates(certificate)
    if key is not None:
        _check_readable(key)

    def locked() -> str:
        # Without this, OpenSSL asks on the terminal.
        raise BadFile(key or certificate, "is locked with a passphrase; write one without")

    try:
        context.load_cert_chain(certificate, key, locked)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            predicate = "does not belong to the certificate"
        else:
            predicate = "holds no private key in PEM"
        raise BadFile(key or certificate, predicate) from None


def _check_readable(path: Path) -> None:
    try:
        if not path.is_file() and path.exists():  # reading a pipe or /dev/zero would never end
            raise BadFile(path, "is not a file")
        with path.open("rb") as file:
            if len(file.read(LARGEST + 1)) > LARGEST:
                raise BadFile(path, f"is larger than {LARGEST:,} bytes; is it the right one?")
    except FileNotFoundError:
        raise BadFile(path, "does not exist") from None
    except PermissionError:
        raise BadFile(path, "may not be read by the user that runs this") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or "no such name is possible"
        raise BadFile(path, f"can't be read: {reason.lower()}") from None
