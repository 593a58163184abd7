"""HTTP to one camera: its login, its redirects, and an end to every wait."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import SplitResult, unquote, urlsplit

import httpx

from streamwatch import __version__
from streamwatch.config import is_encrypted
from streamwatch.errors import CredentialsRefused, SourceError
from streamwatch.source import decoding
from streamwatch.source.certificates import tls_context, tls_problem
from streamwatch.source.clock import Clock
from streamwatch.source.redirects import MOST_HOPS, REDIRECTS, following, without_login

CHECK_SECONDS = 0.25
"""A stop or a silence ends a read so much later at most."""

MOST_REFUSED_BYTES = 65_536
"""A longer page beside a request for a login is not read to its end."""


class Stopped(Exception):  # noqa: N818 - reads as what happened
    """The source is to stop."""


class NotUnderstood(Exception):  # noqa: N818 - reads as what happened
    """The camera answers, but not in what the HTTP library takes for HTTP."""


class Answer:
    """The answer to a request; its body is read as it comes, in one thread.

    `address` is where it came from in the end, with a login if there is one.
    """

    def __init__(self, client: WebClient, response: httpx.Response, address: str) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.address = address
        self._client = client
        self._response = response
        self.waiting = False
        """Whether the camera is waited for; for any thread."""
        self._parts = response.iter_raw()
        self._ahead = b""

    @property
    def media_type(self) -> str:
        """As `image/jpeg`; empty where it isn't said."""
        return str(self.headers.get("Content-Type", "")).partition(";")[0].strip().lower()

    @property
    def length(self) -> int | None:
        """Bytes of the body, where they are said."""
        said = self.headers.get("Content-Length", "")
        return int(said) if said.isascii() and said.isdigit() else None

    def ahead(self, size: int) -> bytes:
        """The first bytes of the body, `size` if it has so many, without taking them away."""
        while len(self._ahead) < size and (part := self._next()):
            self._ahead += part
        return self._ahead[:size]

    def read(self, size: int) -> bytes:
        """The next bytes of the body, at most `size` and at least one; empty at its end.

        A connection that breaks or is broken off ends it too.
        """
        found = self._ahead or self._next()
        self._ahead = found[size:]
        return found[:size]

    def demand_ok(self) -> None:
        """Raise SourceError for a status that is no success."""
        if self.status == httpx.codes.NOT_FOUND:
            raise self._client.error(decoding.NOT_FOUND)
        if not httpx.codes.is_success(self.status):
            words = httpx.codes.get_reason_phrase(self.status)
            raise self._client.error(f"it answers {self.status} {words}".rstrip())

    def read_whole(self, longest: int) -> bytes:
        """The body. Raises SourceError if it has more than `longest` bytes, or is broken off."""
        parts, size = [], 0
        while part := self.read(1 << 20):
            parts.append(part)
            size += len(part)
            if size > longest:
                raise self._client.error(f"its picture has more than {longest:,} bytes")
        if self.length is not None and size < self.length:
            raise self._client.error("the connection broke off in the middle of a picture")
        return b"".join(parts)

    def close(self) -> None:
        """Give the connection back, or close it if the body was not read to its end."""
        self._response.close()

    def _next(self) -> bytes:
        self.waiting = True
        try:
            return next(self._parts, b"")
        except (httpx.HTTPError, httpx.StreamError, OSError):
            return b""
        finally:
            self.waiting = False


