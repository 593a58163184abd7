"""What a right file becomes, what reading it can run into, and where it is looked for."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from streamwatch import files
from streamwatch.config import (
    ClipSettings,
    MqttSettings,
    NearMissSettings,
    SecondLookSettings,
    SnapshotSettings,
    WatchSettings,
    find,
    keep_last_good,
    load,
    load_last_good,
)
from streamwatch.config.catalogue import ENCODERS, MODELS
from streamwatch.config.values.addresses import is_certified
from streamwatch.errors import ConfigError
from tests.config.conftest import Load

RIGHT = "detector: {model: toybox}\ncameras: {a: {url: bundled:street}}\n"
ALL = """\
mqtt:
  host: broker.local
  port: "1884"
  topic_prefix: home/streamwatch
  client_id: attic
  username: me
  password: secret
detector: {model: toybox, device: cuda:1, image_size: 640, confidence: 0.25}
cameras:
  porch:
    url: rtsp://me:secret@10.0.0.2/one
    name: The porch
    fps: 2.5
    crop: [0, 0.1, 1, 1]
    mask: [[0, 0], [1, 0], [1, 1]]
    ignore:
      - [[0, 0], [1, 0], [1, 1]]
      - [[0, 0], [1, 0], [0, 1]]
    zones: {steps: [[0, 0], [1, 0], [1, 1]]}
  1: {url: 2, enabled: false}
  clip: {url: clips/a.mp4, loop: true, pace: false}
watches:
  off:
    prompt: [red car, blue car]
    cameras: [porch, "1"]
    zones: [steps]
    confidence: .5
    min_area: 1e-3
    max_area: 0.5
    appear: {hits: 2, within: 1s500ms}
    dwell: 5s
    leave: 1m30s
    cooldown: 1h
    snapshot: false
    clip: true
  dog: {prompt: " dog "}
  cat: {prompt: cat, confidence: auto}
snapshots: {path: pictures, keep: 1d, max_size: 10MB, quality: 70}
near_misses: {path: missed, a_day: 5, keep: 12h, max_size: 1MB}
clips: {path: clips, before: 2s, after: 3s, longest: 20s, memory: 8MB, unmasked: true, encode: true}
log: {level: debug, format: json}
"""


def test_the_shortest_file_has_all_the_defaults(loaded: Load) -> None:
    config = loaded(RIGHT)
    assert config.mqtt == MqttSettings()
    assert (config.mqtt.host, config.mqtt.port) == ("localhost", 1883)
    assert (config.mqtt.topic_prefix, config.mqtt.client_id) == ("streamwatch", None)
    assert (config.detector.confidence, config.detector.threshold) == (None, 0.3)
    assert (config.detector.device, config.detector.backend) == ("auto", "auto")
    assert config.detector.image_size is None
    camera = config.cameras["a"]
    assert (camera.url, camera.fps, camera.enabled) == ("bundled:street", 5.0, True)
    assert (camera.loop, camera.pace, camera.mask, camera.zones) == (False, True, (), {})
    assert config.watches == {}
    assert config.snapshots == SnapshotSettings()
    assert config.snapshots.keep == timedelta(days=7)
    assert (config.snapshots.max_size, config.snapshots.quality) == (1_000_000_000, 85)
    assert config.near_misses == NearMissSettings()
    assert (config.near_misses.path, config.near_misses.a_day) == (None, 20)
    assert config.near_misses.keep == timedelta(days=3)
    assert config.near_misses.max_size == 200_000_000
    assert config.clips == ClipSettings()
    assert (config.clips.path, config.clips.keep) == (None, timedelta(days=7))
    assert (config.clips.before, config.clips.after) == (timedelta(seconds=5),) * 2
    assert config.clips.longest == timedelta(seconds=60)
    assert (config.clips.max_size, config.clips.memory) == (5_000_000_000, 64_000_000)
    assert (config.clips.unmasked, config.clips.encode) == (False, False)
    assert (config.log.level, config.log.format) == ("info", "auto")


@pytest.mark.parametrize(
    ("detector", "threshold", "floor"),
    [
        ({"model": "toybox"}, 0.3, 0.1),
        ({"model": "toybox", "confidence": 0.1}, 0.1, 0.1),
        ({"model": "yolov8s-worldv2"}, 0.1, 0.02),
        ({"model": "yolov8x-world"}, 0.1, 0.02),
        ({"model": "yoloe-26n-seg"}, 0.1, 0.02),
        ({"model": "yoloe-v8l-seg"}, 0.1, 0.02),
        ({"model": "yoloe-26n-seg", "confidence": 0.3}, 0.3, 0.02),
        ({"model": "mine.pt", "text_encoder": "minilm"}, 0.1, 0.02),
        ({"model": "mine.pt", "text_encoder": "mobileclip", "confidence": 0.25}, 0.25, 0.02),
    ],
)
def test_where_confidence_is_left_out_it_is_the_models_own(
    loaded: Load, detector: dict[str, object], threshold: float, floor: float
) -> None:
    config = loaded(
        yaml.safe_dump({"detector": detector, "cameras": {"a": {"url": "bundled:street"}}})
    )
    assert config.detector.confidence == detector.get("confidence")
    assert (config.detector.threshold, config.detector.floor) == (threshold, floor)


def test_how_sure_a_watch_must_be(loaded: Load) -> None:
    config = loaded("""\
