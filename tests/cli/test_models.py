"""`streamwatch models`, and `run` and `check` with a model that is not downloaded yet."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from streamwatch.cli.app import app
from streamwatch.config.catalogue import ENCODERS, MODELS, Asset
from streamwatch.daemon.fetch_first import fetch_first
from streamwatch.errors import DetectorError
from streamwatch.models import fetching
from streamwatch.models.fetching import Patience
from streamwatch.status import systemd as sd_notify
from tests.parts import free_port
from tests.parts.checkpoints import clip_folder
from tests.parts.command import run_here
from tests.parts.daemon import PATIENCE_SECONDS, private_environment
from tests.parts.model_server import (
    CLIP,
    HUB_FILES,
    TOKENIZER,
    Fault,
    Web,
    break_off,
    checkpoint,
    good,
    lie,
    redirect,
    serving,
    stall,
    status,
)
from tests.parts.vectors import encoding_here
from tests.parts.yoloe import make_yoloe

pytestmark = pytest.mark.slow(seconds=25)

NAME = "yolov8s-worldv2"
FILE = f"/release/{NAME}.pt"
WEIGHTS = f"/{CLIP.repository}/resolve/{CLIP.revision}/model.safetensors"
CONTENT = checkpoint()
YOLOE = "yoloe-26s-seg"
YOLOE_FILE = f"/release/{YOLOE}.pt"
TOWER = "/release/mobileclip2_b.ts"
TOWER_CONTENT = checkpoint("text tower")
VOCABULARY = f"/{CLIP.repository}/resolve/{CLIP.revision}/vocab.json"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(
        fetching, "PATIENCE", Patience(stall_seconds=0.3, tries=2, pause_seconds=0.01)
    )
    return tmp_path / "cache" / "models"


@pytest.fixture
def web(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A server that the table of models points to."""
    with serving() as server:

        def here(source: object, path: str) -> Asset:
            assert isinstance(source, Asset)
            return replace(source, address=server.address(path))

        for name, path in ((NAME, FILE), (YOLOE, YOLOE_FILE)):
            row = replace(MODELS[name], checkpoint=here(MODELS[name].checkpoint, path))
            monkeypatch.setitem(MODELS, name, row)
            server.files[path] = CONTENT
        encoder = ENCODERS["mobileclip2"]
        tower = here(encoder.sources[0], TOWER)
        monkeypatch.setitem(ENCODERS, "mobileclip2", replace(encoder, sources=(tower, TOKENIZER)))
        monkeypatch.setenv("HF_ENDPOINT", server.address())
        server.files[TOWER] = TOWER_CONTENT
        server.serve_hub(HUB_FILES)
        yield server


def streamwatch(*arguments: str) -> Result:
    """Run a command in this process, so that the table can point to the test's server."""
    root, own = logging.getLogger(), logging.getLogger("streamwatch")
    before = root.handlers[:], root.level, own.level
    try:
        done = CliRunner().invoke(app, arguments)
    finally:  # `run` changes the logging setup of the process
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        own.setLevel(before[2])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_models_lists_every_model_and_encoder(cache: Path) -> None:
    done = streamwatch("models")
    assert done.exit_code == 0
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.split()}
    assert set(MODELS) <= set(lines)
    assert lines["toybox"][-1] == "yes"
    assert lines[NAME][1:7] == ["26", "MB", "22.7", "51", "clip", "AGPL-3.0"]
    assert lines["toybox"][1:6] == ["bundled", "\N{EN DASH}", "\N{EN DASH}", "minilm", "AGPL-3.0"]
    assert lines["yolov8m-world"][3:5] == ["\N{EN DASH}", "131"]
    assert lines["yoloe-v8s-seg"][1:7] == ["31", "MB", "27.9", "51", "mobileclip", "AGPL-3.0"]
    assert "Both are cited, not measured by this project." in done.stdout
    assert lines[NAME][-1] == "no"
    assert lines["minilm"] == ["minilm", "bundled", "Apache-2.0", "yes"]
    assert lines["clip"] == ["clip", "610", "MB", "MIT", "no"]
    assert lines[YOLOE][1:7] == ["31", "MB", "30.8", "25", "mobileclip2", "AGPL-3.0"]
    tower = " ".join(lines["mobileclip2"])
    assert tower == "mobileclip2 258 MB Apple AMLR (research only; tokenizer: MIT) no"
    assert not cache.exists()


