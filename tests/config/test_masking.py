"""No password in what people and logs see."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.config import config_hash, describe, mask_secrets_in, mask_url
from streamwatch.config.sections.camera import CameraSettings
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
            "http://host/flv?user=***&password=***&ch=***",
        ),
        ("http://host/x?u=admin&p=hunter2", "http://host/x?u=***&p=***"),
        ("http://host/x?loginuse=me&loginpas=hunter2", "http://host/x?loginuse=***&loginpas=***"),
        ("http://host?pw=hunter2", "http://host?pw=***"),
        ("http://host/x?userpwd=hunter2;sid=1", "http://host/x?userpwd=***;sid=***"),
        ("http://host/x?key=hun=ter2==", "http://host/x?key=***"),
        ("http://host/x?p=hun?ter2&a=", "http://host/x?p=***&a=***"),
        ("http://host/x?hunter2&p=1&ter2", "http://host/x?***&p=***&***"),
        ("http://host/x?a=1#hunter2", "http://host/x?a=***#***"),
        ("http://host/x#t=10", "http://host/x#t=***"),
        ("http://host/x?mail=me@home&p=hunter2", "http://host/x?mail=***&p=***"),
        ("http://host/x?u=me:hunter2@home&p=1", "http://host/x?u=***&p=***"),
        ("http://host:80/x?mail=me@hunter2&p=1", "http://host:***@***&p=***"),
        ("http://host:80/mail=me@hunter2/x", "http://host:***@***"),
        ("http://host/x;sid=hunter2/y", "http://host/x;sid=***/y"),
        ("rtsp://host/user=me_password=hunter2", "rtsp://host/user=***_password=***"),
        (
            "rtsp://host/user=admin_password=hunter2_channel=1",
            "rtsp://host/user=***_password=***_channel=***",
        ),
        (
            "rtsp://host/user=admin&password=hunter2&channel=1&stream=0.sdp?real_stream",
            "rtsp://host/user=***&password=***&channel=***&stream=***?***",
        ),
        ("rtsp://host/a/Kennwört=hunter2/b", "rtsp://host/a/Kennwört=***/b"),
        ("rtsp://host/token=ab_cd==/b", "rtsp://host/token=***/b"),
        ("rtsp://host/a_b/c-d.sdp", "rtsp://host/a_b/c-d.sdp"),
        ("host/x?u=admin&one=hunter2", "host/x?u=***&one=***"),
        ("host/password=hunter2", "host/password=***"),
        ("/data/clip.mp4", "/data/clip.mp4"),
        ("/data/what?/a=1/#1.mp4", "/data/what?/a=***#***"),
        ("/data/a=1/#1.mp4", "/data/a=1/#1.mp4"),
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
        ("for url 'http://h/?a=hunter2'); more", "for url 'http://h/?a=***'); more"),
        ('see "http://h/?a=it\'s", more', 'see "http://h/?a=***", more'),
        ("'http://h/?a=hunter2 b'", "'http://h/?a=*** b'"),
        ("pw=a sid=b u=c loginpas=d p=e key=f", "pw=*** sid=*** u=*** loginpas=*** p=*** key=***"),
        ("map=3 steps=2 zip=1 apikey=4", "map=3 steps=2 zip=1 apikey=***"),
        ("no URL: here @ all", "no URL: here @ all"),
    ],
)
def test_mask_secrets_in(text: str, masked: str) -> None:
    assert mask_secrets_in(text) == masked


NAMES = st.text("abpuw-.Äß1", min_size=1, max_size=4)
VALUES = st.text("!$%'()*+,-./:?@[]_=~é1", max_size=6)
"""What a person may have written in clear; no value holds what separates two."""


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """A URL with a query, and perhaps more, in which every value holds `hunter2`."""

    def pairs(separator: str, values: st.SearchStrategy[str]) -> str:
        found = draw(st.lists(st.tuples(NAMES, values, values), min_size=1, max_size=3))
        return separator.join(f"{name}={a}hunter2{b}" for name, a, b in found)

    scheme = draw(st.sampled_from(["rtsp", "http", "HTTPS", "x"]))
    login = draw(st.sampled_from(["", "me@", "me:hunter2@", "me:hun@hunter2@"]))
    host = draw(st.sampled_from(["host", "host:80", "[::1]:80"]))
    path = draw(st.sampled_from(["", "/", "/a_b/c"]))
    if draw(st.booleans()):
        path += f"/{pairs(draw(st.sampled_from('_&;,')), st.just(''))}"
    query = pairs(draw(st.sampled_from("&;")), VALUES)
    fragment = draw(st.sampled_from(["", "#hunter2", "#t=hunter2"]))
    return f"{scheme}://{login}{host}{path}?{query}{fragment}"


@given(url=addresses())
def test_no_value_of_a_query_is_ever_shown(url: str) -> None:
    masked = mask_url(url)
    assert "hunter2" not in masked
    assert mask_url(masked) == masked
    for text in (url, f"see {url} or {url}", f"URL('{url}')", f'"{url}": refused', f"({url})"):
        assert "hunter2" not in mask_secrets_in(text)


@given(text=st.text().filter(lambda text: "://" not in text and "=" not in text))
def test_a_text_without_an_address_stays_as_it_is(text: str) -> None:
    assert mask_secrets_in(text) == text


def test_a_long_word_is_masked_quickly() -> None:
    """These took minutes where the time grew with the square of the length."""
    for text in ("a" * 300_000, "'http://" * 40_000, f"http://h/{'a=b_' * 80_000}"):
        mask_secrets_in(text)
        mask_url(text)


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
notify: [{url: 'json://me:hunter2@hunter2.example/hunter2', watches: [w], on: [new, end]}]
"""