detector: {model: toybox, confidence: 0.5}
cameras: {a: {url: bundled:street}}
watches:
  its-own: {prompt: dog, confidence: 0.2}
  of-the-detector: {prompt: cat}
  learnt: {prompt: cow, confidence: auto}
""")
    found = {name: config.confidence_of(name) for name in config.watches}
    assert found == {"its-own": 0.2, "of-the-detector": 0.5, "learnt": 0.3}


def test_snapshots_may_not_be_where_near_misses_are_by_default(
    loaded: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        loaded(f"{RIGHT}snapshots: {{path: near-misses}}\n")
    (problem,) = caught.value.problems
    assert problem.path == "near_misses.path"
    assert problem.message == "is the folder of snapshots too; write another"


def test_without_a_home_folder_a_file_still_loads(
    loaded: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    assert loaded(RIGHT).near_misses == NearMissSettings()


def test_the_defaults_of_a_watch() -> None:
    watch = WatchSettings(prompt=("dog",))
    assert (watch.cameras, watch.zones, watch.confidence) == (None, None, None)
    assert (watch.min_area, watch.max_area) == (0.0, 1.0)
    assert (watch.appear.hits, watch.appear.within) == (3, timedelta(seconds=2))
    assert (watch.dwell, watch.leave, watch.cooldown) == (
        timedelta(0),
        timedelta(seconds=3),
        timedelta(0),
    )
    assert watch.snapshot
    assert not watch.clip


def test_every_key_arrives(loaded: Load, tmp_path: Path) -> None:
    config = loaded(ALL)
    assert (config.mqtt.host, config.mqtt.port) == ("broker.local", 1884)
    assert config.mqtt.password is not None
    assert config.mqtt.password.get_secret_value() == "secret"
    porch = config.cameras["porch"]
    assert porch.url == "rtsp://me:secret@10.0.0.2/one"
    assert porch.crop == (0, 0.1, 1, 1)
    assert porch.mask == (((0, 0), (1, 0), (1, 1)),)
    assert [len(polygon) for polygon in porch.ignore] == [3, 3]
    assert porch.zones == {"steps": ((0, 0), (1, 0), (1, 1))}
    assert config.cameras["1"].url == "/dev/video2"
    assert config.cameras["clip"].url == str(tmp_path / "clips/a.mp4")
    off = config.watches["off"]
    assert off.prompt == ("red car", "blue car")
    assert (off.confidence, off.min_area, off.max_area) == (0.5, 0.001, 0.5)
    assert (off.appear.hits, off.appear.within) == (2, timedelta(seconds=1.5))
    assert (off.leave, off.cooldown) == (timedelta(seconds=90), timedelta(hours=1))
    assert config.watches["dog"].prompt == ("dog",)
    assert config.snapshots.path == tmp_path / "pictures"
    assert config.snapshots.max_size == 10_000_000
    assert config.watches["cat"].confidence == "auto"
    assert config.near_misses == NearMissSettings(
        path=tmp_path / "missed", a_day=5, keep=timedelta(hours=12), max_size=1_000_000
    )
    assert config.watches["off"].clip
    assert config.clips == ClipSettings(
        path=tmp_path / "clips",
        before=timedelta(seconds=2),
        after=timedelta(seconds=3),
        longest=timedelta(seconds=20),
        memory=8_000_000,
        unmasked=True,
        encode=True,
    )


@pytest.mark.parametrize(
    ("written", "prefix"),
    [
        ("false", None),
        ("true", "homeassistant"),
        ("{}", "homeassistant"),
        ("{discovery_prefix: ha/discovery}", "ha/discovery"),
    ],
)
def test_home_assistant_is_a_switch_or_a_prefix(
    loaded: Load, written: str, prefix: str | None
) -> None:
    config = loaded(f"{RIGHT}mqtt: {{homeassistant: {written}}}\n")
    assert config.mqtt.discovery_prefix == prefix


def test_settings_can_not_be_changed(loaded: Load) -> None:
    config = loaded(RIGHT)
    with pytest.raises(ValueError, match="frozen"):
        config.mqtt.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "section",
    [
        "mqtt:",
        "watches:",
        "snapshots:",
        "near_misses:",
        "clips:",
        "log:",
        "http:",
        "timezone:",
        "mqtt: {username: }",
    ],
)
def test_a_section_with_everything_commented_out_is_left_out(loaded: Load, section: str) -> None:
    assert loaded(f"{RIGHT}{section}\n") == loaded(RIGHT)


@pytest.mark.parametrize(
    "section",
    [
        "mqtt: {tls: false, commands: false}",
        "mqtt: {outbox: {max_size: 256MB, max_age: 7d}}",
        "mqtt: {outbox: }",
        "http: null",
    ],
)
def test_a_default_may_be_written(loaded: Load, section: str) -> None:
    assert loaded(f"{RIGHT}{section}\n") == loaded(RIGHT)


@pytest.mark.parametrize(
    ("written", "url", "kind"),
    [
        ("rtsp://cam/1", "rtsp://cam/1", "rtsp"),
        ("RTSP://Cam/1", "rtsp://Cam/1", "rtsp"),
        ("rtsp://u:p%40@[::1]:8554/1", "rtsp://u:p%40@[::1]:8554/1", "rtsp"),
        ("rtsps://cam/1", "rtsps://cam/1", "rtsp"),
        ("http://[fe80::1]/a.mjpg", "http://[fe80::1]/a.mjpg", "http"),
        ("http://cam/a.mjpg", "http://cam/a.mjpg", "http"),
        ("https://cam/a.mjpg?x=1", "https://cam/a.mjpg?x=1", "http"),
        ("bundled:street", "bundled:street", "file"),
        ("/data/a b.mp4", "/data/a b.mp4", "file"),
        ("0", "/dev/video0", "device"),
        ('"12"', "/dev/video12", "device"),
        ("/dev/video3", "/dev/video3", "device"),
        ("/dev/v4l/by-id/usb-cam", "/dev/v4l/by-id/usb-cam", "device"),
    ],
)
def test_camera_urls(loaded: Load, written: str, url: str, kind: str) -> None:
    camera = loaded(f"detector: {{model: toybox}}\ncameras:\n  a:\n    url: {written}\n").cameras[
        "a"
    ]
    assert (camera.url, camera.kind) == (url, kind)


@pytest.mark.parametrize(
    ("section", "address"),
    [
        ("mqtt: {tls: true}", "localhost:8883"),
        ("mqtt: {tls: {}}", "localhost:8883"),
        ("mqtt: {tls: false}", "localhost:1883"),
        ("mqtt: {tls: true, port: 1}", "localhost:1"),
        ("mqtt: {host: '::1'}", "[::1]:1883"),
        ("mqtt: {host: '[fe80::1]', tls: true}", "[fe80::1]:8883"),
    ],
)
def test_where_the_broker_is(loaded: Load, section: str, address: str) -> None:
    assert loaded(f"{RIGHT}{section}\n").mqtt.address == address


@pytest.mark.parametrize(
    ("host", "certified"),
    [
        ("cam.example.com", True),
        ("cam.example.com.", True),
        ("me:pw@cam.example.com:322", True),
        ("8.8.8.8", True),
        ("[2606:4700::1111]", True),
        ("192.168.1.20", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("[::1]:322", False),
        ("[fe80::1]", False),
        ("me:pw@[fd00::1]", False),
        ("porch", False),
        ("localhost", False),
        ("porch.LOCAL", False),
        ("porch.home.arpa", False),
    ],
)
def test_which_hosts_can_have_a_certificate(host: str, certified: bool) -> None:
    assert is_certified(f"rtsps://{host}/x") == certified


def test_relative_paths_start_at_the_files_folder(
    loaded: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = RIGHT.replace("bundled:street", "../a.mp4") + "snapshots: {path: ~/pictures}\n"
    loaded(text)
    monkeypatch.chdir(tmp_path.parent)
    config = load(Path(tmp_path.name) / "config.yaml")
    assert config.cameras["a"].url == str(tmp_path / "../a.mp4")
    assert config.snapshots.path == tmp_path / "home" / "pictures"


def test_several_problems_come_together_and_in_order(loaded: Load, tmp_path: Path) -> None:
    text = """\
