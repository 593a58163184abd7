"""streamwatch in a process of its own, with a configuration file."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from streamwatch.paths import cache_dir
from tests.parts import SIDE_BY_SIDE
from tests.parts.vectors import keep_usual_vectors

PATIENCE_SECONDS = 150.0
"""Timeout for what takes seconds on an idle machine: a start takes 4 s of a core."""


class Daemon:
    """`streamwatch run -c FILE` while its `with` block lasts; killed by its process id at the end.

    Its home, state, cache and snapshots are in `folder`; its output is in `log`. `within` is a
    command to run it with, and `prelude` Python that it runs first. Other `arguments` make it
    another command, and `environment` is added to its own.
    """

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        *,
        within: Sequence[str | Path] = (),
        prelude: str = "",
        arguments: Sequence[str] = ("run",),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self._arguments = arguments
        self._environment = environment
        self._within = within
        self._program = f"{prelude}\nfrom streamwatch.__main__ import main; main()"
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "config.yaml"
        self.config.write_text(yaml.safe_dump(config, sort_keys=False))
        self._log = folder / "log"

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self._within,
                    *(sys.executable, "-c", self._program),
                    *(*self._arguments, "-c", str(self.config)),
                ],
                env={**private_environment(self.folder), **(self._environment or {})},
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def terminate(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self, timeout: float = PATIENCE_SECONDS) -> int:
        return self.process.wait(timeout)

    def wait_for_log(self, text: str, timeout: float = PATIENCE_SECONDS) -> None:
        deadline = time.monotonic() + timeout
        while text not in self.log:
            assert self.process.poll() is None, f"it ended: {self.log}"
            assert time.monotonic() < deadline, f"no {text!r} in {self.log}"
            time.sleep(0.1)


def private_environment(folder: Path) -> dict[str, str]:
    """This process's environment, but with everything streamwatch writes below `folder`.

    Except for the vectors of prompts and the compiled detector, which all tests share, since they
    take seconds to make.
    """
    if SIDE_BY_SIDE:
        keep_usual_vectors()
    for name in ("embeddings", "compiled"):
        own, shared = folder / "xdg-cache" / "streamwatch" / name, cache_dir() / name
        if not own.is_symlink():
            shared.mkdir(parents=True, exist_ok=True)
            own.parent.mkdir(parents=True, exist_ok=True)
            own.symlink_to(shared)
    return {
        **{k: v for k, v in os.environ.items() if not k.endswith("_DIRECTORY")},
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "xdg-config"),
        "XDG_RUNTIME_DIR": str(_runtime_dir(folder)),
        "XDG_STATE_HOME": str(folder / "xdg-state"),
        "XDG_CACHE_HOME": str(folder / "xdg-cache"),
    }


@cache
def _runtime_dir(folder: Path) -> Path:
    """The folder of the daemon's socket. A socket's path may have 107 bytes, and the tests' folders
    already come close to that."""
    made = Path(tempfile.mkdtemp(prefix="run-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made
