"""The certificates of cameras: which are verified, and what is wrong with one that is refused.

FFmpeg verifies nothing unless told to. PyAV's wheel carries it with GnuTLS, which looks for the
system's authorities where Debian has none, so the file is named here. Of a playlist (HLS) FFmpeg
verifies the playlist's connection, and not those that fetch what it lists.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from streamwatch.config import is_certified, is_encrypted
from streamwatch.tls import client_context, problem

_BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),  # Debian, Arch, Gentoo
    Path("/etc/pki/tls/certs/ca-bundle.crt"),  # Fedora
    Path("/etc/ssl/ca-bundle.pem"),  # openSUSE
    Path("/etc/ssl/cert.pem"),  # Alpine
)
_DEFAULT_PORTS = {"rtsps": 322, "https": 443}


def tls_options(url: str) -> Mapping[str, str]:
    """What FFmpeg has to be told to open `url`."""
    if not is_encrypted(url):
        return {}
    if not is_certified(url):
        return {"tls_verify": "0"}
    bundle = _bundle()
    return {"tls_verify": "1"} | ({} if bundle is None else {"ca_file": str(bundle)})


def tls_problem(url: str, timeout_seconds: float) -> str | None:
    """Why TLS with the host of an encrypted `url` fails, None where it doesn't.

    FFmpeg keeps the reason to itself (it is an input/output error to it), so we shake hands too.
    The result continues a sentence that begins with the URL.
    """
    parts = urlsplit(url)
    context = client_context(_bundle()) if is_certified(url) else _unverified()
    address = parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]
    try:
        with (
            socket.create_connection(address, timeout_seconds) as line,
            context.wrap_socket(line, server_hostname=parts.hostname),
        ):
            return None
    except (ssl.SSLError, ConnectionResetError) as error:
        return problem(error).text
    except OSError:
        return None


def _bundle() -> Path | None:
    """The file of the authorities that are trusted here: $SSL_CERT_FILE, or the system's."""
    named = ssl.get_default_verify_paths().cafile
    candidates = (Path(named), *_BUNDLES) if named else _BUNDLES
    return next((path for path in candidates if path.is_file()), None)


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