watches:
  w: {prompt: dog, cameras: [porsch]}
  w: {prompt: cat}
  v: {prompt: [], dwell: 3}
detector: {model: toybx}
cameras:
  porch: {url: "${NOWHERE}", fps: 0}
  yard: {url: bundled:street}
"""
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    file = tmp_path / "config.yaml"
    assert str(caught.value).splitlines() == [
        f"{file}:2:30: watches.w.cameras[0]: 'porsch' is not a camera; did you mean 'porch'?",
        f"{file}:3:3: watches.w: given twice; the first stands in line 2",
        f"{file}:4:15: watches.v.prompt: the list is empty; write at least one prompt",
        f"{file}:4:26: watches.v.dwell: 3 lacks a unit; write 3s, or ms, m, h or d in place of s",
        f"{file}:5:19: detector.model: 'toybx' is not a model; did you mean 'toybox'?",
        f"{file}:7:16: cameras.porch.url: the environment variable NOWHERE is not set",
        f"{file}:7:35: cameras.porch.fps: 0 is not a number above 0 and at most 120",
    ]


def test_an_unreadable_value_is_reported_once(
    refused: Callable[[str], list[str]],
) -> None:
    assert refused("detector: {model: toybox}\ncameras: !include cameras.yaml\n") == [
        "cameras: the tag '!include' is not supported; for a value kept elsewhere write ${NAME}, "
        "${file:PATH} or ${credential:NAME}"
    ]


def test_an_invalid_camera_is_no_error_of_its_watches(
    refused: Callable[[str], list[str]],
) -> None:
    said = refused(
        "detector: {model: toybox}\n"
        "cameras: {a: {url: bundled:street, zones: {steps: [[0, 0]]}}}\n"
        "watches: {w: {prompt: dog, cameras: [a], zones: [steps]}}\n"
    )
    assert said == ["cameras.a.zones.steps: a polygon needs 3 points or more; there are 1"]


def test_appear_is_not_checked_for_cameras_without_the_zone(loaded: Load) -> None:
    config = loaded(
        "detector: {model: toybox}\n"
        "cameras:\n"
        "  slow: {url: bundled:street, fps: 0.1}\n"
        "  fast: {url: bundled:street, zones: {steps: [[0, 0], [1, 0], [1, 1]]}}\n"
        "watches: {w: {prompt: dog, zones: [steps]}}\n"
    )
    assert config.cameras_of("w") == ("fast",)


@pytest.mark.parametrize(
    ("fps", "appear", "fits"),
    [
        ("1", "{hits: 3, within: 2s}", True),
        ("0.99", "{hits: 3, within: 2s}", False),
        ("3", "{hits: 4, within: 1s}", True),
        ("0.3", "{hits: 4, within: 10s}", True),
        ("0.01", "{hits: 1, within: 1ms}", True),
    ],
)
def test_an_appear_that_no_camera_can_meet_is_an_error(
    loaded: Load, fps: str, appear: str, fits: bool
) -> None:
    text = (
        f"detector: {{model: toybox}}\ncameras: {{a: {{url: bundled:street, fps: {fps}}}}}\n"
        f"watches: {{w: {{prompt: dog, appear: {appear}}}}}\n"
    )
    if fits:
        assert loaded(text).watches["w"].appear.hits >= 1
    else:
        with pytest.raises(ConfigError, match=r"watches\.w\.appear: 3 hits at the 0.99 fps"):
            loaded(text)


def test_every_fix_suggested_for_appear_is_valid(loaded: Load) -> None:
    text = (
        "detector: {{model: toybox}}\ncameras: {{a: {{url: bundled:street, fps: {fps}}}}}\n"
        "watches: {{w: {{prompt: dog, appear: {{hits: {hits}, within: {within}}}}}}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        loaded(text.format(fps=0.7, hits=4, within="2s"))
    assert "write within: 4s286ms, or hits: 2, or cameras.a.fps: 1.5" in str(caught.value)
    for way_out in (
        {"fps": 0.7, "hits": 4, "within": "4s286ms"},
        {"fps": 0.7, "hits": 2, "within": "2s"},
        {"fps": 1.5, "hits": 4, "within": "2s"},
    ):
        assert loaded(text.format(**way_out))


def test_watches_of_a_camera(loaded: Load) -> None:
    config = loaded("""\
