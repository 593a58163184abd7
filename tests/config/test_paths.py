"""The folders and files that streamwatch uses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streamwatch import paths
from streamwatch.config import (
    NearMissSettings,
    SnapshotSettings,
    near_miss_folder,
    snapshot_folder,
)
from streamwatch.errors import StreamwatchError
from streamwatch.paths import (
    cache_dir,
    config_dir,
    shipped,
    starter,
    state_dir,
    status_socket,
    status_sockets,
)

Where = Callable[[], Path]
ALL = [
    (state_dir, "STATE", ".local/state"),
    (cache_dir, "CACHE", ".cache"),
    (config_dir, "CONFIG", ".config"),
]
SYSTEMD = {"CONFIG": "CONFIGURATION"}


@pytest.mark.parametrize(("where", "kind", "below_home"), ALL)
def test_folders_come_from_systemd_then_xdg_then_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Where, kind: str, below_home: str
) -> None:
    assert where() == tmp_path / "home" / below_home / "streamwatch"
    monkeypatch.setenv(f"XDG_{kind}_HOME", "relative/is/ignored")
    assert where() == tmp_path / "home" / below_home / "streamwatch"
    monkeypatch.setenv(f"XDG_{kind}_HOME", "/xdg")
    assert where() == Path("/xdg/streamwatch")
    monkeypatch.setenv(f"{SYSTEMD.get(kind, kind)}_DIRECTORY", "/var/one:/var/two")
    assert where() == Path("/var/one")


def test_without_a_home_folder_there_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    with pytest.raises(StreamwatchError, match=r"there is no home folder; set \$XDG_STATE_HOME"):
        state_dir()
    assert paths.config_candidates() == [
        Path("config.yaml"),
        Path("/etc/streamwatch/config.yaml"),
    ]


def test_pictures_are_in_the_state_folder_unless_configured(tmp_path: Path) -> None:
    state = tmp_path / "home/.local/state/streamwatch"
    assert snapshot_folder(SnapshotSettings()) == state / "snapshots"
    assert snapshot_folder(SnapshotSettings(path=Path("/pictures"))) == Path("/pictures")
    assert near_miss_folder(NearMissSettings()) == state / "near-misses"
    assert near_miss_folder(NearMissSettings(path=Path("/missed"))) == Path("/missed")


def test_shipped_files_are_found_in_a_checkout_and_in_a_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = Path(__file__).parents[2]
    assert shipped("config.yaml") == top / "config.yaml"
    package = tmp_path / "streamwatch"
    (package / "config" / "shipped").mkdir(parents=True)
    monkeypatch.setattr(paths, "_PACKAGE", package)
    with pytest.raises(StreamwatchError, match="install streamwatch-daemon again"):
        shipped("config.yaml")
    (package / "config" / "shipped" / "config.yaml").touch()
    assert shipped("config.yaml") == package / "config" / "shipped" / "config.yaml"


def test_the_starter_names_the_schema_in_its_first_line() -> None:
    first = starter().splitlines()[0]
    assert first == "# yaml-language-server: $schema=./config.schema.json"


def test_the_socket_of_a_service_is_found_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For `streamwatch.service` and for its instances, whose folders are side by side."""
    config = Path("/etc/streamwatch/yard.yaml")
    monkeypatch.setattr(paths, "_RUN", tmp_path)
    for folder in ("streamwatch", "streamwatch-yard"):
        (tmp_path / folder).mkdir()
        with monkeypatch.context() as service:
            service.setenv("RUNTIME_DIRECTORY", str(tmp_path / folder))
            socket = status_socket(config)
        assert socket.parent == tmp_path / folder
        socket.touch()
        assert socket in status_sockets(config)
