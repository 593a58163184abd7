"""`streamwatch alerts`, in a terminal or not, with a real broker."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from tests.parts import IMAGE_SIZE, free_port
from tests.parts.certificates import Authority
from tests.parts.command import run_here
from tests.parts.daemon import PATIENCE_SECONDS, Daemon, private_environment
from tests.parts.mosquitto import Mosquitto, StartMosquitto, Subscriber
from tests.parts.terminal import SIXEL_TERMINAL, Terminal

pytestmark = pytest.mark.slow(seconds=45)

PROGRAM = (sys.executable, "-m", "streamwatch", "alerts")
READY = "as they come; Ctrl-C ends it"


def environment(folder: Path, **others: str) -> dict[str, str]:
    return {**private_environment(folder), "TZ": "Europe/Berlin", "NO_COLOR": "1", **others}


def at(broker: Mosquitto, prefix: str = "streamwatch") -> tuple[str, ...]:
    return ("--host", broker.host, "--port", str(broker.port), "--prefix", prefix)


def event(id: str, kind: str = "new", sequence: int = 0, **others: Any) -> dict[str, Any]:
    return {
        "id": id,
        "type": kind,
        "camera": "porch",
        "watch": "parcel",
        "prompt": "parcel",
        "track": 6,
        "confidence": 0.873,
        "best_confidence": 0.883,
        "box": [561.9, 295.4, 608.0, 345.5],
        "frame": [640, 360],
        "zones": ["steps"],
        "captured_at": "2026-11-26T10:17:27.945Z",
        "started_at": "2026-11-26T10:17:22.945Z",
        "ended_at": None,
        "published_at": "2026-11-26T10:17:28.012Z",
        "sequence": sequence,
        "snapshot": None,
        "snapshot_path": None,
        **others,
    }


def end(id: str, sequence: int = 1, **others: Any) -> dict[str, Any]:
    return event(id, "end", sequence, ended_at="2026-11-26T10:20:27.945Z", reason="left", **others)


VAN = event(
    "van",
    camera="driveway-north",
    watch="delivery-van",
    prompt="a white delivery van with open doors",
    zones=["kerb"],
    delayed=True,
    published_at="2026-11-26T12:17:28.012Z",
)


def publish(broker: Subscriber, *events: dict[str, Any], prefix: str = "streamwatch") -> None:
    for one in events:
        topic = f"{prefix}/events/{one['camera']}/{one['watch']}"
        broker.publish(topic, json.dumps(one, ensure_ascii=False))


def show_some(
    folder: Path, broker: Mosquitto, prefix: str, columns: int, rows: int, *options: str
) -> list[str]:
    """The lines of a terminal in which some alerts were shown, from the heading on."""
    command = [*PROGRAM, *at(broker, prefix), *options]
    with (
        Subscriber(broker.port, f"{prefix}/#") as other,
        Terminal(command, environment(folder), columns=columns, rows=rows) as terminal,
    ):
        terminal.wait_for("Ctrl-C")
        update = event("one", "update", 1, zones=["steps", "path"])
        publish(other, event("one"), update, update, end("one", 2), VAN, prefix=prefix)
        publish(other, event("two", continues="one", zones=[]), prefix=prefix)
        lines = terminal.wait_for("restart")
    assert all(len(line) <= columns for line in lines)
    first = next(number for number, line in enumerate(lines) if line.startswith("time"))
    return lines[first:]


def test_a_terminal_of_80_columns(tmp_path: Path, mosquitto: Mosquitto) -> None:
    shown = show_some(tmp_path, mosquitto, "narrow", 80, 24)
    assert [line for line in shown if line != "2026-11-26"] == [
        "time           camera          watch           sure  what",
        "11:17:22  new  porch           parcel           87%  parcel: in steps",
        "11:20:27  end  porch           parcel           88%  parcel: after 3 min 5 s,",
        "                                                     left",
        "11:17:22  new  driveway-north  delivery-van     87%  a white delivery van with",
        "                                                     open doors: late by 2 h 0",
        "                                                     min, in kerb",
        "11:17:22  new  porch           parcel           87%  parcel: still there after a",
        "                                                     restart",
    ]


def test_a_terminal_of_140_columns_with_updates(tmp_path: Path, mosquitto: Mosquitto) -> None:
    shown = show_some(tmp_path, mosquitto, "wide", 140, 40, "-v")
    names = "porch                 parcel              "
    assert [line for line in shown if line != "2026-11-26"] == [
        "time              camera                watch                 sure  what",
        f"11:17:22  new     {names}   87%  parcel: in steps",
        f"11:17:27  update  {names}   87%  parcel: in steps and path",
        f"11:20:27  end     {names}   88%  parcel: after 3 min 5 s, left",
        "11:17:22  new     driveway-north        delivery-van           87%  a white delivery van"
        " with open doors: late by 2 h 0 min, in kerb",
        f"11:17:22  new     {names}   87%  parcel: still there after a restart",
    ]


class Piped:
    """The command with its output in pipes, ready to show; killed at the end."""

    def __init__(self, folder: Path, *options: str, **variables: str) -> None:
        self._process = subprocess.Popen(
            [*PROGRAM, *options],
            env=environment(folder, **variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> subprocess.Popen[str]:
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def error_of(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline().rstrip("\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_json_is_each_event_as_it_came_and_nothing_else(
    tmp_path: Path, mosquitto: Mosquitto, number: signal.Signals
) -> None:
    prefix = f"json-{number}"
    with (
        Subscriber(mosquitto.port, f"{prefix}/#") as other,
        Piped(tmp_path, *at(mosquitto, prefix), "--json") as process,
    ):
        assert READY in error_of(process)
        other.publish(f"{prefix}/status", "offline", retain=True)
        hostile = event("one", prompt="rotes Äuto 門\x1b[2J\x9b2J\u2028", own={"key": [1, None]})
        publish(other, hostile, hostile, prefix=prefix)
        publish(other, end("one"), hostile, VAN, prefix=prefix)
        lines = [line_of(process) for _ in range(3)]
        process.send_signal(number)
        out, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert [json.loads(line) for line in lines] == [hostile, end("one"), VAN]
    assert all(char.isprintable() for line in lines for char in line)
    assert list(json.loads(lines[0])) == list(hostile)
    assert (process.returncode, out) == (0, "")
    assert errors == "streamwatch: the daemon is offline\n"


def test_what_is_no_alert_is_left_out_and_told_once(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with (
        Subscriber(mosquitto.port, "wrong/#") as other,
        Piped(tmp_path, *at(mosquitto, "wrong"), "--json") as process,
    ):
        assert READY in error_of(process)
        other.publish("wrong/status", "online", retain=True)
        for payload in (
            b"\xff",
            b"",
            b"7",
            b"{}",
            b"[" * 100_000,
            json.dumps(event("x", confidence=float("nan"))),
            json.dumps(event("x", confidence=10**400)),
            json.dumps(event("x")).replace("0.873", "1e999"),
            json.dumps(event("x", started_at="0001-01-01T00:00:00+14:00")),
            json.dumps(event("x", started_at="2026-11-26T10:17:22")),
            json.dumps(event("x", kind="other")),
            json.dumps(event("x", sequence="many")),  # type: ignore[arg-type]
        ):
            other.publish("wrong/events/porch/parcel", payload)
        other.publish("wrong/events/porch/parcel", json.dumps(event("old")), retain=True)
        publish(other, event("right"), prefix="wrong")
        ids = [json.loads(line_of(process))["id"] for _ in range(2)]
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert (ids, out) == (["old", "right"], "")
    assert errors == (
        "streamwatch: left out what is no alert, on wrong/events/porch/parcel; others like it are"
        " left out without a word\n"
    )


def test_clips_are_told_once_they_are_whole(tmp_path: Path, mosquitto: Mosquitto) -> None:
    prefix = "clips"
    told: list[tuple[str, Any]] = [
        ("porch/parcel", {"id": "a", "path": "/var/a.mp4", "seconds": 21.24, "complete": True}),
        ("porch/parcel", {"id": "a", "path": "/var/a.mp4", "seconds": 21.24, "complete": True}),
        ("yard/parcel", {"id": "b", "path": "/b", "seconds": 5, "complete": False, "reason": "x"}),
        ("porch/dog", {"id": "c", "path": None, "seconds": 0, "complete": False, "reason": "\x1b"}),
        ("porch/dog", {"id": "d", "path": 7}),
    ]
    with Subscriber(mosquitto.port, f"{prefix}/#") as other:
        command = [*PROGRAM, *at(mosquitto, prefix), "--camera", "porch"]
        with Terminal(command, environment(tmp_path), columns=100, rows=24) as terminal:
            terminal.wait_for("Ctrl-C")
            for place, fields in told:
                other.publish(f"{prefix}/clips/{place}", json.dumps(fields))
            lines = terminal.wait_for("is no alert")
    said = [line.split("  ", 1)[1] for line in lines if "clip of" in line]
    assert said == ["clip of porch parcel, 21.2 s: /var/a.mp4", "no clip of porch dog: \\x1b"]


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ([], ["a", "b", "c", "d", "last"]),
        (["--camera", "porch"], ["a", "b", "last"]),
        (["--watch", "cat", "--watch", "dog"], ["b", "d", "last"]),
        (["--camera", "gate", "--camera", "porch", "--watch", "parcel"], ["a", "c"]),
    ],
)
def test_only_what_is_wanted_is_told(
    tmp_path: Path, mosquitto: Mosquitto, options: Sequence[str], ids: Sequence[str]
) -> None:
    prefix = f"filters-{len(options)}"
    with (
        Subscriber(mosquitto.port, f"{prefix}/#") as other,
        Piped(tmp_path, *at(mosquitto, prefix), "--json", *options) as process,
    ):
        said = error_of(process)
        publish(
            other,
            event("a"),
            event("b", watch="cat"),
            event("c", camera="gate"),
            event("d", camera="shed", watch="dog"),
            event("last", watch="dog"),
            prefix=prefix,
        )
        assert [json.loads(line_of(process))["id"] for _ in ids] == ids
    if options[:2] == ["--watch", "cat"]:
        assert f"alerts of watch cat or dog from the broker {mosquitto.host}" in said


def test_a_pipe_gets_whole_lines_with_dates(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with (
        Subscriber(mosquitto.port, "pipe/#") as other,
        Piped(tmp_path, *at(mosquitto, "pipe"), "--pictures", PYTHONUNBUFFERED="1") as process,
    ):
        assert line_of(process).endswith(READY)
        publish(other, VAN, end("one"), prefix="pipe")
        assert [line_of(process) for _ in range(2)] == [
            "2026-11-26 11:17:22  new     driveway-north  delivery-van   87%  a white delivery van"
            " with open doors: late by 2 h 0 min, in kerb",
            "2026-11-26 11:20:27  end     porch  parcel   88%  parcel: after 3 min 5 s, left",
        ]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_has_enough_ends_it(
    tmp_path: Path, mosquitto: Mosquitto, options: Sequence[str]
) -> None:
    prefix = f"head{len(options)}"
    with (
        Subscriber(mosquitto.port, f"{prefix}/#") as other,
        Piped(tmp_path, *at(mosquitto, prefix), *options) as process,
    ):
        assert READY in (error_of(process) if options else line_of(process))
        assert process.stdout is not None
        process.stdout.close()
        other.publish(f"{prefix}/status", "online", retain=True)
        publish(other, event("one"), prefix=prefix)
        assert process.wait(PATIENCE_SECONDS) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_the_broker_may_come_late_and_go(tmp_path: Path, start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto()
    broker.stop()
    with Terminal([*PROGRAM, *at(broker)], environment(tmp_path), columns=140) as terminal:
        terminal.wait_for(
            f"broker 127.0.0.1:{broker.port} is not reachable (connection refused); trying again"
            " and again"
        )
        broker.start()
        terminal.wait_for("alerts from the broker")
        with Subscriber(broker.port) as other:
            other.publish("streamwatch/status", "online", retain=True)
            publish(other, event("one", prompt="first"))
            terminal.wait_for("first: in steps")
            broker.stop()
            terminal.wait_for(f"lost the broker 127.0.0.1:{broker.port} (")
            broker.start()
            terminal.wait_for("is back")
        with Subscriber(broker.port) as other:
            publish(other, event("one", prompt="again"), event("two", prompt="second"))
            terminal.wait_for("second: in steps")
            other.publish("streamwatch/status", "offline", retain=True)
            terminal.wait_for("the daemon is offline")
            other.publish("streamwatch/status", "online", retain=True)
            lines = terminal.wait_for("the daemon is online again")
        terminal.press(b"\x03")
        assert terminal.wait() == 0
    assert not any("again:" in line for line in lines)  # it was delivered before
    assert sum("connection refused" in line for line in lines) <= 2  # at each start once


def test_where_no_daemon_is_it_says_so(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with Piped(tmp_path, *at(mosquitto, "nobody"), "--json") as process:
        assert READY in error_of(process)
        assert error_of(process) == (
            "streamwatch: nothing has told its status on nobody/status yet: perhaps no daemon has"
            " run at this broker so far, or with another topic prefix"
        )


def test_nothing_in_a_payload_reaches_the_terminal_as_a_command(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\x9b2J[bold red]:smile:\r\n\u202etxt"
    with (
        Subscriber(mosquitto.port, "hostile/#") as other,
        Terminal(
            [*PROGRAM, *at(mosquitto, "hostile")], environment(tmp_path), columns=200
        ) as terminal,
    ):
        terminal.wait_for(READY)
        fields = event("one", prompt=hostile, watch=hostile, camera=hostile, zones=[hostile])
        for payload in (json.dumps(fields), "\x1b]0;owned\x07"):
            other.publish("hostile/events/porch/parcel", payload)
        other.publish("hostile/events/porch/parcel", json.dumps(end("two", prompt="last")))
        lines = terminal.wait_for("last")
    escaped = r"\x1b]0;owned\x07\x1b[2J\x9b2J[bold red]:smile:\r\n\u202etxt"
    assert any(escaped in line for line in lines)
    for part in (b"\x1b]", b"\x07", b"\x1b[2J", "\x9b".encode(), "\u202e".encode()):
        assert part not in terminal.written


def test_pictures_are_shown_where_the_terminal_can(tmp_path: Path, mosquitto: Mosquitto) -> None:
    topic = "pictures/snapshot/porch/parcel"
    # Larger than what a daemon accepts of others.
    noise = np.random.default_rng(1).integers(0, 255, (720, 1280, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", noise)[1].tobytes()
    assert len(jpeg) > 200_000
    command = [*PROGRAM, *at(mosquitto, "pictures")]
    with Subscriber(mosquitto.port, "pictures/#") as other:
        other.publish(topic, jpeg, retain=True)
        with Terminal(command, environment(tmp_path), answers=SIXEL_TERMINAL) as terminal:
            terminal.wait_for("Ctrl-C ends it")
            publish(other, event("old", snapshot=topic, prompt="earlier"), prefix="pictures")
            terminal.wait_for("earlier")
            other.publish(topic, b"no JPEG", retain=True)
            publish(other, event("broken", snapshot=topic, prompt="broken"), prefix="pictures")
            terminal.wait_for("broken")
            assert b"\x1bP0;0;0q" not in terminal.written
            other.publish(topic, jpeg, retain=True)
            publish(other, event("one", snapshot=topic), prefix="pictures")
            publish(other, end("one", snapshot=topic, prompt="last"), prefix="pictures")
            terminal.wait_for("last")
    assert terminal.written.count(b'\x1bP0;0;0q"1;1;320,') == 0
    assert terminal.written.count(b'\x1bP0;0;0q"1;1;320;') == 1  # 40 cells


def ended(folder: Path, *options: str | Path) -> tuple[int, str]:
    """The exit code and stderr of a command that ends by itself."""
    done = run_here(folder, "alerts", *options, COLUMNS="300", NO_COLOR="1")
    assert done.stdout == ""
    return done.returncode, done.stderr


def written(folder: Path, mqtt: dict[str, Any]) -> Path:
    path = folder / "config.yaml"
    cameras = {"porch": {"url": "bundled:street"}, "gate": {"url": "0"}}
    watches = {"parcel": {"prompt": "parcel"}}
    document = {"mqtt": mqtt, "detector": {"model": "toybox", "image_size": IMAGE_SIZE}}
    path.write_text(yaml.safe_dump({**document, "cameras": cameras, "watches": watches}))
    return path


def test_a_login_that_is_refused_is_told(tmp_path: Path, start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto(users={"me": "right"})
    password = tmp_path / "password"
    password.write_text("wrong\n")
    here = f"broker 127.0.0.1:{broker.port}"
    login = (*at(broker), "--username", "me", "--password-file", str(password))
    assert ended(tmp_path, *login) == (
        3,
        f"streamwatch: {here} refuses the user name or password (not authorised); see --username"
        " and --password-file or STREAMWATCH_MQTT_PASSWORD\n",
    )
    code, said = ended(tmp_path, *at(broker))
    assert (code, f"{here} refuses the connection (not authorised)" in said) == (3, True)
    mqtt = {"host": broker.host, "port": broker.port, "username": "me", "password": "wrong"}
    file = written(tmp_path, mqtt)
    code, said = ended(tmp_path)
    assert (code, "see mqtt.username and mqtt.password" in said) == (3, True)
    password.write_text("right\n")
    with Piped(tmp_path, *login, "--json") as process:
        assert READY in error_of(process)
    variable = {"STREAMWATCH_MQTT_PASSWORD": "right"}
    with Piped(tmp_path, "-c", str(file), "--json", **variable) as process:
        assert READY in error_of(process)


def test_the_broker_is_verified(
    tmp_path: Path, authority: Authority, start_mosquitto: StartMosquitto
) -> None:
    broker = start_mosquitto(certificate=authority.issue("alerts"))
    assert ended(tmp_path, *at(broker), "--tls") == (
        3,
        f"streamwatch: broker 127.0.0.1:{broker.port} shows a certificate of an authority that is"
        " not trusted; see --ca\n",
    )
    with Piped(tmp_path, *at(broker), "--ca", str(authority.ca), "--json") as process:
        assert READY in error_of(process)


@pytest.mark.parametrize(
    ("options", "mqtt", "code", "told"),
    [
        ([], None, 1, "no configuration file; looked for"),
        ([], None, 1, "; or name a broker with --host"),
        (["-c", "no.yaml"], None, 1, "no.yaml: "),
        (["--camera", "prch"], {}, 2, "there is no camera prch; did you mean 'porch'?"),
        (["--watch", "x"], {}, 2, "there is no watch x; the configuration has parcel"),
        (["--host", "a", "--camera", "a/#"], None, 2, "a/# is no name of a camera"),
        (["--host", "a", "--prefix", "a/#"], None, 2, "--prefix: what is given"),
        (["--host", "a b"], None, 2, "--host: what is given"),
        (["--host", "a", "--ca", "no.pem"], None, 2, "--ca: what is given does not exist"),
        (["--host", "a", "--password-file", "no"], None, 2, "no can't be read: No such file"),
        (["--password-file", __file__], {}, 2, "a password goes with a --username"),
        (["--tls"], {"embedded": True}, 2, "--tls: the embedded broker is reached from"),
        ([], {"embedded": True, "port": 0}, 3, "takes any free port (mqtt.port: 0)"),
    ],
)
def test_what_can_not_work_is_told(
    tmp_path: Path, options: Sequence[str], mqtt: dict[str, Any] | None, code: int, told: str
) -> None:
    if mqtt is not None:
        written(tmp_path, mqtt)
    found, said = ended(tmp_path, *options)
    assert (found, told in " ".join(said.replace("│", " ").split())) == (code, True), said


@pytest.mark.parametrize("is_named", [True, False])
def test_the_alerts_of_a_running_daemon_with_a_broker_inside(
    tmp_path: Path, is_named: bool
) -> None:
    config = {
        "mqtt": {"embedded": True, "port": free_port() if is_named else 0},
        "detector": {"model": "toybox", "image_size": IMAGE_SIZE},
        "cameras": {"street": {"url": "bundled:street", "loop": True}},
        "watches": {"car": {"prompt": "red car"}},
    }
    with Daemon(tmp_path, config) as daemon:
        if not is_named:  # only a running one tells its port
            daemon.wait_for_log("camera street: first frame")
        with Piped(tmp_path, "-c", str(daemon.config), "--json") as process:
            first = json.loads(line_of(process))
        assert (first["camera"], first["watch"], first["prompt"]) == ("street", "car", "red car")
        assert daemon.process.poll() is None