def test_pull_fetches_checkpoint_and_encoder_once(web: Web, cache: Path) -> None:
    done = streamwatch("models", "pull", NAME)
    assert done.exit_code == 0, done.output
    assert f"{NAME} is not in {cache}; fetching 26 MB from {web.address(FILE)}" in done.stdout
    assert f"fetching 610 MB from {web.address()}/{CLIP.repository}" in done.stdout
    assert f"{NAME}.pt" in done.stdout
    assert "model.safetensors" in done.stdout
    assert done.stdout.endswith(f"{NAME} is here and complete.\n")
    assert (cache / NAME / f"{NAME}.pt").read_bytes() == CONTENT
    asked = len(web.asked)
    again = streamwatch("models", "pull", NAME)
    assert (again.exit_code, again.stdout) == (0, f"{NAME} is here and complete.\n")
    assert len(web.asked) == asked
    listed = streamwatch("models").stdout
    assert next(line for line in listed.splitlines() if NAME in line).split()[-1] == "yes"


def test_an_encoder_can_be_pulled_alone(web: Web, cache: Path) -> None:
    assert streamwatch("models", "pull", "clip").exit_code == 0
    assert [path.name for path in cache.iterdir() if path.is_dir()] == ["clip-vit-base-patch32"]
    assert web.ranges(FILE) == []


