"""Where an HTTP camera's redirects lead, and which of them are followed.

A redirect may lead to this machine or to a link-local address only if the configured host is such a
one too: a service there may trust whoever can reach it.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Literal
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from streamwatch.config import bracketed, host_and_port
from streamwatch.errors import SourceError

MOST_HOPS = 5

REDIRECTS = {301, 302, 303, 307, 308}
_HOST = re.compile(r"[\w.-]+|[0-9a-f:.]+(?:%[\w.-]+)?", re.ASCII)
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")

_Class = Literal["this machine", "a link-local address", "another machine"]


def following(here: SplitResult, location: str, start: SplitResult, shown: str) -> SplitResult:
    """The address that `here` redirects to, in a chain that began at `start`.

    The user name and password of `start` go along only to the same scheme, host and port. Raises
    SourceError, which begins with `shown`, unless it may be followed.
    """
    target = _parsed(urljoin(without_login(here).geturl(), location))
    if target is None:
        raise SourceError(f"{shown}: it redirects to what is no address of HTTP: refused")
    where = f"{target.scheme}://{target.netloc}/…"
    found = host_classes(target)
    if not found:
        raise SourceError(f"{shown}: it redirects to {where}, and that host is unknown")
    for kind in sorted(found - {"another machine"} - host_classes(start)):
        raise SourceError(f"{shown}: it redirects to {where}, which is {kind}: refused")
    if _origin(target) != _origin(start):
        return target
    return target._replace(netloc=start.netloc)


def _parsed(url: str) -> SplitResult | None:
    """A URL of HTTP, put together anew from what was understood of it; without a login.

    So FFmpeg can't understand it in another way.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host):
        return None
    netloc = bracketed(host) + (f":{port}" if port is not None else "")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~?")
    return SplitResult(parts.scheme, netloc, path, query, "")


def host_classes(parts: SplitResult) -> set[_Class]:
    """What the addresses of a URL's host are; empty for a host that is unknown."""
    return {_class(address) for address in addresses(parts.hostname or "")}


def addresses(host: str) -> list[str]:
    """The numeric addresses of a host; none if it is unknown. Asks the same resolver as FFmpeg."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]


def _class(text: str) -> _Class:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_loopback or address.is_unspecified or address in _THIS_NETWORK:
        return "this machine"
    return "a link-local address" if address.is_link_local else "another machine"


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    return parts.scheme, *host_and_port(parts)


def without_login(parts: SplitResult) -> SplitResult:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2])