def test_the_summary_shows_no_secret(loaded: Load) -> None:
    config = loaded(RIGHT)
    shown = [*describe(config), repr(config), config.model_dump_json(exclude={"cameras"})]
    assert "hunter2" not in describe(config)
    assert not [text for text in shown if "hunter2" in text.replace(config.cameras["a"].url, "")]
    assert "camera a  rtsp://me:***@host/, 5 fps" in describe(config)
    assert "notices    json://***, new and end of w" in describe(config)


def test_the_hash_covers_a_second_look_with_and_without_a_language_model(loaded: Load) -> None:
    def of(second_look: str) -> str:
        look = f"watches: {{w: {{prompt: dog, second_look: {second_look}}}}}"
        return config_hash(loaded(RIGHT.replace("watches: {w: {prompt: dog}}", look)))

    words = [of("{mode: note}"), of("{mode: require}"), of("{mode: require, against: fox}")]
    ask = "ask: 'Is it?', model: seer, url: 'http://{}localhost/v1', token: {}"
    models = [of(f"{{{ask.format(*login)}}}") for login in (("", "t"), ("me:x@", "t"))]
    assert len({*words, *models}) == 5
    for login in (("me:x@", "other"), ("me:y@", "t")):
        assert of(f"{{{ask.format(*login)}}}") == models[1]


def test_the_hash_depends_on_settings_and_not_on_secrets(loaded: Load) -> None:
    config = loaded(RIGHT)
    assert config_hash(config) == config_hash(loaded(RIGHT.replace("hunter2", "other")))
    assert config_hash(config) == config_hash(loaded(RIGHT + "log: {level: info}\n"))
    assert config_hash(config) != config_hash(loaded(RIGHT.replace("dog", "cat")))
    assert config_hash(config) != config_hash(loaded(RIGHT.replace("@host/", "@host/2")))
    with_query = [
        config_hash(loaded(RIGHT.replace("@host/", f"@host/?a={value}"))) for value in ("1", "2")
    ]
    assert with_query[0] == with_query[1] != config_hash(config)
    assert len(config_hash(config)) == 12
    int(config_hash(config), 16)


def test_settings_in_a_traceback_show_no_secret() -> None:
    camera = CameraSettings.model_validate(
        {"url": "rtsp://cam/?pin=4711", "username": "me", "password": "hunter2"}
    )
    assert "4711" not in repr(camera)
    assert "hunter2" not in repr(camera)
