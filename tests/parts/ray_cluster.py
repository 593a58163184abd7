"""A real Ray cluster of several nodes on this machine, and a fleet's controller on it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from tests.parts.daemon import Daemon, private_environment

RAY_ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # binds to the loopback alone
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "3600",
    "RAY_AUTH_MODE": "token",
}


class RayCluster:
    """A head without workers, and nodes that are added, killed and frozen, all on the loopback.

    What the workers write is in `folder`. Its processes have `more` in their environment.
    """

    def __init__(self, folder: Path, **more: str) -> None:
        self.folder = folder
        self.variables = {
            **RAY_ENVIRONMENT,
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "PYTHONPATH": os.pathsep.join((str(Path.cwd()), os.environ.get("PYTHONPATH", ""))),
            "PYTHONWARNINGS": "default",
            **more,
        }
        self.environment = {**private_environment(folder), **self.variables}
        self.address = ""
        self._raylets: dict[str, psutil.Process] = {}

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log = (self.folder / "cluster.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.parts.ray_cluster_main"],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self.address = self._answer()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for name in tuple(self._raylets):
            self.thaw(name)
        processes = psutil.Process(self._process.pid).children(recursive=True)
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        _end(processes)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def add(
        self, name: str, *, gpus: int = 0, environment: Mapping[str, str] | None = None
    ) -> None:
        pid = self._ask(add=name, gpus=gpus, environment=environment or {})
        self._raylets[name] = psutil.Process(pid)

    def kill(self, name: str) -> None:
        """Kill the raylet of a node, as where its machine dies; its workers end by themselves."""
        with suppress(psutil.NoSuchProcess):
            self._raylets.pop(name).kill()
        self._ask(remove=name)

    def freeze(self, name: str) -> None:
        """Stop everything on a node."""
        for process in self.processes(name):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        for process in self.processes(name):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    def processes(self, name: str) -> list[psutil.Process]:
        """The raylet of a node and everything it has started."""
        raylet = self._raylets[name]
        with suppress(psutil.NoSuchProcess):
            return [raylet, *raylet.children(recursive=True)]
        return []

    def head_processes(self) -> list[psutil.Process]:
        """Those of the head, before any node was added; without the one that was asked to start
        it."""
        return psutil.Process(self._process.pid).children(recursive=True)

    def _ask(self, **question: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the cluster has ended: {(self.folder / 'cluster.log').read_text()}"
        return json.loads(line)


class FleetController(Daemon):
    """`streamwatch fleet -c FILE` on a cluster, while its `with` block lasts."""

    def __init__(
        self, folder: Path, config: dict[str, Any], cluster: RayCluster, *more: str
    ) -> None:
        arguments = ("fleet", "--address", cluster.address, *more)
        super().__init__(folder, config, arguments=arguments, environment=cluster.variables)


def _end(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
