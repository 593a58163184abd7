"""Camera URLs, host names and topic prefixes."""

from __future__ import annotations

import ipaddress
import re
import socket
from pathlib import Path
from typing import Annotated, Literal
from unicodedata import normalize
from urllib.parse import SplitResult, quote, unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, WithJsonSchema

from streamwatch.config.values import texts
from streamwatch.config.values.paths import absolute, folder_of
from streamwatch.config.values.texts import Line
from streamwatch.config.values.unreadable import PRIVATE_DOMAINS, form_of_another, is_bare_address
from streamwatch.config.wording import Wrong, did_you_mean, listing

CameraKind = Literal["rtsp", "http", "file", "device"]

BUNDLED_CLIPS = ("street",)
ALLOWED = (
    "rtsp://…, rtsps://…, http://…, https://…, bundled:street, a file, /dev/video0 or a number"
)

LONGEST_RTSP_LOGIN = 127
"""Bytes of `user:password` that FFmpeg keeps of a URL of RTSP, percent-encoded as they are: it cuts
off the rest, and the camera refuses what is left. From FFmpeg 8.1 (`auth[128]` in rtsp.c);
`tests/source/test_logins.py` measures it with real servers."""

_DEFAULT_PORTS = {"http": 80, "https": 443, "rtsps": 322}
_SCHEME = re.compile(r"(?i)(rtsps?|https?|[a-z][a-z0-9+.-]*(?=:/)):")
_DEVICE_NUMBER = re.compile(r"[0-9]{1,3}", re.ASCII)
_RESERVED_IN_LOGIN = "/?#%[]"
"""`/?#` end the login for FFmpeg and `%` begins an escape; urlsplit takes brackets for IPv6."""
_ESCAPED_ASCII = re.compile("(?<!%)(?<!%.)%[2-7][0-9A-Fa-f]")
"""But none behind a `%` that begins no escape, and would begin one with what it stands for."""
_REFERENCE_WITHOUT_DOLLAR = re.compile(r"(?<!\$)\{[A-Za-z_][A-Za-z0-9_]*\}")
_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)*\.?")
_DOTS = re.compile("[\u3002\uff0e\uff61]")
"""What stands for a dot in the name of a host too (RFC 3490, 3.1)."""
_OWN_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("127.0.0.0/8", "0.0.0.0/32", "::1/128", "::/128"),  # this machine
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),  # RFC 1918, RFC 4193
        *("169.254.0.0/16", "fe80::/10"),  # link-local
        "100.64.0.0/10",  # RFC 6598; also that of Tailscale
    )
)
_OWN_DOMAINS = (*PRIVATE_DOMAINS, ".fritz.box")


def camera_kind(url: str) -> CameraKind:
    """The kind of source of a validated `url`; a bundled clip is a file."""
    if url.startswith(("rtsp://", "rtsps://")):
        return "rtsp"
    if url.startswith(("http://", "https://")):
        return "http"
    return "device" if url.startswith("/dev/") else "file"


