"""Downloads over HTTP, with retries, resuming and one error message for each kind of failure.

For checkpoints and text encoders alike. The hub's own client could fetch the latter, but verifies
no checksum and words its errors differently.
"""

from __future__ import annotations

import errno
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import httpx

from streamwatch import __version__, files
from streamwatch.config import mask_secrets_in, mask_url
from streamwatch.errors import DetectorError

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, its bytes so far, and its total bytes or None where unknown."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Patience:
    """Timeouts and retries of a download. `pause_seconds` is the first pause; it doubles each try.

    A wait beyond `longest_wait_seconds`, which a server may ask for, is an error instead.
    """

    connect_seconds: float = 10.0
    stall_seconds: float = 30.0
    tries: int = 5
    pause_seconds: float = 1.0
    longest_wait_seconds: float = 60.0


PATIENCE = Patience()

WORTH_ANOTHER_ROUND = 1_000_000
"""Bytes of progress that reset the count of tries, for large files over bad connections."""


class _TemporaryError(Exception):
    """Worth a retry. `wait_seconds` is what the server asked for (Retry-After)."""

    def __init__(self, reason: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class _UnreachableError(_TemporaryError):
    """The host doesn't answer. As the first error most likely permanent, so not retried then."""


class _PermanentError(Exception):
    """Not worth a retry."""


class Fetcher:
    """Gets files and JSON. Raises DetectorError, one sentence that names the address, masked.

    Blocks; calls may come from any thread.
    """

    def __init__(self, patience: Patience | None = None) -> None:
        self._patience = patience or PATIENCE

    def json(self, address: str) -> Any:
        """The JSON at `address`, parsed."""

        def attempt(client: httpx.Client) -> Any:
            response = client.get(address)
            _check_response(response)
            try:
                return response.json()
            except ValueError:
                raise _PermanentError("the answer is no JSON; is a portal in between?") from None

        return self._with_retries(address, attempt, lambda: 0)

    def file(self, address: str, part: Path, progress: Progress, name: str) -> None:
        """Download `address` to `part`, resuming where an earlier call broke off.

        Until it is complete, its ETag is kept beside it in `<part>.etag`: if the file on the server
        has changed, the download starts over. One caller a `part` at a time.
        """
        tag_file = part.with_name(f"{part.name}.etag")
        total: int | None = None

        def attempt(client: httpx.Client) -> None:
            nonlocal total
            for path in (part, tag_file):
                if path.exists():
                    files.demand_regular(path)
            tag = tag_file.read_text() if tag_file.is_file() else ""
            done = _size(part) if tag else 0
            headers = {"Range": f"bytes={done}-", "If-Range": tag} if done else {}
            with client.stream("GET", address, headers=headers) as response:
                if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and done:
                    if response.headers.get("Content-Range") == f"bytes */{done}":
                        return  # complete already
                    tag_file.unlink()
                    raise _TemporaryError("the server does not know the part that is here")
                _check_response(response)
                if response.status_code == HTTPStatus.PARTIAL_CONTENT:
                    if not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
                        tag_file.unlink()
                        raise _TemporaryError("the server went on at another place")
                else:
                    done = 0
                length = response.headers.get("Content-Length", "")
                total = done + int(length) if length.isdecimal() else None
                _check_disk_space(part, total, done)
                found = response.headers.get("ETag", "")
                tag_file.write_text("" if found.startswith("W/") else found)
                with part.open("ab" if done else "wb") as file:
                    for chunk in response.iter_raw():
                        file.write(chunk)
                        done += len(chunk)
                        progress(name, done, total)

        try:
            self._with_retries(address, attempt, lambda: _size(part))
        except DetectorError as error:
            kept = _size(part) if tag_file.is_file() and tag_file.read_text() else 0
            if not kept:
                raise
            of = f" of {megabytes(total)}" if total else ""
            raise DetectorError(f"{error}; {megabytes(kept)}{of} are kept") from error
        tag_file.unlink(missing_ok=True)

    def _with_retries(
        self, address: str, attempt: Callable[[httpx.Client], _Result], done: Callable[[], int]
    ) -> _Result:
        """`done` returns the bytes so far."""
        patience = self._patience
        with _client(patience) as client:
            left, pause, before = patience.tries, patience.pause_seconds, done()
            while True:
                try:
                    with _errors_translated(address, patience):
                        return attempt(client)
                except _PermanentError as error:
                    raise _fetch_error(address, error) from error
                except _TemporaryError as error:
                    if isinstance(error, _UnreachableError) and left == patience.tries:
                        raise _fetch_error(address, error) from error
                    if done() - before >= WORTH_ANOTHER_ROUND:
                        left, pause, before = patience.tries, patience.pause_seconds, done()
                    left -= 1
                    wait = max(pause, error.wait_seconds or 0.0)
                    if left <= 0 or wait > patience.longest_wait_seconds:
                        raise _fetch_error(address, error) from error
                    log.info(
                        "%s: %s; trying again in %.0f s",
                        mask_url(address),
                        mask_secrets_in(str(error)),
                        wait,
                    )
                    time.sleep(wait)
                    pause *= 2


def megabytes(size: int) -> str:
    return f"{size / 1_000_000:.0f} MB" if size >= 10_000_000 else f"{size / 1_000_000:.1f} MB"


def _client(patience: Patience) -> httpx.Client:
    try:
        return httpx.Client(
            follow_redirects=True,
            timeout=httpx.Timeout(patience.stall_seconds, connect=patience.connect_seconds),
            # A compressed response could not be resumed.
            headers={"User-Agent": f"streamwatch/{__version__}", "Accept-Encoding": "identity"},
        )
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        said = mask_secrets_in(str(error)).rstrip(".")
        raise DetectorError(
            f"the proxy that the environment names can't be used ({said})"
        ) from None


def _fetch_error(address: str, reason: Exception) -> DetectorError:
    return DetectorError(f"{mask_url(address)} can't be fetched: {mask_secrets_in(str(reason))}")


def _check_response(response: httpx.Response) -> None:
    """Raise _TemporaryError or _PermanentError unless the status is 200 or 206."""
    hops = [*response.history, response]
    if hops[0].url.scheme == "https" and any(hop.url.scheme != "https" for hop in hops):
        raise _PermanentError("it leads to an address without TLS")
    status = response.status_code
    if status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        return
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        raise _PermanentError(f"there is no such file ({status})")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise _PermanentError(f"the server refuses it ({status})")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        wait = _retry_after(response)
        asked = f" and asks to wait {wait:.0f} s" if wait else ""
        raise _TemporaryError(f"the server has had too many requests from here (429){asked}", wait)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise _TemporaryError(f"the server is in trouble ({status})", _retry_after(response))
    raise _PermanentError(f"the server answers {status}")


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds from now, from Retry-After (RFC 9110, 10.2.3: a number of seconds or a date)."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


@contextmanager
def _errors_translated(address: str, patience: Patience) -> Iterator[None]:
    """Turn errors of httpx and of the disk into _TemporaryError or _PermanentError."""
    try:
        host = httpx.URL(address).host
        yield
    except httpx.InvalidURL as error:
        raise _PermanentError(f"this is no address ({error})") from None
    except httpx.ConnectTimeout:
        raise _UnreachableError(f"{host} does not answer") from None
    except httpx.ConnectError as error:
        raise _UnreachableError(f"{host} can't be reached ({error})") from None
    except httpx.TimeoutException:
        raise _TemporaryError(f"no byte came for {patience.stall_seconds:g} s") from None
    except (httpx.RemoteProtocolError, httpx.NetworkError):
        raise _TemporaryError("the connection broke off") from None
    except httpx.TooManyRedirects:
        raise _PermanentError("it is redirected in a circle") from None
    except httpx.HTTPError as error:
        raise _PermanentError(str(error)) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _PermanentError("the disk is full") from None
        raise _PermanentError(f"it can't be written ({error.strerror}: {error.filename})") from None


def _check_disk_space(part: Path, total: int | None, done: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - done > free:
        raise _PermanentError(
            f"it needs {megabytes(total - done)}, and {part.parent} has {megabytes(free)} free"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
