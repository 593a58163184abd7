"""A real Home Assistant, if one is installed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.parts import free_port

VARIABLE = "STREAMWATCH_HOMEASSISTANT"
"""Names a Python with the packages `homeassistant` (2024.11 or newer) and `paho-mqtt`."""
MAIN = Path(__file__).with_name("home_assistant_main.py")


class HomeAssistant:
    """Home Assistant with its MQTT integration, while its `with` block runs.

    A second one in the same `folder` is a restart of the first.
    """

    def __init__(
        self, python: str, folder: Path, broker_port: int, automations: Path | None = None
    ) -> None:
        self._command = [python, str(MAIN), str(folder), str(broker_port), str(free_port())]
        if automations is not None:
            self._command.append(str(automations))
        folder.mkdir(exist_ok=True)
        self._log = folder / "log"

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def settled(self) -> bool:
        """Whether it has subscribed to all that was announced when it started."""
        return "birth message sent" in self.log

    @property
    def complaints(self) -> list[str]:
        """Warnings and errors of its MQTT integration."""
        marks = ("WARNING:homeassistant.components.mqtt", "ERROR:homeassistant.components.mqtt")
        return [line for line in self.log.splitlines() if line.startswith(marks)]

    @property
    def states(self) -> dict[str, Any]:
        found: dict[str, Any] = self._ask(do="states")
        return found

    @property
    def devices(self) -> dict[str, Any]:
        return {device["name"]: device for device in self._ask(do="devices")}

    @property
    def notifications(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask(do="calls")
        return found

    def picture_bytes(self, entity: str) -> int | None:
        size: int | None = self._ask(do="picture", entity=entity)
        return size

    def call(self, service: str, entity: str) -> None:
        self._ask(do="call", service=service, entity=entity)

    def _ask(self, **request: Any) -> Any:
        line = self._process.stdout
        assert self._process.stdin is not None
        assert line is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = line.readline()
        assert answer, f"Home Assistant has ended:\n{self.log}"
        return json.loads(answer)

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == '"started"\n', self.log
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


StartHomeAssistant = Callable[..., HomeAssistant]


@pytest.fixture
def start_home_assistant() -> Iterator[StartHomeAssistant]:
    """Start one in a folder, for a broker's port. Skips if the variable is not set."""
    python = os.environ.get(VARIABLE)
    if python is None:
        pytest.skip(f"Home Assistant is not named (${VARIABLE}: a Python that has it)")
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(HomeAssistant(python, *arguments))