@pytest.mark.parametrize("columns", [80, 120])
def test_each_row_of_the_list_fits_the_screen(
    web: Web, cache: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """Each row stays one line, even with "no encoder", which is the longest."""
    streamwatch("models", "pull", NAME)
    shutil.rmtree(cache / CLIP.name)
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = streamwatch("models").stdout.splitlines()
    assert next(line for line in lines if line.startswith(NAME)).split()[-2:] == ["no", "encoder"]
    assert max(len(line) for line in lines[:-1]) <= columns  # the last is a path
    rows = lines[2 : lines.index("")]
    assert [row.split()[0] for row in rows] == list(MODELS)


def test_pulling_a_yoloe_fetches_text_tower_and_tokenizer(web: Web, cache: Path) -> None:
    done = streamwatch("models", "pull", YOLOE)
    assert done.exit_code == 0, done.output
    assert f"fetching 31 MB from {web.address(YOLOE_FILE)}" in done.stdout
    assert f"fetching 254 MB from {web.address(TOWER)}" in done.stdout
    assert f"fetching 4.0 MB from {web.address()}/{CLIP.repository}" in done.stdout
    assert done.stdout.endswith(f"{YOLOE} is here and complete.\n")
    folders = {path.name for path in cache.iterdir() if path.is_dir()}
    assert folders == {YOLOE, "mobileclip2_b", TOKENIZER.name}
    assert (cache / "mobileclip2_b" / "mobileclip2_b.ts").read_bytes() == TOWER_CONTENT
    asked = len(web.asked)
    again = streamwatch("models", "pull", YOLOE)
    assert (again.exit_code, again.stdout) == (0, f"{YOLOE} is here and complete.\n")
    assert len(web.asked) == asked
    lines = streamwatch("models").stdout.splitlines()
    for name in (YOLOE, "mobileclip2 "):
        assert next(line for line in lines if line.startswith(name)).split()[-1] == "yes"
    streamwatch("models", "pull", "clip")
    assert (cache / TOKENIZER.name / "vocab.json").is_file()
    assert (cache / CLIP.name / "model.safetensors").is_file()


def test_an_incomplete_encoder_is_not_listed_as_present(web: Web, cache: Path) -> None:
    web.faults[VOCABULARY] = [status(404)]
    assert streamwatch("models", "pull", "mobileclip2").exit_code == 3
    assert (cache / "mobileclip2_b" / "mobileclip2_b.ts").is_file()
    lines = streamwatch("models").stdout.splitlines()
    assert next(line for line in lines if line.startswith("mobileclip2")).split()[-1] == "no"
    del web.faults[VOCABULARY]
    assert streamwatch("models", "pull", "mobileclip2").exit_code == 0
    assert len(web.ranges(TOWER)) == 1
    assert web.ranges(YOLOE_FILE) == []


def test_pulling_toybox_downloads_nothing(cache: Path) -> None:
    assert streamwatch("models", "pull", "toybox").exit_code == 0
    assert not cache.exists()


def test_pulling_an_unknown_model_exits_2() -> None:
    done = streamwatch("models", "pull", "yolov9")
    assert done.exit_code == 2
    assert "there is no yolov9" in done.output


@pytest.mark.parametrize(
    ("path", "faults", "said"),
    [
        (FILE, [status(404)], "there is no such file (404)"),
        (FILE, [status(403)], "the server refuses it (403)"),
        (FILE, [status(502)], "the server is in trouble (502)"),
        (
            FILE,
            [status(429, Retry_After=900)],
            "the server has had too many requests from here (429) and asks to wait 900 s",
        ),
        (FILE, [break_off(30_000)], "the connection broke off; 0.1 MB of 0.1 MB are kept"),
        (FILE, [stall(30_000)], "no byte came for 0.3 s; 0.1 MB of 0.1 MB are kept"),
        (FILE, [redirect(FILE)], "it is redirected in a circle"),
        (WEIGHTS, [status(404)], "there is no such file (404)"),
        (WEIGHTS, [stall(10)], "no byte came for 0.3 s; 0.0 MB of 0.1 MB are kept"),
        (TOWER, [status(404)], "there is no such file (404)"),
        (TOWER, [break_off(30_000)], "the connection broke off; 0.1 MB of 0.1 MB are kept"),
        (VOCABULARY, [status(502)], "the server is in trouble (502)"),
    ],
)
def test_each_download_fault_gives_one_clear_error_and_exit_code_3(
    web: Web, path: str, faults: list[Fault], said: str
) -> None:
    name = YOLOE if path in (TOWER, VOCABULARY) else NAME
    web.faults[path] = faults
    done = streamwatch("models", "pull", name)
    assert done.exit_code == 3
    assert done.stderr == f"streamwatch: {web.address(path)} can't be fetched: {said}\n"
    del web.faults[path]
    assert streamwatch("models", "pull", name).exit_code == 0


def test_a_wrong_content_length_gives_one_clear_error(web: Web) -> None:
    web.faults[FILE] = [lie(500)]
    done = streamwatch("models", "pull", NAME)
    assert done.exit_code == 3
    address = web.address(FILE)
    said = f"what came from {address} is no whole checkpoint; it is thrown away"
    assert done.stderr == f"streamwatch: {said}\n"


@pytest.mark.parametrize(
    "fault", [break_off(40_000), lie(100_000), stall(10), status(503), status(429, Retry_After=0)]
)
def test_a_temporary_fault_is_retried(web: Web, fault: Fault) -> None:
    web.faults[FILE] = [fault, good]
    done = streamwatch("models", "pull", NAME)
    assert done.exit_code == 0
    assert "trying again in 0 s" in done.stdout


def test_a_corrupt_file_is_reported_and_downloaded_again(web: Web, cache: Path) -> None:
    streamwatch("models", "pull", NAME)
    (cache / NAME / f"{NAME}.pt").write_bytes(b"swapped")
    done = streamwatch("models", "pull", NAME)
    assert done.exit_code == 0
    assert "is not the file that was fetched" in done.stdout
    assert (cache / NAME / f"{NAME}.pt").read_bytes() == CONTENT


def test_ctrl_c_prints_how_to_resume(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    web.faults[FILE] = [break_off(40_000), good]
    with monkeypatch.context() as patched:
        patched.setattr(time, "sleep", pressed)
        done = streamwatch("models", "pull", NAME)
    assert done.exit_code == 130
    assert done.stderr == f"stopped; `streamwatch models pull {NAME}` goes on from here\n"
    assert streamwatch("models", "pull", NAME).exit_code == 0
    assert web.ranges(FILE) == [None, "bytes=40000-"]


# --- run and check -------------------------------------------------------------------------------


def write_config(folder: Path, words: Sequence[str] = ("dog",), /, **detector: object) -> Path:
    config = {
        "mqtt": {"port": free_port()},
        "detector": {"model": NAME, **detector},
        "cameras": {"gate": {"url": f"rtsp://127.0.0.1:{free_port()}/live"}},
        "watches": {word: {"prompt": word} for word in words},
    }
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


@pytest.mark.parametrize(
    ("detector", "said"),
    [
        (
            {"offline": True},
            f"detector.model: {NAME} is not in {{cache}}, and detector.offline forbids to fetch "
            f"it; `streamwatch models pull {NAME}` does",
        ),
        (
            {"model": "mine.pt", "text_encoder": "clip", "offline": True},
            "detector.model: {folder}/mine.pt does not exist",
        ),
        (
            {"model": YOLOE, "offline": True},
            f"detector.model: {YOLOE} is not in {{cache}}, and detector.offline forbids to fetch "
            f"it; `streamwatch models pull {YOLOE}` does",
        ),
        (
            {"text_encoder": "./clip", "offline": True},
            f"detector.model: {NAME} is not in {{cache}}, and detector.offline forbids to fetch "
            f"it; `streamwatch models pull {NAME}` does",
        ),
    ],
)
def test_run_offline_without_its_model_exits_at_once(
    tmp_path: Path, detector: dict[str, object], said: str
) -> None:
    done = run_here(tmp_path, "run", "-c", write_config(tmp_path, **detector))
    cache = tmp_path / "xdg-cache" / "streamwatch" / "models"
    expected = said.format(cache=cache, folder=tmp_path)
    assert (done.returncode, done.stderr) == (3, f"streamwatch: {expected}\n")


def test_run_without_its_model_does_not_import_pytorch(tmp_path: Path) -> None:
    script = """
import sys
from streamwatch.cli.app import app
try: app(["run", "-c", sys.argv[1]])
except SystemExit as done: assert done.code == 3, done
heavy = {"torch", "ultralytics", "transformers", "cv2", "av"} & set(sys.modules)
assert not heavy, heavy
"""
    file = write_config(tmp_path, offline=True)
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)],
        env=private_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr


