"""A file to load, in an environment that knows nothing of the machine's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streamwatch.config import Config, load
from streamwatch.errors import ConfigError

Load = Callable[[str], Config]


@pytest.fixture(autouse=True)
def _bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("CONFIGURATION", "STATE", "CACHE", "CREDENTIALS"):
        monkeypatch.delenv(f"{kind}_DIRECTORY", raising=False)
    for kind in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.delenv(f"XDG_{kind}_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def loaded(tmp_path: Path) -> Load:
    """Loads a text as `config.yaml` in the test's folder."""

    def write_and_load(text: str) -> Config:
        file = tmp_path / "config.yaml"
        file.write_text(text, encoding="utf-8")
        return load(file)

    return write_and_load


@pytest.fixture
def refused(loaded: Load) -> Callable[[str], list[str]]:
    """What is said about a text that must be wrong: `path: message`."""

    def said(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            loaded(text)
        return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]

    return said
