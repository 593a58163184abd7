"""What `doctor` says of disk, permissions, clock, device, weights and versions."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from streamwatch import __version__
from streamwatch.config import Config, Reading
from streamwatch.config.catalogue import MODELS
from streamwatch.doctor import Check, clock, device, disk, permissions, versions, weights
from streamwatch.doctor.check import Installation
from streamwatch.doctor.rights import User
from streamwatch.doctor.unit import Unit
from streamwatch.models.store import default_store

NOBODY = User("nobody", 65_534, frozenset({65_534}))


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))


def config(folder: Path, **sections: object) -> Config:
    return Config.model_validate(
        {
            "detector": {"model": "toybox"},
            "cameras": {"street": {"url": "bundled:street"}},
            "watches": {"car": {"prompt": "red car"}},
            **sections,
        },
        context=Reading(folder),
    )


def case(config: Config | None = None, path: Path | None = None) -> Installation:
    return Installation(path, config, None, None)


# --- disk -----------------------------------------------------------------------------------------


class Space:
    f_flag, f_files, f_favail, f_frsize = 0, 1000, 900_000, 1
    f_bavail = 10_000_000_000


@pytest.mark.parametrize(
    ("changed", "ok", "said", "do"),
    [
        ({}, True, "10 GB free; outbox, snapshots", ""),
        (
            {"f_bavail": 1_000_000_000},
            False,
            "1 GB free; outbox",
            ", or lower snapshots.max_size",
        ),
        ({"f_flag": os.ST_RDONLY}, False, "is mounted read-only", "mount it for writing"),
        ({"f_favail": 12}, False, "has room for 12 files only", "delete files there"),
    ],
)
def test_room(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, int],
    ok: bool,
    said: str,
    do: str,
) -> None:
    space = type("Found", (Space,), changed)
    monkeypatch.setattr(os, "statvfs", lambda path: space)
    (check,) = disk.checks(case(config(tmp_path)))
    assert (check.ok, said in check.said, do in (check.do or "")) == (ok, True, True), check


def test_what_is_kept_already_needs_no_more_room(tmp_path: Path) -> None:
    kept = tmp_path / "state" / "snapshots"
    kept.mkdir(parents=True)
    (kept / "a.jpg").write_bytes(bytes(1000))
    assert disk.taken(kept) == 1000
    assert disk.taken(tmp_path / "nowhere") == 0


# --- permissions ----------------------------------------------------------------------------------


def faults(found: object) -> list[tuple[str, str]]:
    assert isinstance(found, list)
    return [(check.said, check.do) for check in found if check.ok is False]


def test_what_another_user_may_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("")
    path.chmod(0o600)
    for folder in ("state", "cache"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder).chmod(0o755)
    monkeypatch.setattr(permissions, "daemon_user", lambda unit: NOBODY)
    monkeypatch.setattr(User, "reaches", lambda self, path: True)
    found = faults(list(permissions.checks(case(config(tmp_path), path))))
    assert found[0][0] == f"nobody may not read {path}"
    assert (
        f"nobody may not write into {tmp_path}/state",
        f"`sudo chown -R nobody {tmp_path}/state`",
    ) in found
    assert (
        f"nobody may not write into {tmp_path}/state",
        f"`sudo install -d -o nobody {tmp_path}/state/snapshots`",
    ) in found
    for folder in ("state", "cache"):
        (tmp_path / folder).chmod(0o777)
    path.chmod(0o644)
    assert faults(list(permissions.checks(case(config(tmp_path), path)))) == []


def test_a_password_that_all_can_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("mqtt: {username: me, password: hunter2}\n")
    path.chmod(0o644)
    found = faults(list(permissions.checks(case(None, path))))
    assert found == [
        (
            "mqtt.password: every user of this machine can read the password",
            f"`chmod 600 {path}`, or ${{file:PATH}} in the file",
        )
    ]
    path.chmod(0o600)
    assert faults(list(permissions.checks(case(None, path)))) == []


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    found = faults(list(permissions.checks(case(config(tmp_path)))))
    assert (f"{tmp_path}/state is no folder", "remove or rename it") in found


def test_a_device_that_the_user_may_not_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "video97"
    device.write_text("")
    device.chmod(0o600)
    cameras = {"desk": {"url": "/dev/video97"}}
    desk = config(tmp_path, cameras=cameras)
    found = list(permissions.checks(case(desk)))
    assert "desk" not in {check.subject for check in found}  # not there: told with the cameras
    monkeypatch.setattr(permissions, "daemon_user", lambda unit: NOBODY)
    monkeypatch.setattr(permissions, "Path", lambda path: device)
    (check,) = (c for c in permissions._devices(desk, NOBODY))
    assert (check.ok, check.said) == (False, f"nobody may not open {device}")
    assert check.do == (f"`sudo usermod -aG {device.group()} nobody`, and log in or restart again")


@pytest.mark.parametrize(
    ("path", "allowed", "said"),
    [
        ("/srv/pictures", "", "keeps /srv/pictures from being written"),
        ("/home/me/pictures", "", "hides home folders, /home/me/pictures too"),
        ("/srv/pictures", "-/srv", None),
    ],
)
def test_what_the_sandbox_of_the_unit_keeps_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, allowed: str, said: str | None
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/streamwatch")
    monkeypatch.setenv("CACHE_DIRECTORY", "/var/cache/streamwatch")
    unit = Unit(
        "streamwatch.service",
        {
            "StateDirectory": "streamwatch",
            "CacheDirectory": "streamwatch",
            "ProtectSystem": "strict",
            "ProtectHome": "yes",
            "ReadWritePaths": f"/etc/streamwatch {allowed}",
        },
    )
    found = list(permissions._sandbox(config(tmp_path, snapshots={"path": path}), unit))
    if said is None:
        assert found == []
        return
    (check,) = found
    assert check.said == f"streamwatch.service {said}"
    assert f"ReadWritePaths={path}" in (check.do or "")


def test_the_user_of_the_unit_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    unit = Unit(
        "streamwatch.service",
        {
            "LoadState": "loaded",
            "User": "no-such-user",
            "ExecStart": f"{{ argv[]=/x run -c {path} ; }}",
        },
    )
    (check,) = permissions.checks(Installation(path, None, unit, None))
    assert check.said == "the user no-such-user of streamwatch.service does not exist"


def test_rights_go_by_owner_group_and_others(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    path.chmod(0o604)
    uid, gid = path.stat().st_uid, path.stat().st_gid
    assert NOBODY.may(path, 4)
    assert not NOBODY.may(path, 2)
    assert not User("grouped", 65_534, frozenset({gid})).may(path, 4)
    assert User("owner", uid, frozenset()).may(path, 6)


# --- clock ----------------------------------------------------------------------------------------


def test_a_clock_that_is_older_than_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    (check,) = clock.checks(case())
    assert (check.ok, "this program was installed on" in check.said) == (False, True)


@pytest.mark.parametrize(
    ("state", "is_booted", "ok"),
    [(True, False, True), (False, True, False), (False, False, None), (None, True, None)],
)
def test_whether_the_clock_is_synchronised(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    state: bool | None,
    is_booted: bool,
    ok: bool | None,
) -> None:
    monkeypatch.setattr(clock, "synchronised", lambda: state)
    monkeypatch.setattr(clock, "BOOTED", tmp_path if is_booted else tmp_path / "nowhere")
    monkeypatch.setattr(clock, "CONTAINERS", ())
    (check,) = clock.checks(case())
    assert check.ok is ok
    assert (check.do is not None) == (ok is False)


def test_the_kernel_is_asked() -> None:
    assert clock.synchronised() in (True, False, None)


def test_the_time_zone_of_hours(tmp_path: Path) -> None:
    watches = {"car": {"prompt": "red car", "active": "22:00-06:00"}}
    here = config(tmp_path, watches=watches, timezone="Asia/Tokyo")
    assert [c.said[5:] for c in clock.checks(case(here)) if c.subject == "active"] == [
        " in Asia/Tokyo"
    ]


# --- device, weights, versions --------------------------------------------------------------------


def test_a_gpu_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamwatch.detector.device._gpus", lambda: 0)
    there = config(tmp_path, detector={"model": "toybox", "device": "cuda:3"})
    (check,) = device.checks(case(there))
    assert check.ok is False
    assert check.said.startswith("detector.device: cuda:3 is not on this machine")


def test_what_auto_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamwatch.detector.device._gpus", lambda: 0)
    monkeypatch.setattr(device, "has_gpu_driver", lambda: True)
    found = list(device.checks(case(config(tmp_path))))
    assert [(c.ok, c.said) for c in found] == [
        (True, "auto is cpu, by openvino, precision auto"),
        (None, "there is the driver of a GPU, and torch finds none it can use"),
        (None, "toybox is not compiled yet: the first start does it"),
    ]


def test_weights_that_are_whole(tmp_path: Path) -> None:
    found = list(weights.checks(case(config(tmp_path))))
    assert [(c.subject, c.ok) for c in found] == [("toybox", True), ("minilm", True)]


def test_weights_that_are_cut_off(tmp_path: Path) -> None:
    model = tmp_path / "own.pt"
    model.write_bytes(default_store().find(MODELS["toybox"].checkpoint).read_bytes()[:-1000])
    own = config(tmp_path, detector={"model": str(model), "text_encoder": "minilm"})
    check = next(iter(weights.checks(case(own))))
    assert (check.ok, check.said, check.do) == (
        False,
        f"{model} is cut off or damaged",
        "copy or fetch it again",
    )


@pytest.mark.parametrize(
    ("offline", "ok", "do"),
    [
        (False, None, "`streamwatch models pull yolov8s-worldv2` does it now"),
        (True, False, "`streamwatch models pull yolov8s-worldv2`"),
    ],
)
def test_weights_that_are_not_here(tmp_path: Path, offline: bool, ok: bool | None, do: str) -> None:
    official = {"model": "yolov8s-worldv2", "offline": offline}
    check = next(iter(weights.checks(case(config(tmp_path, detector=official)))))
    assert (check.ok, check.do) == (ok, do)


def test_fetched_weights_of_another_checksum(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "models" / "yolov8s-worldv2"
    folder.mkdir(parents=True)
    (folder / "yolov8s-worldv2.pt").write_bytes(b"half")
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  yolov8s-worldv2.pt\n")
    check = next(iter(weights.checks(case(config(tmp_path, detector={"model": folder.name})))))
    assert (check.ok, check.do) == (
        False,
        "`streamwatch models pull yolov8s-worldv2` fetches it again",
    )
    assert "its checksum is not the one in SHA256SUMS" in check.said


def test_a_running_daemon_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(version: str) -> list[Check]:
        found = versions.checks(Installation(None, None, None, {"version": version}))
        return [check for check in found if check.subject == "daemon"]

    assert told(__version__) == []
    assert told("0.0.9") == [
        Check("versions", "daemon", False, "the running daemon is still 0.0.9", "restart it")
    ]


def test_what_is_needed_and_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["paho-mqtt>=99", "no-such-thing>=1", "nncf>=3; extra == 'int8'", "typer>=0.1"]
    monkeypatch.setattr(versions, "requires", lambda name: wanted)
    found = [(c.subject, c.said) for c in versions.checks(case()) if c.ok is False]
    assert [subject for subject, _ in found] == ["paho-mqtt", "no-such-thing"]
    assert found[1][1] == "is missing, and >=1 is needed"
