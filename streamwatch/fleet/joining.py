"""Into a Ray cluster that runs already, or a sentence that says what is in the way."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import urlsplit

from streamwatch.errors import StreamwatchError

log = logging.getLogger(__name__)

CONNECT_SECONDS = 3.0
_VERSIONS = re.compile(r"Ray: (\S+)\s+Python: (\S+)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_HEAD = re.compile(r"Ray cluster at (\S+)")
_TOKEN = "RAY_AUTH_TOKEN, or in the file that RAY_AUTH_TOKEN_PATH names"


def has_token() -> bool:
    """Whether Ray is to send a token."""
    return os.environ.get("RAY_AUTH_MODE", "").lower() == "token"


def imported_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        if error.name == "ray":
            raise StreamwatchError(
                "a fleet needs Ray: install streamwatch with its extra `fleet` on every machine"
                " of it (`pip install '.[fleet]'` in a checkout)"
            ) from None
        raise StreamwatchError(f"Ray can't be imported: {plain_line(str(error))}") from error
    return ray


def join(ray: Any, address: str | None, namespace: str) -> None:
    """Without an address: `$RAY_ADDRESS`, else the cluster that this machine is a node of."""
    named = os.environ.get("RAY_ADDRESS")
    head = address or named or "auto"
    if head != "auto":
        _require_listener(head, "--address " if address else "RAY_ADDRESS=")
    log.debug("joining the Ray cluster at %s", head)
    with _silent_if_refused():
        try:
            ray.init(
                address=head, namespace=namespace, log_to_driver=False, configure_logging=False
            )
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            with suppress(Exception):
                ray.shutdown()
            said = f"{error}\n{error.__cause__ or ''}"
            raise StreamwatchError(refusal(head, said, token=has_token())) from error


def refusal(address: str, said: str, *, token: bool) -> str:
    """What Ray 2.60 means by what it says, and its cause. `token` is whether it sends one."""
    if found := _HEAD.search(said):
        address = found[1]
    cluster = (
        "the Ray cluster of this machine" if address == "auto" else f"the Ray cluster at {address}"
    )
    if "Could not find any running Ray" in said:
        return (
            "no Ray cluster runs on this machine: start one with `ray start --head`, or make this"
            " machine a node of one with `ray start --address=HOST:PORT`"
        )
    versions = _VERSIONS.findall(said)
    if len(versions) == 2:
        (ray, python), (own_ray, own_python) = versions
        return (
            f"{cluster} is of Ray {ray} and Python {python}, and here are Ray {own_ray} and Python"
            f" {own_python}: install the same Ray and the same Python everywhere"
        )
    if "InvalidAuthToken" in said and token:
        return f"{cluster} has another token: the same must be in {_TOKEN}, everywhere"
    if "InvalidAuthToken" in said:
        return f"{cluster} wants a token: set RAY_AUTH_MODE=token, and put it in {_TOKEN}"
    if "RAY_AUTH_TOKEN_PATH is set but" in said:
        path = os.environ.get("RAY_AUTH_TOKEN_PATH", "")
        return f"RAY_AUTH_TOKEN_PATH={path}: the token can't be read there; name a file that has it"
    if "no authentication token was found" in said:
        return f"RAY_AUTH_MODE=token, but there is no token: put the cluster's in {_TOKEN}"
    if "No node info found" in said:
        return (
            f"this machine is no node of {cluster}: `ray start --address={address} --num-cpus=0`"
            " makes it one that watches no cameras; or start the fleet on a node"
        )
    if "Timed out" in said:
        return (
            f"{cluster} does not answer: see that it is the head of a Ray cluster, and runs (the"
            " port is that of `ray start --head --port=`)"
        )
    return f"{cluster} can't be joined: {plain_line(said)}"


def plain_line(said: str) -> str:
    """The first line of what Ray says, without its colours."""
    first = _COLOUR.sub("", said).strip().partition("\n")[0]
    return "".join(char for char in first if char.isprintable())


def _require_listener(address: str, where: str) -> None:
    """Ray itself would try for long, and not say that nobody is there."""
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port if parts.netloc == address else None
    except ValueError:
        host = port = None
    if not host or not port or "@" in address:
        raise StreamwatchError(f"{where}{address}: write HOST:PORT, as 10.0.0.1:6379")
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StreamwatchError(
            f"no Ray cluster at {address} ({reason.lower()}): start its head with"
            f" `ray start --head --port={port}`, and see that this machine reaches it"
        ) from None


@contextmanager
def _silent_if_refused() -> Iterator[None]:
    """Keep back what Ray's C++ writes to stderr, where we have a sentence for it. Not with -v."""
    if log.isEnabledFor(logging.DEBUG):
        yield
        return
    with TemporaryFile() as kept:
        sys.stderr.flush()
        own = os.dup(2)
        os.dup2(kept.fileno(), 2)
        is_refused = False
        try:
            yield
        except StreamwatchError:
            is_refused = True
            raise
        finally:
            sys.stderr.flush()
            os.dup2(own, 2)
            os.close(own)
            kept.seek(0)
            if not is_refused:
                with suppress(OSError):
                    os.write(2, kept.read())
