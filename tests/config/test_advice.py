"""What `check` warns of, and what it says will run."""

from __future__ import annotations

import json
import os
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streamwatch.config import describe, warnings
from streamwatch.config import load as load_file
from streamwatch.paths import shipped
from streamwatch.tls import expires_at
from tests.config.conftest import Load
from tests.parts.certificates import Authority

PIECES = {
    "mqtt": "{}",
    "detector": "{model: toybox}",
    "cameras": "{a: {url: bundled:street}}",
    "watches": "{w: {prompt: dog}}",
}
LOOKS = (
    "detectors find the thing, but judge badly what it looks like; with second_look: require it is "
    "looked at again, alone, before it is told"
)
STEPS = "zones: {steps: [[0, 0], [1, 0], [1, 1]]}"


def text(**sections: str) -> str:
    return "".join(f"{key}: {value}\n" for key, value in {**PIECES, **sections}.items())


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"mqtt": "{password: x, username: y}"},
        {"mqtt": "{password: x, username: y, host: 127.0.0.1}"},
        {"mqtt": "{embedded: true, port: 0}"},
        {"mqtt": "{password: x, username: y, host: broker.local, tls: true}"},
        {"cameras": "{a: {url: bundled:street, loop: true, pace: false}}"},
        {"cameras": "{a: {url: bundled:street}, b: {url: rtsp://cam/, enabled: false}}"},
        {"watches": "{w: {prompt: a dog on the green grass}}"},
        {"watches": "{w: {prompt: dog, confidence: 0.15, leave: 200ms}}"},
        {"watches": "{w: {prompt: dog, confidence: auto}}"},
        {"detector": "{model: yoloe-26n-seg, confidence: 0.05}"},
        {
            "detector": "{model: yolov8s-worldv2}",
            "cameras": "{a: {url: rtsp://cam/}}",
            "watches": "{w: {prompt: a dog lying on the wet green grass}}",
        },
    ],
)
def test_good_configurations_give_no_warning(loaded: Load, sections: dict[str, str]) -> None:
    assert warnings(loaded(text(**sections))) == []


AS_IT_STANDS = (
    "looks like the name of an environment variable, and is taken as it stands; where a variable "
    "is meant, write ${NAME}"
)


def too_long(over: int) -> str:
    return (
        f"user name and password are too long for FFmpeg, which cuts {over} bytes off, so the "
        f"camera will refuse them: at rtsp:// 127 go in, where each of /?#%[] and space "
        "counts three times, and a letter beyond a-z twice or more; give the camera a shorter "
        "password"
    )


def login(url: str, password: str) -> dict[str, str]:
    return {"cameras": f"{{a: {{url: '{url}', username: me, password: {json.dumps(password)}}}}}"}


