"""No password in what people and logs see."""

from __future__ import annotations

import pytest

from streamwatch.config import config_hash, describe, mask_secrets_in, mask_url
from streamwatch.errors import ConfigError
from tests.config.conftest import Load


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("rtsp://admin:hunter2@10.0.0.2:554/one", "rtsp://admin:***@10.0.0.2:554/one"),
        ("rtsp://admin:@host/", "rtsp://admin:***@host/"),
        ("rtsp://:hunter2@host/", "rtsp://:***@host/"),
        ("rtsp://a@b.com:hun@ter2@host/x", "rtsp://a@b.com:***@host/x"),
        ("rtsp://admin:hun:ter2@host/x", "rtsp://admin:***@host/x"),
        ("rtsp://admin:hun/ter2@host/x", "rtsp://admin:***@host/x"),
        ("rtsp://admin:hun#ter?2@host/x", "rtsp://admin:***@host/x"),
        ("rtsp://admin:hun ter2@host/x", "rtsp://admin:***@host/x"),
        ("rtsp://admin:hun://ter2@host/x", "rtsp://admin:***@host/x"),
        ("rtsp:/admin:hunter2@host/x", "rtsp:/admin:***@host/x"),
        ("admin:hunter2@host/x", "admin:***@host/x"),
        ("rtsp://admin@host/x", "rtsp://admin@host/x"),
        ("rtsp://host:554/x", "rtsp://host:554/x"),
        ("rtsp://[::1]:554/x", "rtsp://[::1]:554/x"),
        (
            "http://host/flv?user=me&password=hunter2&ch=1",
            "http://host/flv?user=me&password=***&ch=1",
        ),
        ("rtsp://host/user=me_password=hunter2", "rtsp://host/user=me_password=***"),
        ("http://host/x?compass=3", "http://host/x?compass=3"),
        ("/data/clip.mp4", "/data/clip.mp4"),
        ("bundled:street", "bundled:street"),
        ("", ""),
    ],
)
def test_mask_url(url: str, masked: str) -> None:
    assert mask_url(url) == masked
    assert mask_url(masked) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (
            "[Errno 111] Connection refused: 'rtsp://me:hunter2@host/one'",
            "[Errno 111] Connection refused: 'rtsp://me:***@host/one'",
        ),
        ("rtsp://me:hun@ter:2/@host: 401", "rtsp://me:***@host: 401"),
        ("from http://a:b@c/ to rtsp://d:e@f/", "from http://a:***@c/ to rtsp://d:***@f/"),
        ("rtsp://host:554/x, mail me:you@home", "rtsp://host:554/x, mail me:you@home"),
        ("a=http://h/?token=hunter2, b", "a=http://h/?token=*** b"),
        ("no URL: here @ all", "no URL: here @ all"),
    ],
)
def test_mask_secrets_in(text: str, masked: str) -> None:
    assert mask_secrets_in(text) == masked


WRONG = [
    "mqtt: {password: [hunter2]}",
    "mqtt: {password: {hunter2: x}}",
    "mqtt: {password: !hunter2 x}",
    "mqtt: {password: *hunter2}",
    "mqtt: {password: @hunter2}",
    "mqtt: {password: 'hunter2}",
    "mqtt: {password: hunter2: x}",
    'mqtt: {password: "hunter2${"}',
    'mqtt: {password: "hunter2${a-b}"}',
    "mqtt: {passwort: hunter2}",
    "mqtt: {host: 'mqtt://me:hunter2@host'}",
    "http: {token: [hunter2]}",
    "http: {token: [hunter2]}",
    "watches: {w: {prompt: dog, cameras: ['rtsp://me:hunter2@host/']}}",
    "snapshots: {quality: '${SECRET}'}",
    "mqtt: {host: '${SECRET}:1'}",
    "log: {level: '${SECRET}'}",
    "watches: {w: {prompt: ['${SECRET}', '${SECRET}']}}",
    "watches: {w: {prompt: dog, cameras: ['${SECRET}'], dwell: '${SECRET}'}}",
    "watches: {w: {prompt: dog, min_area: '0.${DIGITS}', max_area: 0.1}}",
    *[
        f"x: 1\ncameras: {{a: {{{keys}}}}}"
        for keys in (
            "url: 'rtsp://me:hunter2@'",
            "url: 'rtsps://me:hunter2@host'",
            "url: 'ftp://me:hunter2@host'",
            "url: 'rtsp:/me:hunter2@host'",
            "url: 'rtsp://me:hun ter2 hunter2@host'",
            "url: 'rtsp://me:#hunter2@host'",
            "url: 'me:hunter2@host'",
            "'rtsp://me:hunter2@host': 1",
            "url: bundled:street, password: hunter2",
            "url: bundled:street, password: hunter2, username: me",
            "url: '${SECRET}://host'",
            "url: 'bundled:${SECRET}'",
            "url: 'rtsp://me:${SECRET}@'",
        )
    ],
    "x: 1\ncameras: {'rtsp://me:hunter2@host/': {url: bundled:street}}",
]


@pytest.mark.parametrize("section", WRONG)
def test_no_error_shows_a_secret(
    loaded: Load, monkeypatch: pytest.MonkeyPatch, section: str
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    monkeypatch.setenv("DIGITS", "4711")
    text = f"detector: {{model: toybox}}\n{section}\n"
    if "cameras: {a" not in section:
        text += "cameras: {a: {url: bundled:street}}\n"
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    shown = "\n".join([str(caught.value), *map(str, caught.value.problems)])
    assert "hunter2" not in shown
    assert "4711" not in shown
    assert caught.value.__cause__ is None


RIGHT = """\
mqtt: {username: me, password: hunter2}
detector: {model: toybox}
cameras: {a: {url: 'rtsp://me:hunter2@host/'}}
watches: {w: {prompt: dog}}
"""


def test_the_summary_shows_no_secret(loaded: Load) -> None:
    config = loaded(RIGHT)
    shown = [*describe(config), repr(config), config.model_dump_json(exclude={"cameras"})]
    assert "hunter2" not in describe(config)
    assert not [text for text in shown if "hunter2" in text.replace(config.cameras["a"].url, "")]
    assert "camera a  rtsp://me:***@host/, 5 fps" in describe(config)


def test_the_hash_depends_on_settings_and_not_on_secrets(loaded: Load) -> None:
    config = loaded(RIGHT)
    assert config_hash(config) == config_hash(loaded(RIGHT.replace("hunter2", "other")))
    assert config_hash(config) == config_hash(loaded(RIGHT + "log: {level: info}\n"))
    assert config_hash(config) != config_hash(loaded(RIGHT.replace("dog", "cat")))
    assert config_hash(config) != config_hash(loaded(RIGHT.replace("@host/", "@host/2")))
    assert len(config_hash(config)) == 12
    int(config_hash(config), 16)