def _camera_url(value: object, info: ValidationInfo) -> str:
    """The canonical form: a URL, `bundled:NAME`, `/dev/…` or an absolute path."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
        if not _DEVICE_NUMBER.fullmatch(value):
            raise Wrong("is not the number of a device; write 0 for /dev/video0")
    if value is None or not isinstance(value, str):
        raise Wrong(f"is not a camera; write {ALLOWED}")
    text = texts.line(value, longest=2000).strip()
    if _DEVICE_NUMBER.fullmatch(text):
        return f"/dev/video{int(text)}"
    if text.startswith("bundled:"):
        return _bundled(text)
    if instead := form_of_another(text):
        raise Wrong(instead)
    scheme = _SCHEME.match(text)
    return _network_url(text, scheme[1]) if scheme else str(_file(text, info))


def _bundled(text: str) -> str:
    clips = [f"bundled:{name}" for name in BUNDLED_CLIPS]
    if text not in clips:
        raise Wrong(f"does not exist{did_you_mean(text, clips) or f'; there is {listing(clips)}'}")
    return text


def _file(text: str, info: ValidationInfo) -> Path:
    folder = folder_of(info)
    if is_bare_address(text) and not _is_there(folder / text.partition("/")[0]):
        raise Wrong("looks like an address without its scheme; write rtsp:// or http:// before it")
    return absolute(text, folder)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # name too long, or no permission for a parent folder
        return False


def _network_url(text: str, scheme: str) -> str:
    name = scheme.lower()
    if name not in ("rtsp", "rtsps", "http", "https"):
        raise Wrong(f"has a scheme that is not known; write {ALLOWED}")
    rest = text[len(scheme) + 1 :]
    if not rest.startswith("//"):
        raise Wrong(f"lacks a slash; write {name}://host/…")
    if re.search(r"\s", text):
        raise Wrong("holds a space; write %20 in its place")
    if _REFERENCE_WITHOUT_DOLLAR.search(text):
        raise Wrong(
            "holds a name in { }, which may not stand in a URL; write ${NAME} for an environment "
            "variable, or %7B and %7D for the braces themselves"
        )
    if _is_bare_ipv6(re.split(r"[/?#]", rest[2:])[0].rpartition("@")[2]):
        raise Wrong(f"has an IPv6 address without its brackets; write {name}://[…]:port/…")
    try:
        parts = urlsplit(text)
        found = bool(parts.hostname) and parts.port != 0
    except ValueError:
        found = False
    if not found:
        raise Wrong(
            f"has no host, or a wrong port; write {name}://host:port/…, and in a password %40 for "
            "@, %3A for :, %2F for /, %23 for #, %3F for ?"
        )
    return name + text[len(scheme) :]


def _is_bare_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def holds_credentials(url: str) -> bool:
    """Whether a validated network `url` contains a user name or password."""
    return "@" in urlsplit(url).netloc


def host_and_port(parts: SplitResult) -> tuple[str, int]:
    """Of a URL of HTTP(S) or RTSPS; where it names no port, that of its scheme."""
    return parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]


def is_encrypted(url: str) -> bool:
    return url.startswith(("rtsps://", "https://"))


def is_certified(url: str) -> bool:
    """Whether the host of a network `url` can have a certificate of a public CA.

    Public CAs certify neither private addresses nor names outside the public DNS (CA/Browser Forum,
    Baseline Requirements), so cameras there have self-signed ones, mostly for another name.
    """
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith(PRIVATE_DOMAINS)


def on_own_network(url: str) -> bool:
    """Whether the host of an http(s) `url` is this machine or one of a private network.

    By how it is written; nothing is looked up. A name without a dot is one of a container or of the
    network's own router.
    """
    try:
        host = _DOTS.sub(".", urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False
    address = _address(host)
    if address is not None:
        return any(address in network for network in _OWN_NETWORKS)
    return bool(host) and ("." not in host or f".{host}".endswith(_OWN_DOMAINS))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `host` is; of an IPv4 address in IPv6 the former. None for a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:  # also 127.1, 0x7f000001 or 2130706433, which look like names but reach an address
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def with_credentials(url: str, username: str, password: str | None) -> str:
    """A validated network `url` with user name and password added, percent-encoded where needed."""
    user = _encoded(username, f"{_RESERVED_IN_LOGIN}:")
    # Without the colon FFmpeg sends no login, and many cameras come with an empty password.
    login = f"{user}:{_encoded(password or '', _RESERVED_IN_LOGIN)}"
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{login}@{rest}"


def with_short_login(url: str) -> str:
    """A validated network `url` for FFmpeg: its login has no percent-encoding that it doesn't need,
    and a password, if an empty one."""
    login = login_of(url)
    short = _ESCAPED_ASCII.sub(
        lambda escape: _encoded(unquote(escape[0]), f"{_RESERVED_IN_LOGIN}:"), login
    )
    colon = "" if ":" in login else ":"
    return url.replace(login, short + colon, 1) if login else url


def login_of(url: str) -> str:
    """`user:password` as it stands in a validated network `url`; empty if it has none."""
    return urlsplit(url).netloc.rpartition("@")[0]


def _encoded(text: str, reserved: str) -> str:
    return "".join(quote(char, safe="") if _is_encoded(char, reserved) else char for char in text)


def _is_encoded(char: str, reserved: str) -> bool:
    """Whether it is reserved, invisible, would end the URL for what masks it in the log (a space),
    or is refused by urlsplit since NFKC makes something else of it (as of a wide slash)."""
    return (
        char in reserved or char == " " or not char.isprintable() or normalize("NFKC", char) != char
    )


def bracketed(host: str) -> str:
    """`host` for use before a port: an IPv6 address in brackets, others unchanged."""
    return f"[{host}]" if ":" in host else host


CameraUrl = Annotated[
    str,
    BeforeValidator(_camera_url),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}]}
    ),
]


def _host(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value.removeprefix("[").removesuffix("]")))
    except ValueError:
        pass
    if "://" in value:
        raise Wrong("is a URL; write the name or address alone, and the port in mqtt.port")
    if re.fullmatch(r".*:[0-9]+", value):
        raise Wrong("holds a port; write the name or address alone, and the port in mqtt.port")
    if not _HOST.fullmatch(value):
        raise Wrong("is not a host; write a name such as broker.local, or an address")
    return value


def _topic_prefix(value: str) -> str:
    if "#" in value or "+" in value:
        raise Wrong("holds # or +, which are wildcards; take them out")
    if value.startswith("/") or value.endswith("/"):
        raise Wrong("starts or ends with a slash; take it away")
    if value.startswith("$"):
        raise Wrong("starts with $, which brokers keep for themselves; take another")
    return value


def _server_url(value: str) -> str:
    """The URL of an HTTP server, without a slash at its end."""
    scheme = _SCHEME.match(value)
    if scheme is None or scheme[1].lower() not in ("http", "https"):
        raise Wrong("is not the address of a server; write http://host:port/v1")
    url = _network_url(value, scheme[1])
    if urlsplit(url).query or urlsplit(url).fragment:
        raise Wrong("holds a ? or #; write the address alone, as http://host:port/v1")
    return url.rstrip("/")


Host = Annotated[Line, AfterValidator(_host)]
ServerUrl = Annotated[Line, AfterValidator(_server_url)]
TopicPrefix = Annotated[Line, AfterValidator(_topic_prefix)]