def test_run_with_an_unreachable_server_gives_one_clear_error(
    tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"http://127.0.0.1:{free_port()}/{NAME}.pt"
    monkeypatch.setitem(MODELS, NAME, replace(MODELS[NAME], checkpoint=Asset(address, 1)))
    done = streamwatch("run", "-c", str(write_config(tmp_path)))
    assert done.exit_code == 3
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"streamwatch: detector.model: {address} can't be fetched: 127.0.0.1 ")
    assert last.endswith(f"; `streamwatch models pull {NAME}` tries again")


def test_run_downloads_with_progress_in_log_and_systemd_status(
    web: Web, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from streamwatch.config import DetectorSettings

    caplog.set_level(logging.INFO, "streamwatch")
    monkeypatch.setattr("streamwatch.daemon.fetch_first.LOG_SECONDS", 0.0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0streamwatch-test-{os.getpid()}")
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@streamwatch-test-{os.getpid()}")
        fetch_first(DetectorSettings(model=NAME))
        first = systemd.recv(1000).decode()
    assert first.startswith(f"STATUS=fetching {NAME}.pt: ")
    assert f"{NAME} is not in {cache}; fetching 26 MB from {web.address(FILE)}" in caplog.messages
    assert any(f"fetching {NAME}.pt: 0.1 MB of 0.1 MB, 100%" in said for said in caplog.messages)
    assert (cache / NAME / f"{NAME}.pt").is_file()
    caplog.clear()
    fetch_first(DetectorSettings(model=NAME))
    assert caplog.messages == []


def test_run_downloads_everything_a_yoloe_needs(
    web: Web, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from streamwatch.config import DetectorSettings

    caplog.set_level(logging.INFO, "streamwatch")
    fetch_first(DetectorSettings(model=YOLOE))
    fetched = [said.partition(" is not in ")[0] for said in caplog.messages]
    assert fetched == [YOLOE, "mobileclip2_b", TOKENIZER.name]
    tower = cache / "mobileclip2_b" / "mobileclip2_b.ts"
    tower.write_bytes(b"swapped")
    with pytest.raises(DetectorError) as caught:
        fetch_first(DetectorSettings(model=YOLOE, offline=True))
    assert str(caught.value) == (
        f"detector.text_encoder: {tower} is not the file that was fetched: its checksum is not the "
        "one in SHA256SUMS, and detector.offline forbids to fetch it; `streamwatch models pull "
        f"{YOLOE}` does"
    )
    fetch_first(DetectorSettings(model=YOLOE))
    assert tower.read_bytes() == TOWER_CONTENT


def test_check_lists_the_downloads_of_a_yoloe(web: Web, tmp_path: Path) -> None:
    done = streamwatch("check", "-c", str(write_config(tmp_path, model=YOLOE)))
    assert (
        f"  model      {YOLOE}, device auto; will be fetched at start: {YOLOE} (31 MB), "
        "mobileclip2_b (254 MB) and clip-vit-base-patch32-tokenizer (4.0 MB)\n"
    ) in done.stdout
    assert web.asked == []


def test_run_refuses_a_checkpoint_with_the_wrong_encoder(
    tmp_path: Path, web: Web, cache: Path
) -> None:
    """Before any camera is opened."""
    make_yoloe(tmp_path, "yoloe-26n-seg")
    clip_folder(tmp_path / "clip")
    file = write_config(tmp_path, model="yoloe-26n-seg.pt", text_encoder="./clip")
    with encoding_here():
        done = streamwatch("run", "-c", str(file))
    assert done.exit_code == 3
    assert done.stderr.splitlines()[-1] == (
        f"streamwatch: the checkpoint {tmp_path}/yoloe-26n-seg.pt is a YOLOE model; write "
        "detector.text_encoder: mobileclip2, which it was trained with"
    )
    assert "camera" not in done.stderr
    assert "Traceback" not in done.stderr


def test_check_downloads_nothing_and_lists_what_run_will(
    web: Web, cache: Path, tmp_path: Path
) -> None:
    done = streamwatch("check", "-c", str(write_config(tmp_path)))
    assert done.exit_code == 0
    assert (
        f"  model      {NAME}, device auto; will be fetched at start: {NAME} (26 MB) and "
        "clip-vit-base-patch32 (610 MB)\n"
    ) in done.stdout
    offline = streamwatch("check", "-c", str(write_config(tmp_path, offline=True)))
    assert offline.exit_code == 0
    assert (
        f": detector.offline: {NAME} (26 MB) and clip-vit-base-patch32 (610 MB) would have to be "
        f"fetched, so run will end at once; `streamwatch models pull {NAME}` fetches it\n"
    ) in offline.stdout
    assert web.asked == []
    streamwatch("models", "pull", NAME)
    # Without words, since the encoder that is here now would be started for them.
    done = streamwatch("check", "-c", str(write_config(tmp_path, ())))
    assert "will be fetched" not in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_a_download_is_a_clean_stop(tmp_path: Path, number: signal.Signals) -> None:
    """In a process of its own, with a server that stalls."""
    script = """
import dataclasses, sys
from streamwatch.config.catalogue import MODELS, Asset
MODELS["NAME"] = dataclasses.replace(MODELS["NAME"], checkpoint=Asset(sys.argv[1], 1))
del sys.argv[1]
from streamwatch.__main__ import main
main()
""".replace("NAME", NAME)
    with serving() as server:
        server.files[FILE] = CONTENT
        server.faults[FILE] = [stall(40_000)]
        running = subprocess.Popen(
            [
                *(sys.executable, "-c", script, server.address(FILE)),
                *("run", "-c", str(write_config(tmp_path))),
            ],
            env=private_environment(tmp_path),
            stderr=subprocess.PIPE,
            text=True,
        )
        part = tmp_path / "xdg-cache" / "streamwatch" / "models" / NAME / f"{NAME}.pt.part"
        deadline = time.monotonic() + 30
        while not (part.is_file() and part.stat().st_size == 40_000):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        running.send_signal(number)
        _, said = running.communicate(timeout=30)
    assert running.returncode == 0
    assert "Traceback" not in said
    assert said.splitlines()[-1].endswith("stopped while fetching; the next start goes on with it")


# --- sd_notify -----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["", "unix:nonsense", "/nobody/listens/here", "@nobody"])
def test_a_missing_notify_socket_is_no_error(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    sd_notify.status("hello")


def test_the_status_goes_to_a_notify_socket_in_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        sd_notify.status("fetching …")
        assert systemd.recv(1000) == "STATUS=fetching …\n".encode()