TOYBOX = (
    "detector.model: toybox knows drawn scenes only and sees little in real pictures, as of a; "
    "for those run `streamwatch models pull yolov8s-worldv2` and write detector.model: "
    "yolov8s-worldv2"
)


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"watches": "{}"}, ["watches: there are none: nothing will ever be reported"]),
        (
            {"watches": "{w: {prompt: dog, enabled: false}}"},
            ["watches: all are disabled: nothing will ever be reported"],
        ),
        (
            {"cameras": "{a: {url: bundled:street, enabled: false}}"},
            [
                "cameras: all are disabled: nothing is watched until one is enabled",
                "watches.w: never applies: every camera it is for is disabled",
            ],
        ),
        (
            {
                "cameras": "{a: {url: bundled:street}, b: {url: bundled:street}}",
                "watches": "{w: {prompt: dog, cameras: [a]}}",
            },
            ["cameras.b: no watch applies: it is read for nothing"],
        ),
        (
            {
                "cameras": f"{{a: {{url: bundled:street, {STEPS}}}, b: {{url: bundled:street}}}}",
                "watches": "{w: {prompt: dog, zones: [steps]}, v: {prompt: cat}}",
            },
            ["watches.w.zones: skips b, where no zone is named steps"],
        ),
        (
            {"watches": "{w: {prompt: dog, near: 0.2}}"},
            ["watches.w.near: without effect: it goes with with or without"],
        ),
        ({"watches": "{w: {prompt: dog, near: 0.2, without: person}}"}, []),
        (
            {"watches": "{a: {prompt: red car}, b: {prompt: [dog, person wearing a hat]}}"},
            [f"watches: 'red car' (a) and 'person wearing a hat' (b): {LOOKS}"],
        ),
        ({"watches": "{a: {prompt: red car, second_look: off}}"}, []),
        ({"watches": "{a: {prompt: red car, enabled: false}, b: {prompt: dog}}"}, []),
        ({"watches": "{a: {prompt: dog on the red carpet}}"}, []),
        (
            {"detector": "{model: yoloe-26s-seg}", "watches": "{a: {prompt: red car}}"},
            [],
        ),
        ({"timezone": "UTC"}, ["timezone: without effect: no watch has active"]),
        ({"timezone": "UTC", "watches": "{w: {prompt: dog, active: sat}}"}, []),
        ({"cameras": "{a: {url: rtsp://cam/}}"}, [TOYBOX]),
        ({"cameras": "{a: {url: http://cam/}}"}, [TOYBOX]),
        ({"cameras": "{a: {url: 0}}"}, [TOYBOX]),
        (
            {"cameras": "{a: {url: 0, loop: true, pace: true}}"},
            [
                TOYBOX,
                "cameras.a.pace: without effect: it is for files",
                "cameras.a.loop: without effect: it is for files and recordings on the web",
            ],
        ),
        ({"cameras": "{a: {url: http://cam/clip.mp4, loop: true}}"}, [TOYBOX]),
        (
            {"cameras": '{a: {url: "rtsp://me:12/hunter2@cam/one"}}'},
            [
                TOYBOX,
                "cameras.a.url: an @ behind the first slash: where it belongs to the password, "
                "write %2F for the slash and %40 for an @ within",
            ],
        ),
        (
            {"cameras": '{a: {url: "rtsp://me:100%@cam/one"}, b: {url: "http://cam/?at=5%"}}'},
            [
                TOYBOX.replace("of a;", "of a and b;"),
                *(
                    f"cameras.{camera}.url: a % that begins no escape, such as %40 for @: write "
                    "%25 for a % itself"
                    for camera in "ab"
                ),
            ],
        ),
        ({"cameras": '{a: {url: "http://me:%25%40@[fe80::1%eth0]/"}}'}, [TOYBOX]),
        (
            {"cameras": '{a: {url: "rtsp://me:$PW@cam/one"}}'},
            [TOYBOX, f"cameras.a.url: what stands before the @ {AS_IT_STANDS}"],
        ),
        (
            {"cameras": '{a: {url: "rtsp://cam/", username: "{USER}", password: "$PW"}}'},
            [
                TOYBOX,
                f"cameras.a.username: what stands here {AS_IT_STANDS}",
                f"cameras.a.password: what stands here {AS_IT_STANDS}",
            ],
        ),
        ({"cameras": '{a: {url: "rtsp://cam/", username: me, password: "{x}y$PW"}}'}, [TOYBOX]),
        (
            {"mqtt": "{username: '%USER%', password: '{PW}'}"},
            [
                f"mqtt.username: what stands here {AS_IT_STANDS}",
                f"mqtt.password: what stands here {AS_IT_STANDS}",
            ],
        ),
        (
            {"cameras": '{a: {url: "rtsp://cam/", username: me, password: "hunter%402"}}'},
            [
                TOYBOX,
                "cameras.a.password: what stands here holds an escape of URLs, such as %40, and is "
                "taken as it stands; where @ is meant, write @",
            ],
        ),
        (login("rtsp://cam/", "x" * 124), [TOYBOX]),
        (login("rtsp://cam/", "x" * 125), [TOYBOX, f"cameras.a.password: {too_long(1)}"]),
        (login("rtsp://cam/", string.punctuation * 2), [TOYBOX]),
        (
            login("rtsps://cam.example.com/", "%" * 42),
            [TOYBOX, f"cameras.a.password: {too_long(2)}"],
        ),
        (login("http://cam/", "x" * 1021), [TOYBOX]),
        (
            {"cameras": f"{{a: {{url: 'rtsp://me:{'x' * 125}@cam/'}}}}"},
            [TOYBOX, f"cameras.a.url: {too_long(1)}"],
        ),
        ({"cameras": f"{{a: {{url: 'rtsp://me:{'%21' * 124}@cam/'}}}}"}, [TOYBOX]),
        ({"cameras": "{a: {url: https://cam.example.com/}}"}, [TOYBOX]),
        (
            {"cameras": "{a: {url: rtsps://192.168.1.20/one}, b: {url: https://cam.local/}}"},
            [
                TOYBOX.replace("of a;", "of a and b;"),
                *(
                    f"cameras.{camera}.url: the certificate of {host} is not verified, since no "
                    "authority certifies hosts of a home network: what it sends is encrypted, but "
                    "keep to a network you trust"
                    for camera, host in (("a", "192.168.1.20"), ("b", "cam.local"))
                ),
            ],
        ),
        (
            {"watches": "{w: {prompt: [dog, a cardboard box left on the wet ground]}}"},
            [
                "watches.w.prompt: 'a cardboard box left on the wet ground' is long: with toybox "
                "more than 6 words score low"
            ],
        ),
        (
            {"mqtt": "{host: broker.local, username: me, password: x}"},
            [
                "mqtt.password: travels to broker.local in clear; write tls: true if the broker "
                "knows TLS, or keep to a network you trust"
            ],
        ),
        (
            {"mqtt": "{password: x}"},
            ["mqtt.password: most brokers refuse a password without a username"],
        ),
        (
            {"mqtt": "{embedded: true, host: broker.local}"},
            ["mqtt.host: without effect: the embedded broker is on the loopback"],
        ),
        (
            {"detector": "{model: toybox, confidence: 0.05}"},
            ["detector.confidence: 0.05 is so low that many alerts will be false"],
        ),
        (
            {"watches": "{w: {prompt: dog, confidence: 0.14}}"},
            ["watches.w.confidence: 0.14 is so low that many alerts will be false"],
        ),
        (
            {
                "detector": "{model: yolov8s-worldv2, confidence: 0.05}",
                "watches": "{w: {prompt: dog, confidence: 0.04}}",
            },
            ["watches.w.confidence: 0.04 is so low that many alerts will be false"],
        ),
        (
            {"detector": "{model: yolov8s-worldv2, confidence: 0.04}"},
            ["detector.confidence: 0.04 is so low that many alerts will be false"],
        ),
        (
            {"watches": "{w: {prompt: dog, confidence: 0.95}}"},
            ["watches.w.confidence: 0.95 is so high that hardly anything will be reported"],
        ),
        (
            {"watches": "{w: {prompt: dog, leave: 100ms}}"},
            [
                "watches.w.leave: 100ms is less than the time between two frames at 5 fps: every "
                "frame will be a visit of its own"
            ],
        ),
        (
            {"watches": "{w: {prompt: dog, cooldown: 2d}}"},
            ["watches.w.cooldown: after each visit nothing is told for 2d"],
        ),
    ],
)
def test_each_warning_and_no_other(
    loaded: Load, sections: dict[str, str], expected: list[str]
) -> None:
    assert [str(advice) for advice in warnings(loaded(text(**sections)))] == expected


