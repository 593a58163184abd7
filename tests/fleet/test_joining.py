"""What Ray 2.60 says where it can't join, as sentences; without a cluster."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streamwatch.errors import StreamwatchError
from streamwatch.fleet.joining import imported_ray, join, refusal

HEAD = "10.0.0.1:6379"
FAILED = f"Failed to connect to Ray cluster at {HEAD}"
NOT_LET_IN = (
    "Failed to connect to GCS. Last connection error: Traceback (most recent call last):\n"
    '  File "python/ray/includes/common.pxi", line 119, in ray._raylet.check_status\n'
    "ray.exceptions.AuthenticationError: RPC error: InvalidAuthToken: Authentication token is"
    " missing or incorrect. Ensure that the token for the cluster is available in a local file"
)
NO_ANSWER = (
    "Failed to connect to GCS. Last connection error: Traceback (most recent call last):\n"
    "ray.exceptions.RpcError: Timed out while waiting for GCS to become available.\n"
)
OTHER_VERSION = (
    "Version mismatch: The cluster was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
    "This process on node 127.0.0.1 was started with:\n    Ray: 2.55.1\n    Python: 3.12.4\n"
)
NOT_HERE = (
    "Could not find any running Ray instance. Please specify the one to connect to by setting"
    " `--address` flag or `RAY_ADDRESS` environment variable."
)
NO_NODE = "No node info found matching attributes: '' when trying to resolve node to connect to."
NO_TOKEN = "Token authentication is enabled but no authentication token was found. Ensure that"
WHERE = "RAY_AUTH_TOKEN, or in the file that RAY_AUTH_TOKEN_PATH names"


@pytest.mark.parametrize(
    ("said", "token", "sentence"),
    [
        (
            f"{FAILED}\n{NOT_LET_IN}",
            True,
            f"the Ray cluster at {HEAD} has another token: the same must be in {WHERE}, everywhere",
        ),
        (
            f"{FAILED}\n{NOT_LET_IN}",
            False,
            f"the Ray cluster at {HEAD} wants a token: set RAY_AUTH_MODE=token, and put it in"
            f" {WHERE}",
        ),
        (
            NO_TOKEN,
            True,
            f"RAY_AUTH_MODE=token, but there is no token: put the cluster's in {WHERE}",
        ),
        (
            OTHER_VERSION,
            True,
            "the Ray cluster of this machine is of Ray 2.60.0 and Python 3.11.7, and here are Ray"
            " 2.55.1 and Python 3.12.4: install the same Ray and the same Python everywhere",
        ),
        (
            NOT_HERE,
            True,
            "no Ray cluster runs on this machine: start one with `ray start --head`, or make this"
            " machine a node of one with `ray start --address=HOST:PORT`",
        ),
        (
            f"{FAILED}\n{NO_NODE}",
            True,
            f"this machine is no node of the Ray cluster at {HEAD}: `ray start --address={HEAD}"
            " --num-cpus=0` makes it one that watches no cameras; or start the fleet on a node",
        ),
        (
            f"{FAILED}\n{NO_ANSWER}",
            True,
            f"the Ray cluster at {HEAD} does not answer: see that it is the head of a Ray cluster,"
            " and runs (the port is that of `ray start --head --port=`)",
        ),
        (
            "Something\nelse",
            True,
            "the Ray cluster of this machine can't be joined: Something",
        ),
    ],
)
def test_what_ray_says_is_told_in_a_sentence(said: str, token: bool, sentence: str) -> None:
    assert refusal("auto", said, token=token) == sentence


class RayError(Exception):
    """As Ray's own, which are neither connection nor runtime errors."""


def stub(error: Exception) -> Any:
    """A Ray that writes to the standard error, and does not get in."""

    def init(**_: object) -> None:
        os.write(2, b"gcs_client.cc:210: Failed to get cluster ID\n")
        raise error

    return SimpleNamespace(
        init=init, shutdown=lambda: None, exceptions=SimpleNamespace(RayError=RayError)
    )


@pytest.mark.parametrize("kind", [ConnectionError, RuntimeError, ValueError, RayError])
def test_only_our_sentence_is_seen(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(StreamwatchError, match="no Ray cluster runs on this machine"):
        join(stub(kind(NOT_HERE)), None, "streamwatch")
    assert capfd.readouterr().err == ""


def test_what_ray_writes_is_seen_where_nothing_is_said_about_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(KeyError):
        join(stub(KeyError("porch")), None, "streamwatch")
    assert "gcs_client.cc" in capfd.readouterr().err


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "10.0.0.1:", ":6379", "10.0.0.1:70000", "ray://head:10001", "a@b:1", "head:1/x"],
)
def test_an_address_is_a_host_and_a_port(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = f"{address}: write HOST:PORT, as 10.0.0.1:6379"
    with pytest.raises(StreamwatchError) as refused:
        join(stub(KeyError()), address, "streamwatch")
    assert str(refused.value) == f"--address {sentence}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(StreamwatchError) as refused:
        join(stub(KeyError()), None, "streamwatch")
    assert str(refused.value) == f"RAY_ADDRESS={sentence}"


def test_nothing_listens_there() -> None:
    with socket.socket() as taken:  # bound, so that nobody else gets it, and not listening
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(StreamwatchError) as refused:
            join(stub(KeyError()), f"127.0.0.1:{port}", "streamwatch")
    assert str(refused.value) == (
        f"no Ray cluster at 127.0.0.1:{port} (connection refused): start its head with"
        f" `ray start --head --port={port}`, and see that this machine reaches it"
    )


def test_ray_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("import missing_part_of_ray")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    with pytest.raises(StreamwatchError, match="Ray can't be imported: No module named 'missing"):
        imported_ray()
