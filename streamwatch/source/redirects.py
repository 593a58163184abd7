"""Where an HTTP camera's redirects lead, and which of them are followed.

Left to itself, FFmpeg follows every redirect, also one to a service of this machine that trusts
whoever can reach it. So it follows none, and those that it meets are looked at here: a redirect may
lead to this machine or to a link-local address only if the configured host is such a one too.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Literal
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

import httpx

from streamwatch import __version__
from streamwatch.config import bracketed, is_encrypted
from streamwatch.errors import SourceError
from streamwatch.source.certificates import tls_context

MOST_HOPS = 5

_REDIRECTS = {301, 302, 303, 307, 308}
"""The answers that FFmpeg takes for a redirect."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[\w.-]+|[0-9a-f:.]+(?:%[\w.-]+)?", re.ASCII)
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")

_Class = Literal["this machine", "a link-local address", "another machine"]


def destination(address: str, shown: str, timeout_seconds: float) -> str | None:
    """The address that `address`, which may hold a password, redirects to in the end.

    None where it doesn't redirect, or doesn't answer here. The user name and password go along only
    to the same scheme, host and port. No body is read. Blocks for about `timeout_seconds`. Raises
    SourceError, which begins with `shown`, for a redirect that is not followed.
    """
    deadline = time.monotonic() + timeout_seconds
    start = here = urlsplit(address)
    for _ in range(MOST_HOPS):
        location = _location(here, deadline)
        if location is None:
            return None if here is start else here.geturl()
        here = _checked(here, location, start, shown)
    if _location(here, deadline) is None:
        return here.geturl()
    raise SourceError(f"{shown}: it redirects more than {MOST_HOPS} times")


def _checked(here: SplitResult, location: str, start: SplitResult, shown: str) -> SplitResult:
    """The address that `location` stands for. Raises SourceError unless it may be followed."""
    target = _parsed(urljoin(_without_login(here).geturl(), location))
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
    if parts.scheme not in _DEFAULT_PORTS or not _HOST.fullmatch(host):
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


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme]


def _without_login(parts: SplitResult) -> SplitResult:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2])


class _Login(httpx.Auth):
    """Sends the login only where it is asked for, in the way that is asked for, like FFmpeg."""

    def __init__(self, username: str, password: str) -> None:
        self._login = username, password

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        answer = yield request
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            digest = "digest" in answer.headers.get("WWW-Authenticate", "").lower()
            kind = httpx.DigestAuth if digest else httpx.BasicAuth
            yield from kind(*self._login).auth_flow(request)


def _location(parts: SplitResult, deadline: float) -> str | None:
    """Where a GET of this address is redirected to; None where it isn't, or fails."""
    url = _without_login(parts).geturl()
    left = httpx.Timeout(max(0.1, deadline - time.monotonic()))
    login = httpx.Auth()
    if parts.username is not None:
        login = _Login(unquote(parts.username), unquote(parts.password or ""))
    try:
        with _ending(deadline) as trace:
            request = httpx.Request(
                "GET",
                url,
                headers={"User-Agent": f"streamwatch/{__version__}", "Accept": "*/*"},
                extensions={"timeout": left.as_dict(), "trace": trace},
            )
            # A transport and no client: that one would log the address, and refuse a bad redirect.
            with httpx.HTTPTransport(verify=_context(url)) as transport:
                answer = _answer(transport, request, login)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
        return None
    return answer.headers.get("Location") if answer.status_code in _REDIRECTS else None


@contextmanager
def _ending(deadline: float) -> Iterator[Callable[[str, Mapping[str, Any]], None]]:
    """Breaks connections off at the deadline, also those where something trickles in: httpx bounds
    each read only. Gives the `trace` for a request."""
    with ExitStack() as stack:

        def trace(event: str, info: Mapping[str, Any]) -> None:
            if event == "connection.connect_tcp.complete":
                # A duplicate, since TLS takes the socket itself over.
                line = info["return_value"].get_extra_info("socket").dup()
                stack.callback(line.close)
                timer = threading.Timer(max(0.0, deadline - time.monotonic()), _break_off, [line])
                timer.daemon = True
                timer.start()
                stack.callback(timer.cancel)

        yield trace


def _break_off(line: socket.socket) -> None:
    with suppress(OSError):  # it has ended just now
        line.shutdown(socket.SHUT_RDWR)


def _answer(
    transport: httpx.HTTPTransport, request: httpx.Request, login: httpx.Auth
) -> httpx.Response:
    """The answer to a request, without its body, after logging in where that is asked for."""
    flow = login.sync_auth_flow(request)
    request = next(flow)
    while True:
        answer = transport.handle_request(request)
        answer.request = request
        answer.close()
        try:
            request = flow.send(answer)
        except StopIteration:
            return answer


def _context(url: str) -> ssl.SSLContext:
    if is_encrypted(url):
        return tls_context(url)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # not used; httpx would read all authorities