@pytest.mark.parametrize("name", ["gone.mp4", "x" * 300])
def test_a_missing_video_file_is_warned_of(loaded: Load, tmp_path: Path, name: str) -> None:
    config = loaded(text(cameras=f"{{a: {{url: {name}}}}}"))
    assert [str(advice) for advice in warnings(config)] == [
        f"cameras.a.url: the file {tmp_path / name} does not exist now"
    ]
    if len(name) < 100:
        (tmp_path / name).touch()
        assert warnings(config) == []
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
        (advice,) = warnings(config)
        assert advice.message == f"the file {tmp_path / name} is no regular file now"


IN_CLEAR = """\
mqtt:
  username: me
  password: hunter2
detector: {model: toybox}
cameras:
  a: {url: 'http://me:hunter2@cam/'}
  b: {url: 'http://me:${PASSWORD}@cam/'}
  c: {url: 'http://cam/?u=me&pw=hunter2'}
  d: {url: 'http://cam/?channel=1'}
watches: {w: {prompt: dog}}
"""


def test_passwords_readable_by_all_users_are_warned_of(
    loaded: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", "hunter2")
    config = loaded(IN_CLEAR)
    file = tmp_path / "config.yaml"
    file.chmod(0o644)
    said = [str(advice) for advice in warnings(config, file) if "can read" in advice.message]
    assert said == [
        f"{path}: every user of this machine can read the password; `chmod 600 {file}`, or keep "
        "it elsewhere and write ${NAME}, ${file:PATH} or ${credential:NAME}"
        for path in ("mqtt.password", "cameras.a.url", "cameras.c.url")
    ]
    file.chmod(0o640)
    assert not [advice for advice in warnings(config, file) if "can read" in advice.message]
    assert not [advice for advice in warnings(config) if "can read" in advice.message]


def test_the_summary(loaded: Load, tmp_path: Path) -> None:
    config = loaded(
        text(
            mqtt="{host: '::1', username: me, password: hunter2, topic_prefix: home}",
            detector="{model: toybox, image_size: 640}",
            cameras=f"{{a: {{url: 'rtsp://me:hunter2@cam/', fps: 2.5, {STEPS}}}, "
            "b: {url: bundled:street, pace: false}, c: {url: 3, enabled: false}}",
            watches="{w: {prompt: [dog, cat], zones: [steps], dwell: 5s}, "
            "v: {prompt: cow, confidence: 0.5, cameras: [a]}}",
        )
        + "snapshots: {path: pictures, keep: 12h, max_size: 10MB}\n"
    )
    assert describe(config) == [
        "broker     mqtt://me@[::1]:1883, topics home/…",
        "model      toybox, device auto, 640 px",
        f"snapshots  {tmp_path}/pictures, for 12h, at most 10MB",
        "",
        "camera a  rtsp://me:***@cam/, 2.5 fps",
        '    watch w  "dog" or "cat" in steps, there for 5s, confidence 0.3',
        '    watch v  "cow", confidence 0.5',
        "",
        "camera b  bundled:street, 5 fps of the file's own time, as fast as it goes",
        "    nothing is watched for",
        "",
        "camera c  /dev/video3, disabled",
    ]


@pytest.mark.parametrize(
    ("keys", "timezone", "said"),
    [
        (
            "with: [person, dog], near: 0",
            "UTC",
            '"bag" with person or dog within 0, confidence 0.3',
        ),
        (
            "without: person, dwell: 30s, active: [mon-fri 22:00 - 06:00, sat]",
            "Europe/Berlin",
            '"bag" without person within 0.1, there for 30s, mon-fri 22:00-06:00 or sat '
            "(Europe/Berlin's time), confidence 0.3",
        ),
        ("active: sat", "", '"bag", sat (the system\'s time), confidence 0.3'),
        ("confidence: auto", "UTC", '"bag", confidence learnt, starting at 0.3'),
    ],
)
def test_the_summary_of_a_watch(loaded: Load, keys: str, timezone: str, said: str) -> None:
    config = loaded(text(watches=f"{{w: {{prompt: bag, {keys}}}}}", timezone=timezone))
    assert describe(config)[-1] == f"    watch w  {said}"


def test_the_summary_tells_the_models_own_threshold(loaded: Load) -> None:
    config = loaded(text(detector="{model: yolov8s-worldv2}"))
    assert describe(config)[-1] == '    watch w  "dog", confidence 0.1'


def test_the_summary_of_a_broker_with_tls(loaded: Load) -> None:
    config = loaded(text(mqtt="{host: broker.local, tls: true}"))
    assert describe(config)[0] == "broker     mqtts://broker.local:8883, topics streamwatch/…"


def test_missing_model_files_are_warned_of(loaded: Load, tmp_path: Path) -> None:
    own = text(detector="{model: models/mine.pt, text_encoder: ./clip}")
    assert [str(advice) for advice in warnings(loaded(own))] == [
        f"detector.model: the file {tmp_path}/models/mine.pt does not exist now",
        f"detector.text_encoder: there is no model in the folder {tmp_path}/clip now",
    ]
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.pt").touch()
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "config.json").touch()
    assert warnings(loaded(own)) == []


