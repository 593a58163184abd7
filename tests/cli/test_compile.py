"""`streamwatch models compile`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamwatch.config import DetectorSettings
from streamwatch.detector import device
from streamwatch.detector.compiled import samples, upgrading
from streamwatch.detector.compiled.samples import Samples
from streamwatch.detector.loading import load_detector
from streamwatch.detector.protocol import Running
from tests.cli.test_models import streamwatch
from tests.parts import made_once
from tests.parts.compiled import compile_toybox

pytestmark = pytest.mark.slow(seconds=80)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder without anything compiled."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CACHE_DIRECTORY", str(folder))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("NO_COLOR", "1")
    return folder / "compiled"


@pytest.fixture
def compiled(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The detector is compiled already, and quantizing it is left."""
    shared = made_once(tmp_path_factory, "compiled", compile_toybox)
    shutil.copytree(shared, cache)


def configuration(folder: Path, detector: dict[str, Any], **camera: Any) -> str:
    street = {"url": "bundled:street", "loop": True, **camera}
    path = folder / "config.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "mqtt": {"embedded": True},
                "detector": {"model": "toybox", **detector},
                "cameras": {"street": street},
                "watches": {"car": {"prompt": "red car"}},
            }
        )
    )
    return str(path)


def test_what_was_compiled_is_there_for_run(tmp_path: Path, cache: Path) -> None:
    path = configuration(tmp_path, {})
    for _ in range(2):
        done = streamwatch("models", "compile", "-c", path)
        assert done.exit_code == 0, done.stderr
        said = rf"toybox is compiled and runs in precision (full|half)\.\nIt is kept in {cache}\n"
        assert re.fullmatch(said, done.stdout)
        assert len(list(cache.iterdir())) == 1
    running = load_detector(DetectorSettings(model="toybox", device="cpu")).running
    assert running.backend == "openvino"


def test_torch_has_nothing_to_compile(tmp_path: Path, cache: Path) -> None:
    done = streamwatch("models", "compile", "-c", configuration(tmp_path, {"backend": "torch"}))
    assert done.exit_code == 0
    assert done.stdout == "There is nothing to compile: torch runs toybox on cpu.\n"
    assert not cache.exists()


@pytest.mark.usefixtures("compiled")
def test_int8_is_quantized_with_the_cameras(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf", reason="needs the extra int8")
    monkeypatch.setattr(upgrading, "Samples", lambda: Samples(enough=25))
    monkeypatch.setattr(samples, "APART_BATCHES", 1)
    done = streamwatch(
        "models", "compile", "-c", configuration(tmp_path, {"precision": "int8", "device": "cpu"})
    )
    assert done.exit_code == 0, done.stderr
    assert [line.strip() for line in done.stdout.splitlines()] == [
        "the detector is quantized to int8 when it has seen enough pictures",
        "25 of 25 pictures for precision int8",
        "the detector is compiled and runs in precision int8",
        "toybox is compiled and runs in precision int8.",
        f"It is kept in {cache}",
    ]
    settings = DetectorSettings(model="toybox", device="cpu", precision="int8")
    assert load_detector(settings).running == Running("cpu", "openvino", "int8")


@pytest.mark.usefixtures("compiled")
def test_int8_of_cameras_that_end_too_soon(tmp_path: Path) -> None:
    pytest.importorskip("nncf", reason="needs the extra int8")
    soon = {"loop": False, "pace": False, "fps": 1}
    path = configuration(tmp_path, {"precision": "int8", "device": "cpu"}, **soon)
    done = streamwatch("models", "compile", "-c", path)
    assert done.exit_code == 3
    assert done.stderr == (
        "streamwatch: the cameras ended before there were enough pictures to quantize the detector "
        "with; files need loop: true\n"
    )


@pytest.mark.parametrize("command", [("models", "compile"), ("check",), ("run",)])
@pytest.mark.parametrize("precision", ["half", "int8"])
def test_what_a_cpu_cannot_do_is_told_before_it_starts(
    tmp_path: Path, cache: Path, command: tuple[str, ...], precision: str
) -> None:
    path = configuration(tmp_path, {"device": "cpu", "backend": "torch", "precision": precision})
    done = streamwatch(*command, "-c", path)
    assert done.exit_code == 1
    assert re.fullmatch(
        rf"{path}:\d+:\d+: detector\.precision: {precision} needs "
        r"detector\.backend: openvino on a CPU\n",
        done.stderr,
    )


def test_int8_without_its_extra(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "find_spec", lambda _: None)
    path = configuration(tmp_path, {"precision": "int8", "device": "cpu"})
    done = streamwatch("check", "-c", path)
    assert done.exit_code == 1
    assert done.stderr.endswith(
        "detector.precision: int8 needs the extra int8: pip install 'streamwatch-daemon[int8]'\n"
    )
