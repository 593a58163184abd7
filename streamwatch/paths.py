"""Folders of configuration, state and cache (systemd's, else XDG's), and the shipped files.

https://specifications.freedesktop.org/basedir-spec/latest/ and systemd.exec(5).
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from streamwatch.errors import StreamwatchError

FILE_NAME = "config.yaml"
DISTRIBUTION = "streamwatch-daemon"
"""Its name for pip: `streamwatch` is somebody else's program there."""
_PROGRAM = "streamwatch"
_RUN = Path("/run")
"""Below it systemd makes `streamwatch`, and `streamwatch-yard` for an instance."""
_PACKAGE = Path(__file__).parent


def config_dir() -> Path:
    """The folder for the configuration file."""
    return _directory("CONFIGURATION_DIRECTORY", "XDG_CONFIG_HOME", ".config")


def state_dir() -> Path:
    """The folder for what must survive a restart. Not created."""
    return _directory("STATE_DIRECTORY", "XDG_STATE_HOME", ".local/state")


def state_file(kind: str, config: Path, suffix: str) -> Path:
    """A file in the state folder that belongs to one configuration path, so that instances don't
    share it. Not created."""
    return state_dir() / kind / f"{_name_of(config)}{suffix}"


def status_socket(config: Path) -> Path:
    """Where the daemon of this configuration listens for `streamwatch status`. Not created."""
    return _runtime_dirs()[0] / f"{_name_of(config)}.sock"


def status_sockets(config: Path) -> list[Path]:
    """Every place where it may listen, also when another user or systemd has started it."""
    name = f"{_name_of(config)}.sock"
    own = [folder / name for folder in _runtime_dirs()]
    return list(dict.fromkeys([*own, _RUN / _PROGRAM / name, *_RUN.glob(f"{_PROGRAM}-*/{name}")]))


def cache_dir() -> Path:
    """The folder for what can be fetched or computed again. Not created."""
    return _directory("CACHE_DIRECTORY", "XDG_CACHE_HOME", ".cache")


def config_candidates() -> list[Path]:
    """Every place where a configuration file is looked for; the first that exists is taken."""
    own = _xdg("XDG_CONFIG_HOME", ".config")
    folders = [Path(), own, *_systemd("CONFIGURATION_DIRECTORY"), Path("/etc") / _PROGRAM]
    files = [folder / FILE_NAME for folder in folders if folder is not None]
    return list(dict.fromkeys(files))


def shipped(name: str) -> Path:
    """`config.yaml` or `config.schema.json` as shipped.

    In a wheel they lie in the package; in a checkout at the top of the repository.
    """
    for folder in (_PACKAGE / "config" / "shipped", _PACKAGE.parent):
        if (folder / name).is_file():
            return folder / name
    raise StreamwatchError(
        f"{name} is missing from this installation; install {DISTRIBUTION} again"
    )


def starter() -> str:
    """The commented configuration that `streamwatch init` writes."""
    return (_PACKAGE / "config" / "starter.yaml").read_text(encoding="utf-8")


def _directory(systemd: str, xdg: str, below_home: str) -> Path:
    for folder in _systemd(systemd):
        return folder
    found = _xdg(xdg, below_home)
    if found is None:
        raise StreamwatchError(f"there is no home folder; set ${xdg} to an absolute path")
    return found


def _runtime_dirs() -> list[Path]:
    own = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    session = [own / _PROGRAM] if own.is_absolute() else []
    return [*_systemd("RUNTIME_DIRECTORY"), *session, state_dir()]


def _name_of(config: Path) -> str:
    return hashlib.sha256(os.fsencode(config.absolute())).hexdigest()[:16]


def _systemd(variable: str) -> list[Path]:
    """systemd gives absolute paths, separated by colons."""
    return [Path(part) for part in os.environ.get(variable, "").split(":") if part]


def _xdg(variable: str, below_home: str) -> Path | None:
    """None if the user has no home folder. The specification says to ignore relative paths."""
    base = Path(os.environ.get(variable, ""))
    if base.is_absolute():
        return base / _PROGRAM
    try:
        return Path.home() / below_home / _PROGRAM
    except RuntimeError:
        return None