detector: {model: toybox}
cameras:
  a: {url: bundled:street, zones: {steps: [[0, 0], [1, 0], [1, 1]]}}
  b: {url: bundled:street, enabled: false}
watches:
  everywhere: {prompt: dog}
  steps: {prompt: cat, zones: [steps]}
  only-b: {prompt: cow, cameras: [b]}
  disabled: {prompt: pig, enabled: false}
""")
    assert list(config.watches_of("a")) == ["everywhere", "steps"]
    assert list(config.watches_of("b")) == ["everywhere", "only-b"]
    assert config.watches_of("a")["steps"].prompt == ("cat",)
    assert config.watches_by_camera() == {
        camera: config.watches_of(camera) for camera in config.cameras
    }
    with_disabled = config.watches_by_camera(disabled=True)
    assert {camera: list(watches) for camera, watches in with_disabled.items()} == {
        camera: [name for name in config.watches if camera in config.cameras_of(name)]
        for camera in config.cameras
    }
    assert with_disabled != config.watches_by_camera()


# --- files that can't be read --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"detector:\n  model: t\xffy\n", ":2:11: this is not UTF-8; save the file as UTF-8"),
        ("mqtt: x".encode("utf-16"), ":1:1: this is not UTF-8; save the file as UTF-8"),
        (
            b"#" * 10_000_001,
            ": this file is larger than 10,000,000 bytes; is it the right one?",
        ),
    ],
    ids=["latin 1", "utf-16", "large"],
)
def test_content_that_is_no_configuration_is_an_error(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value) == f"{file}{expected}"


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + RIGHT.replace("\n", "\r\n").encode())
    assert load(file).detector.model == "toybox"


def test_paths_that_can_not_be_read_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this file does not exist; `streamwatch init`"):
        load(tmp_path / "c.yaml")
    with pytest.raises(ConfigError, match="this is a folder; name the file in it"):
        load(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="can't be read: not a directory"):
        load(tmp_path / "file" / "c.yaml")
    with pytest.raises(ConfigError, match="can't be read: no such name is possible"):
        load(tmp_path / "a\0b")
    with pytest.raises(ConfigError, match="zero: this is a device, and only regular files are"):
        load(Path("/dev/zero"))
    with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(tmp_path):
        listening.bind("socket")
        with pytest.raises(ConfigError, match="socket: this is a socket, and only regular"):
            load(Path("socket"))


def test_a_pipe_is_an_error_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError) as caught:
        load(pipe)
    assert str(caught.value) == (
        f"{pipe}: this is a pipe, and only regular files are read; save it in one"
    )
    keep_last_good(tmp_path / "config.yaml", RIGHT)
    (kept,) = (tmp_path / "state").rglob("*.yaml")
    kept.unlink()
    os.mkfifo(kept)
    assert load_last_good(tmp_path / "config.yaml") is None
    keep_last_good(tmp_path / "config.yaml", RIGHT)
    assert kept.read_text() == RIGHT


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe broken", b"cameras: [", b"detector: {model: toybox}\nfuture: {a: 1}\n"],
    ids=["empty", "not UTF-8", "cut off", "of another version"],
)
def test_a_last_good_file_that_is_not_right_any_more_is_none(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    content: bytes,
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    keep_last_good(tmp_path / "config.yaml", RIGHT)
    (kept,) = (tmp_path / "state").rglob("*.yaml")
    kept.write_bytes(content)
    assert load_last_good(tmp_path / "config.yaml") is None
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith(f"the last good configuration, {kept}, is not right any more: ")


def test_a_process_substitution_is_an_error() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, RIGHT.encode())
        with pytest.raises(ConfigError, match=rf"^/dev/fd/{reading}: this is a pipe, and only"):
            load(Path(f"/dev/fd/{reading}"))
    finally:
        os.close(reading)
        os.close(writing)


def test_a_file_without_read_permission_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "read", refuse)  # root, as in a container, may read everything
    with pytest.raises(ConfigError, match="may not be read by the user that runs this"):
        load(tmp_path / "c.yaml")


# --- where it is looked for ----------------------------------------------------------------------


def test_the_first_existing_candidate_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", f"{tmp_path}/unit:{tmp_path}/other")
    places = [
        tmp_path / "other" / "config.yaml",
        tmp_path / "unit" / "config.yaml",
        tmp_path / "home" / ".config" / "streamwatch" / "config.yaml",
        Path("config.yaml"),
    ]
    for position in places:  # from the last looked at to the first
        position.parent.mkdir(parents=True, exist_ok=True)
        position.touch()
        assert find() == position
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    Path("config.yaml").unlink()
    assert find() == tmp_path / "unit" / "config.yaml"
    own = tmp_path / "xdg" / "streamwatch" / "config.yaml"
    own.parent.mkdir(parents=True)
    own.touch()
    assert find() == own


def test_an_explicit_path_is_used_even_if_it_does_not_exist() -> None:
    assert find(Path("/nowhere/c.yaml")) == Path("/nowhere/c.yaml")


@pytest.mark.skipif(os.path.exists("/etc/streamwatch/config.yaml"), reason="one is installed")  # noqa: PTH110
def test_without_a_file_the_error_lists_the_candidates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        find()
    assert str(caught.value) == (
        f"config.yaml: no configuration file; looked for config.yaml, "
        f"{tmp_path}/home/.config/streamwatch/config.yaml, /etc/streamwatch/config.yaml; "
        "`streamwatch init` writes one to start from, -c FILE names another"
    )


def test_an_error_hides_no_unrelated_one(tmp_path: Path) -> None:
    """Zones and cameras are looked up even where the watch or camera has another fault."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "detector: {model: toybox}\n"
        "cameras:\n"
        "  porch: {url: 'ftp://x', fps: fast, zones: {steps: [[0, 0], [1, 0], [1, 1]]}}\n"
        "watches:\n"
        "  a: {prompt: '', zones: [stps], cameras: [porch]}\n"
        "  b: {confidence: 7, cameras: [prch]}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert [problem.path for problem in caught.value.problems] == [
        "cameras.porch.url",
        "cameras.porch.fps",
        "watches.a.prompt",
        "watches.a.zones[0]",
        "watches.b.prompt",
        "watches.b.confidence",
        "watches.b.cameras[0]",
    ]


