"""TLS certificates of cameras: which are verified, and why one was refused.

FFmpeg verifies none by default. PyAV's wheel has it built with GnuTLS, which looks for the system's
CA certificates in a place that Debian doesn't use, so the file is passed explicitly. With HLS,
FFmpeg verifies the connection for the playlist, and not those for the segments it lists.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from streamwatch.config import host_and_port, is_certified, is_encrypted
from streamwatch.tls import client_context, problem

_BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),  # Debian, Arch, Gentoo
    Path("/etc/pki/tls/certs/ca-bundle.crt"),  # Fedora
    Path("/etc/ssl/ca-bundle.pem"),  # openSUSE
    Path("/etc/ssl/cert.pem"),  # Alpine
)


def tls_options(url: str) -> Mapping[str, str]:
    """FFmpeg's TLS options for `url`; none where it is not encrypted."""
    if not is_encrypted(url):
        return {}
    if not is_certified(url):
        return {"tls_verify": "0"}
    bundle = _bundle()
    return {"tls_verify": "1"} | ({} if bundle is None else {"ca_file": str(bundle)})


def tls_problem(url: str, timeout_seconds: float) -> str | None:
    """Why the TLS handshake with the host of an encrypted `url` fails; None where it doesn't.

    FFmpeg reports only an input/output error, so the handshake is repeated here. The result
    continues a sentence whose subject is the camera. Blocks for up to `timeout_seconds` a step.
    """
    parts = urlsplit(url)
    context = tls_context(url)
    address = host_and_port(parts)
    try:
        with (
            socket.create_connection(address, timeout_seconds) as connection,
            context.wrap_socket(connection, server_hostname=parts.hostname),
        ):
            return None
    except (ssl.SSLError, ConnectionResetError) as error:
        return problem(error).text
    except OSError:
        return None


def tls_context(url: str) -> ssl.SSLContext:
    """Verifies what FFmpeg verifies of an encrypted `url`. Raises BadFile."""
    return client_context(_bundle()) if is_certified(url) else _unverified()


def _bundle() -> Path | None:
    """The file of trusted CA certificates: $SSL_CERT_FILE, or the system's."""
    named = ssl.get_default_verify_paths().cafile
    candidates = (Path(named), *_BUNDLES) if named else _BUNDLES
    return next((path for path in candidates if path.is_file()), None)


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
