"""Who may see the page and change something: the token, sessions, names of the host, origins."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import Scope

from streamwatch.config import HttpSettings

SESSION_SECONDS = 180 * 24 * 3600.0
"""How long a login lasts."""
MOST_WRONG = 10
"""Wrong tokens from one address within `WRONG_SECONDS`; then it has to wait."""
WRONG_SECONDS = 60.0
MOST_ADDRESSES = 1024
"""Whose wrong tokens are remembered."""
LONGEST = 512
"""Characters of a session or header that is looked at."""

_BRACKETED = re.compile(r"\[[^\[\]]*\](:[0-9]*)?")


@dataclass(frozen=True, slots=True)
class Refused:
    """Somebody may not do that: an HTTP status code and one sentence."""

    code: int
    sentence: str


class Access:
    """For one address of `http`, which has a token. For any thread."""

    def __init__(
        self,
        settings: HttpSettings,
        *,
        seconds: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        assert settings.token is not None
        self._token = settings.token.get_secret_value().encode()
        self._key = hashlib.sha256(b"streamwatch page\0" + self._token).digest()
        self._hosts = frozenset(settings.hosts)
        self._now = now
        self._wrong = WrongTokens(seconds)
        self.cookie = f"streamwatch-{settings.port}"
        """The cookie's name: cookies are shared by all ports of a host."""

    # --- names ------------------------------------------------------------------------------------

    def host_problem(self, host: str | None) -> Refused | None:
        """Why the page is not given under this name. Else a page of a stranger's, whose name is
        made to lead here (DNS rebinding), could read it."""
        name = _host_of(host or "")
        if name is not None and (_is_address(name) or name == "localhost" or name in self._hosts):
            return None
        shown = "" if name is None else f" {name[:100]!r}"
        return Refused(
            421, f"the page is not served under the name{shown}; add it to http.hosts in the file"
        )

    def origin_problem(self, origin: str | None, host: str | None) -> Refused | None:
        """Why a change is not taken from a page of this origin."""
        if origin is not None:
            try:
                parts = urlsplit(origin[:LONGEST])
                name = parts.hostname
            except ValueError:
                name = None
            own = name is not None and (
                parts.netloc.lower() == (host or "").lower() or name in self._hosts
            )
            if own and parts.scheme in ("http", "https"):
                return None
        return Refused(403, "this was not sent by the page itself, but from another one")

    # --- the token --------------------------------------------------------------------------------

    def try_token(self, client: str, given: str) -> Refused | None:
        """Why this token does not let in; None where it does."""
        if self._wrong.too_many(client):
            return Refused(429, "there were too many wrong tokens; wait a minute")
        if hmac.compare_digest(given.encode(), self._token):
            return None
        self._wrong.note(client)
        return Refused(401, "this is not the token; it is http.token in the configuration file")

    def try_bearer(self, client: str, authorization: str) -> Refused | None:
        """The same for a header `Authorization: Bearer …`."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return Refused(401, "a token is needed: Authorization: Bearer …")
        # Starlette reads headers as Latin-1: this gives the bytes that were sent.
        return self.try_token(client, token.encode("latin-1").decode(errors="replace"))

    def session(self) -> str:
        """What the cookie of somebody holds who has given the token."""
        expires = f"{self._now() + SESSION_SECONDS:.0f}"
        return self._signed(f"{expires}.{secrets.token_urlsafe(12)}")

    def knows(self, session: str | None) -> bool:
        """Whether a cookie holds a session that lasts; none does any more with another token."""
        if not session or len(session) > LONGEST or not session.isascii():
            return False
        content, _, _ = session.rpartition(".")
        if not hmac.compare_digest(self._signed(content).encode(), session.encode()):
            return False
        return int(content.partition(".")[0]) > self._now()

    def _signed(self, content: str) -> str:
        return f"{content}.{hmac.new(self._key, content.encode(), hashlib.sha256).hexdigest()}"


class WrongTokens:
    """Counts the wrong tokens of each address."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._of: OrderedDict[str, deque[float]] = OrderedDict()

    def too_many(self, client: str) -> bool:
        with self._lock:
            times = self._of.get(_network_of(client))
            if times is None:
                return False
            while times and times[0] <= self._seconds() - WRONG_SECONDS:
                times.popleft()
            return len(times) >= MOST_WRONG

    def note(self, client: str) -> None:
        with self._lock:
            network = _network_of(client)
            times = self._of.setdefault(network, deque(maxlen=MOST_WRONG))
            times.append(self._seconds())
            self._of.move_to_end(network)
            while len(self._of) > MOST_ADDRESSES:
                self._of.popitem(last=False)


def client_of(scope: Scope) -> str:
    """The address that a request comes from; that of the proxy where there is one."""
    client = scope.get("client")
    return client[0] if client else ""


def _network_of(client: str) -> str:
    """What belongs to one client: of IPv6 a /64."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return client


def _host_of(header: str) -> str | None:
    """The name or address in a Host header, in lower case; None if there is none."""
    if not header or len(header) > LONGEST:
        return None
    try:
        parts = urlsplit(f"//{header}")
        name = parts.hostname
        _ = parts.port
    except ValueError:
        return None
    if parts.netloc != header or "@" in header:
        return None
    if "[" in header and not _BRACKETED.fullmatch(header):  # urlsplit takes anything around it
        return None
    return (name or "").rstrip(".") or None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