@pytest.mark.parametrize("model", MODELS)
def test_every_model_of_the_catalogue_can_be_named(loaded: Load, model: str) -> None:
    written = f"detector: {{model: {model}, offline: true}}\ncameras: {{a: {{url: 0}}}}\n"
    config = loaded(written).detector
    assert (config.model, config.text_encoder, config.offline) == (model, None, True)


@pytest.mark.parametrize(
    ("written", "found"),
    [("clip", "clip"), ("minilm", "minilm"), ("./clip", "clip"), ("models/clip", "models/clip")],
)
def test_a_model_by_its_path_with_its_encoder(
    loaded: Load, tmp_path: Path, written: str, found: str
) -> None:
    keys = f"model: models/mine.pt, text_encoder: {written}"
    config = loaded(f"detector: {{{keys}}}\ncameras: {{a: {{url: 0}}}}\n").detector
    assert config.model == str(tmp_path / "models" / "mine.pt")
    assert config.text_encoder == (found if written in ENCODERS else str(tmp_path / found))


def test_a_named_model_may_have_its_encoder_in_a_folder(loaded: Load, tmp_path: Path) -> None:
    config = loaded(
        "detector: {model: yolov8s-world, text_encoder: ./clip}\ncameras: {a: {url: 0}}\n"
    ).detector
    assert config.text_encoder == str(tmp_path / "clip")