def test_messages_about_model_files_are_on_the_models_line(loaded: Load) -> None:
    assert describe(loaded(text()), ["first", "second"])[1] == (
        "model      toybox, device auto; first; second"
    )


@pytest.mark.parametrize(("port", "shown"), [(0, "any free port"), (1884, "port 1884")])
def test_the_summary_of_the_embedded_broker(loaded: Load, port: int, shown: str) -> None:
    config = loaded(text(mqtt=f"{{embedded: true, port: {port}}}"))
    assert describe(config)[0] == f"broker     embedded, {shown}, topics streamwatch/…"


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (-1, "expired on {day}, so the broker will refuse it; renew it"),
        (20, "expires on {day}, and the broker will refuse it from then on; renew it"),
        (40, None),
    ],
)
def test_an_expiring_client_certificate_is_warned_of(
    loaded: Load, authority: Authority, days: int, said: str | None
) -> None:
    before = datetime.now(UTC)
    client = authority.issue(f"client-{days}", days=days)
    tls = f"{{certificate: {client.path}, key: {client.key}}}"
    found = [
        str(advice) for advice in warnings(loaded(text(mqtt=f"{{host: broker.local, tls: {tls}}}")))
    ]
    ends = [(at + timedelta(days=days)).date() for at in (before, datetime.now(UTC))]
    expected = [[f"mqtt.tls.certificate: {said.format(day=day)}"] for day in ends] if said else [[]]
    assert found in expected


def test_an_unreadable_certificate_has_no_expiry(authority: Authority, tmp_path: Path) -> None:
    assert expires_at(tmp_path / "gone.pem") is None
    assert expires_at(authority.certificate.key) is None


def test_the_shipped_configuration_gives_no_warning() -> None:
    assert warnings(load_file(shipped("config.yaml")), None) == []
