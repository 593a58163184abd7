"""The topics of the MQTT contract."""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[str, str]
"""A camera and a watch."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics below one prefix, which may itself hold levels (`home/streamwatch`).

    A `worker` of several on the prefix has a status, info and statistics of its own.
    """

    prefix: str
    worker: str | None = None

    @property
    def _own(self) -> str:
        return self.prefix if self.worker is None else f"{self.prefix}/workers/{self.worker}"

    @property
    def status(self) -> str:
        return f"{self._own}/status"

    @property
    def info(self) -> str:
        return f"{self._own}/info"

    @property
    def stats(self) -> str:
        return f"{self._own}/stats"

    @property
    def errors(self) -> str:
        return f"{self.prefix}/errors"

    @property
    def check(self) -> str:
        """Where `check --connect` sends a message to itself."""
        return f"{self.prefix}/check"

    @property
    def commands(self) -> str:
        """The filter that every command matches."""
        return f"{self.prefix}/command/#"

    def verb(self, topic: str) -> str:
        """The verb of a command's topic: `watch/set` for `P/command/watch/set`."""
        return topic.removeprefix(f"{self.prefix}/command").removeprefix("/")

    def result(self, verb: str) -> str:
        return f"{self.prefix}/result/{verb}".removesuffix("/")

    def camera_status(self, camera: str) -> str:
        return f"{self.prefix}/cameras/{camera}/status"

    def of(self, worker: str) -> Topics:
        """Those of a worker on this prefix."""
        return Topics(self.prefix, worker)

    def owner(self, camera: str) -> str:
        """Which worker watches the camera."""
        return f"{self.prefix}/cameras/{camera}/worker"

    def visits(self, camera: str) -> str:
        """The camera's open visits, for the worker that has it next."""
        return f"{self.prefix}/visits/{camera}"

    def event(self, camera: str, watch: str) -> str:
        return f"{self.prefix}/events/{camera}/{watch}"

    def state(self, camera: str, watch: str) -> str:
        return f"{self.prefix}/state/{camera}/{watch}"

    def snapshot(self, camera: str, watch: str) -> str:
        return f"{self.prefix}/snapshot/{camera}/{watch}"

    def rejected(self, camera: str, watch: str) -> str:
        return f"{self.prefix}/rejected/{camera}/{watch}"

    def near(self, camera: str, watch: str) -> str:
        """Of near misses: what was found and not told."""
        return f"{self.prefix}/near/{camera}/{watch}"

    def clip(self, camera: str, watch: str) -> str:
        """Of each visit's video, once it is whole."""
        return f"{self.prefix}/clips/{camera}/{watch}"

    def command(self, verb: str) -> str:
        return f"{self.prefix}/command/{verb}"