def test_own_keys_at_the_top_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "x-calm: &calm {dwell: 5s, prompt: '${NOT_SET_ANYWHERE}'}\nx-: [1]\n"
        + RIGHT
        + "watches:\n  dog:\n    <<: *calm\n    prompt: dog\n"
    )
    dog = load(path).watches["dog"]
    assert (dog.prompt, dog.dwell) == (("dog",), timedelta(seconds=5))


SERVER = "url: http://nas.fritz.box:11434/v1/, model: qwen2.5vl"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("off", None),
        ("{mode: off, against: cat}", None),
        ("note", SecondLookSettings(mode="note")),
        ("require", SecondLookSettings(mode="require")),
        ("{}", SecondLookSettings(mode="require")),
        (
            "{mode: note, looks: 1, on_failure: hold, against: [Cat, fox], at_least: '0.7'}",
            SecondLookSettings(
                mode="note", looks=1, on_failure="hold", against=("Cat", "fox"), at_least=0.7
            ),
        ),
        ("{at_least: 1, against: cat}", SecondLookSettings(against=("cat",), at_least=1.0)),
        (
            f"{{{SERVER}, expect: no, ask: 'Is it a wet dog?'}}",
            SecondLookSettings(
                ask="Is it a wet dog?",
                url="http://nas.fritz.box:11434/v1",
                model="qwen2.5vl",
                expect="no",
            ),
        ),
        (
            "{ask: 'Wet?', url: https://api.example.com/v1, model: m, remote: true, token: x}",
            SecondLookSettings(
                ask="Wet?",
                remote=True,
                url="https://api.example.com/v1",
                model="m",
                token=SecretStr("x"),
            ),
        ),
    ],
)
def test_how_to_look_again(loaded: Load, written: str, expected: SecondLookSettings | None) -> None:
    watch = loaded(f"{RIGHT}watches:\n  w: {{prompt: dog, second_look: {written}}}\n").watches["w"]
    assert watch.look == expected


def test_a_rival_may_stand_in_not_and_against(loaded: Load) -> None:
    watch = "{prompt: dog, not: cat, second_look: {against: cat}}"
    assert loaded(f"{RIGHT}watches:\n  w: {watch}\n").watches["w"].not_ == ("cat",)


def test_a_model_without_an_image_tower_looks_again_by_a_question(loaded: Load) -> None:
    look = f"{{ask: 'Is it wet?', {SERVER}}}"
    config = loaded(
        "detector: {model: yoloe-26s-seg}\ncameras: {a: {url: bundled:street}}\n"
        f"watches:\n  w: {{prompt: dog, second_look: {look}}}\n"
    )
    settings = config.watches["w"].look
    assert settings is not None
    assert not settings.by_words