class WebClient:
    """Requests to one address, which may hold a login; `shown` is its form for messages.

    A thread of its own breaks the connections off, and so what waits for them, once `stop` is set
    (Stopped), `answering` takes too long, or for what `check` raises, which it calls four times a
    second: `get` raises that then, and a body ends, so that `demand_going_on` is to be called after
    it. Connections are kept between requests. Proxies of the environment are not used, since the
    cameras stand in the house.
    """

    def __init__(self, address: str, shown: str, stop: threading.Event, clock: Clock) -> None:
        self.check: Callable[[], None] = lambda: None
        self._stop = stop
        self._clock = clock
        self._deadline = float("inf")
        self._problem: Exception | None = None
        self._start = urlsplit(address)
        self._shown = shown
        self._login = _login(self._start)
        self._transports: dict[str, httpx.HTTPTransport] = {}
        self._lines: list[socket.socket] = []
        self._handshakes: list[socket.socket] = []
        self._encrypted = False
        """Whether the request at hand is."""
        self._lock = threading.Lock()
        """Guards `_lines` and `_problem`, which the guard's thread uses too."""
        self._closed = threading.Event()
        self._guard = threading.Thread(target=self._watch, name="capture-guard", daemon=True)

    def __enter__(self) -> Self:
        self._guard.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()
        for transport in self._transports.values():
            transport.close()
        self._guard.join()
        for line in self._handshakes:
            line.close()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """What happens within ends after OPEN_SECONDS; raises what broke it off, if anything."""
        self._deadline = self._clock.monotonic() + decoding.OPEN_SECONDS
        try:
            yield
        finally:
            self._deadline = float("inf")
            self.demand_going_on()

    def get(self, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer in the end, after redirects and the login; any but a redirect or a refusal.

        The login goes along only to the same scheme, host and port. Raises SourceError for what
        can't be reached or followed, CredentialsRefused, what broke it off, and NotUnderstood.
        """
        with self._lock:
            self._problem = None
        here = self._start
        for _ in range(MOST_HOPS + 1):
            response = self._asked(here, headers or {})
            location = response.headers.get("Location")
            if response.status_code not in REDIRECTS or location is None:
                self._demand_admission(response)
                return Answer(self, response, here.geturl())
            response.close()
            here = following(here, location, self._start, self._shown)
        raise self.error(f"it redirects more than {MOST_HOPS} times")

    def error(self, problem: str) -> SourceError:
        return SourceError(f"{self._shown}: {problem}")

    def demand_going_on(self) -> None:
        """Raise what broke the connections off, if anything did."""
        with self._lock:
            problem = self._problem
        if problem is not None:
            raise problem

    def _demand_admission(self, response: httpx.Response) -> None:
        problem = decoding.REFUSALS.get(response.status_code)
        if problem is not None:
            response.close()
            raise CredentialsRefused(f"{self._shown}: {problem}")

    def _asked(self, parts: SplitResult, headers: Mapping[str, str]) -> httpx.Response:
        url = without_login(parts).geturl()
        self._encrypted = is_encrypted(url)
        timeout = httpx.Timeout(None, connect=decoding.OPEN_SECONDS)  # reads are broken off
        try:
            request = httpx.Request(
                "GET",
                url,
                headers={
                    "User-Agent": f"streamwatch/{__version__}",
                    "Accept": "*/*",
                    "Accept-Encoding": "identity",
                    **headers,
                },
                extensions={"trace": self._trace, "timeout": timeout.as_dict()},
            )
            login = self._login if parts.username is not None else httpx.Auth()
            return _logged_in(self._transport(url), request, login)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            failure = error
        # Not within the `except`: the library's messages hold the address.
        self.demand_going_on()
        if isinstance(failure, httpx.RemoteProtocolError):
            raise NotUnderstood
        raise self.error(_reason(failure, url))

    def _transport(self, url: str) -> httpx.HTTPTransport:
        # Transports and no client: that one would log the address, and refuse a bad redirect.
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._transports:
            self._transports[origin] = httpx.HTTPTransport(verify=_context(url))
        return self._transports[origin]

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Keep the sockets, to break them off. TLS takes the first one over and gives another; a
        duplicate reaches the connection meanwhile."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            line = info["return_value"].get_extra_info("socket")
            with self._lock:
                for ended in self._handshakes:
                    ended.close()
                begins_tls = self._encrypted and event.endswith("tcp.complete")
                self._handshakes = [line.dup()] if begins_tls else []
                self._lines = [other for other in self._lines if other.fileno() >= 0] + [line]
                if self._problem is not None:
                    self._break_off()

    def _watch(self) -> None:
        while not self._closed.wait(CHECK_SECONDS):
            try:
                self._demand_time()
                self.check()
            except Exception as error:
                with self._lock:
                    if self._problem is None:
                        self._problem = error
                        self._break_off()

    def _demand_time(self) -> None:
        if self._stop.is_set():
            raise Stopped
        if self._clock.monotonic() > self._deadline:
            raise self.error(decoding.no_answer())

    def _break_off(self) -> None:
        for line in (*self._lines, *self._handshakes):
            with suppress(OSError):  # it has ended
                # That of SSLSocket would take TLS from under the thread that reads.
                socket.socket.shutdown(line, socket.SHUT_RDWR)


class _Login(httpx.Auth):
    """Sends the login only where it is asked for, in the way that is asked for, like FFmpeg.

    What was asked for once is sent along from then on. A refused request would count as an attempt
    for some cameras, so there is one at most before the login goes out.
    """

    def __init__(self, username: str, password: str) -> None:
        self._digest = httpx.DigestAuth(username, password)
        self._basic = httpx.BasicAuth(username, password)
        self._wants_basic = False

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._wants_basic:
            yield from self._basic.auth_flow(request)
            return
        digest = self._digest.auth_flow(request)
        answer = yield next(digest)
        try:
            request = digest.send(answer)
        except StopIteration:  # it needs no login, or not this one
            self._wants_basic = answer.status_code == httpx.codes.UNAUTHORIZED
            if self._wants_basic:
                yield from self._basic.auth_flow(request)
        else:
            yield request


def _login(parts: SplitResult) -> httpx.Auth:
    if parts.username is None:
        return httpx.Auth()
    return _Login(unquote(parts.username), unquote(parts.password or ""))


def _logged_in(
    transport: httpx.HTTPTransport, request: httpx.Request, login: httpx.Auth
) -> httpx.Response:
    """The answer to a request, after logging in where that is asked for; its body is not read."""
    flow = login.sync_auth_flow(request)
    request = next(flow)
    while True:
        answer = transport.handle_request(request)
        answer.request = request
        try:
            request = flow.send(answer)
        except StopIteration:
            return answer
        _read_to_end(answer)  # keeps the connection, by which some cameras know the login
        answer.close()


def _read_to_end(answer: httpx.Response) -> None:
    size = 0
    with suppress(httpx.HTTPError):
        for part in answer.iter_raw():
            size += len(part)
            if size > MOST_REFUSED_BYTES:
                return


def _reason(error: Exception, url: str) -> str:
    """What stood in the way of a request, as a sentence whose subject is the camera."""
    causes = list(_causes(error))
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return decoding.NOBODY_LISTENS
    if is_encrypted(url) and any(isinstance(cause, ssl.SSLError) for cause in causes):
        return f"the camera {tls_problem(url, decoding.OPEN_SECONDS) or 'breaks TLS off'}"
    if isinstance(error, httpx.TimeoutException):
        return decoding.no_answer()
    if isinstance(error, httpx.ConnectError):
        return decoding.UNREACHABLE
    return "it closes the connection without an answer"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _context(url: str) -> ssl.SSLContext:
    if is_encrypted(url):
        return tls_context(url)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # not used; httpx would read all authorities
