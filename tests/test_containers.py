"""The image's build context and commands; the build itself needs a network and is not tested."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.parts.daemon import PATIENCE_SECONDS, private_environment
from tests.parts.mosquitto import StartMosquitto, Subscriber

pytestmark = pytest.mark.slow(seconds=30)

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "containers"
PROGRAM = Path(sys.executable).with_name("streamwatch")


def instructions(name: str) -> list[str]:
    """The arguments of the instructions of this name."""
    text = (FOLDER / "Containerfile").read_text().replace("\\\n", " ")
    return re.findall(rf"^{name} +(.+)$", text, re.MULTILINE)


def exec_form(name: str) -> list[str]:
    (found,) = instructions(name)
    arguments: list[str] = json.loads(found[found.index("[") :])
    return arguments


def inside(folder: Path) -> dict[str, str]:
    """The image's environment, with its folders below `folder`."""
    (assignments,) = instructions("ENV")
    named = dict(each.split("=", 1) for each in assignments.split())
    del named["PATH"]
    folders = {name: f"{folder}{path}" for name, path in named.items()}
    private = private_environment(folder)
    folders["RUNTIME_DIRECTORY"] = private["XDG_RUNTIME_DIR"]  # the path of a socket must be short
    for path in folders.values():
        Path(path).mkdir(parents=True, exist_ok=True)
    cache = private["XDG_CACHE_HOME"]
    shutil.copytree(Path(cache) / "streamwatch", folders["CACHE_DIRECTORY"],
                    symlinks=True, dirs_exist_ok=True)  # fmt: skip
    return {**os.environ, "HOME": folders["CACHE_DIRECTORY"], **folders}


def test_what_is_copied_in_makes_the_whole_wheel(tmp_path: Path) -> None:
    context, whole, copied = tmp_path / "src", tmp_path / "whole", tmp_path / "copied"
    for copy in instructions("COPY"):
        if copy.startswith("--from"):
            continue
        *sources, target = copy.split()
        for source in sources:
            place = context / target
            if (ROOT / source).is_dir():
                leftovers = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, place, ignore=leftovers)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)
    names = []
    for tree, wheels in ((ROOT, whole), (context, copied)):
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
             "--wheel-dir", wheels, tree],
            check=True,
        )  # fmt: skip
        (wheel,) = wheels.glob("streamwatch_daemon-*.whl")
        with zipfile.ZipFile(wheel) as files:
            names.append(set(files.namelist()))
    assert names[0] == names[1]


def test_its_commands_start_tell_and_stop_the_daemon(
    tmp_path: Path, start_mosquitto: StartMosquitto
) -> None:
    """As process 1 it is tested in tests/cli/test_exit_codes.py."""
    broker = start_mosquitto()
    environment = inside(tmp_path)
    config = Path(environment["CONFIGURATION_DIRECTORY"])
    assert exec_form("ENTRYPOINT") == ["streamwatch"]
    assert instructions("WORKDIR")[-1] == "/config"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, *arguments], cwd=config, env=environment, capture_output=True, text=True
        )

    assert run("init").returncode == 0
    assert (config / "config.yaml").is_file()
    (config / "config.yaml").write_text(
        yaml.safe_dump(
            {
                "mqtt": {"host": broker.host, "port": broker.port},
                "detector": {"model": "toybox"},
                "cameras": {"street": {"url": "bundled:street", "loop": True}},
                "watches": {"car": {"prompt": "red car"}},
            }
        )
    )
    program, *check = exec_form("HEALTHCHECK")
    assert program == "streamwatch"
    assert run(*check).returncode == 3
    with (
        Subscriber(broker.port, "streamwatch/#") as subscriber,
        subprocess.Popen([PROGRAM, *exec_form("CMD")], cwd=config, env=environment) as daemon,
    ):
        try:
            subscriber.wait_for_payload("streamwatch/state/street/car", b"ON", PATIENCE_SECONDS)
            deadline = time.monotonic() + 30
            while (healthy := run(*check)).returncode and time.monotonic() < deadline:
                time.sleep(0.5)
            assert healthy.returncode == 0, healthy.stdout + healthy.stderr
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(PATIENCE_SECONDS) == 0
        finally:
            daemon.kill()
    assert list(Path(environment["STATE_DIRECTORY"], "outbox").iterdir())
    assert {path.name for path in config.iterdir()} == {"config.yaml", "config.schema.json"}


def test_the_volumes_are_the_folders_that_it_writes() -> None:
    compose: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    mounted = [volume.split(":")[1] for volume in compose["services"]["streamwatch"]["volumes"]]
    assert exec_form("VOLUME") == mounted == ["/config", "/state", "/cache"]
    build = compose["services"]["streamwatch"]["build"]
    assert (FOLDER / build["context"] / build["dockerfile"]).samefile(FOLDER / "Containerfile")
    assert instructions("USER") == ["10001:10001"]
