"""Health and metrics of the running daemon: over HTTP, and by `streamwatch status`."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from streamwatch.cli.status import show
from streamwatch.config import HttpSettings
from streamwatch.errors import UnavailableSetting
from streamwatch.pipeline.durations import Durations
from streamwatch.status.socket import ask
from streamwatch.web.app import Pages
from streamwatch.web.server import Listener
from tests.parts import STREET_CLIP, free_port
from tests.parts.daemon import PATIENCE_SECONDS, Daemon, private_environment
from tests.parts.mosquitto import Mosquitto, StartMosquitto, Subscriber

pytestmark = pytest.mark.slow(seconds=40)


def get(port: int, path: str, token: str | None = None) -> tuple[int, str]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def value(exposition: str, sample: str) -> float:
    (found,) = re.findall(rf"^{re.escape(sample)} (\S+)$", exposition, re.MULTILINE)
    return float(found)


def status(folder: Path, *options: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "streamwatch", "status", *options],
        env={**private_environment(folder), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


# --- over HTTP -----------------------------------------------------------------------------------


@pytest.fixture
def pages() -> dict[str, Any]:
    return {"stuck": (), "ready": False}


@pytest.fixture
def listener(pages: dict[str, Any]) -> Iterator[Listener]:
    settings = HttpSettings.model_validate({"port": free_port(), "token": "let me in"})
    serving = Listener(
        settings,
        Pages(
            lambda: pages["stuck"],
            lambda: pages["ready"],
            lambda: b"streamwatch_healthy 1\n",
            dict,
            lambda _: None,
        ),
    )
    yield serving
    serving.close()


def test_health_and_readiness(listener: Listener, pages: dict[str, Any]) -> None:
    port = listener.settings.port
    assert get(port, "/healthz") == (200, "ok\n")
    assert get(port, "/readyz") == (503, "starting\n")
    pages.update(stuck=("the detector's thread has done nothing for 31 s",), ready=True)
    assert get(port, "/healthz") == (503, "the detector's thread has done nothing for 31 s\n")
    assert get(port, "/readyz?verbose=1") == (200, "ok\n")
    assert get(port, "/") == (404, "there are /healthz, /readyz and /metrics\n")
    assert get(port, "/status")[0] == 404  # only on the socket of `streamwatch status`


def test_metrics_need_the_token(listener: Listener) -> None:
    port = listener.settings.port
    assert get(port, "/metrics")[0] == 401
    assert get(port, "/metrics", "let me 1n")[0] == 401
    assert get(port, "/metrics", "let me in") == (200, "streamwatch_healthy 1\n")


def test_a_taken_port_gives_one_clear_error() -> None:
    pages = Pages(lambda: (), lambda: True, lambda: b"", dict, lambda _: None)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UnavailableSetting) as caught:
            Listener(HttpSettings.model_validate({"port": port}), pages)
    assert str(caught.value) == (
        f"http.port: can't listen on 127.0.0.1:{port} (address already in use)"
    )


@pytest.mark.expects_errors
def test_a_taken_port_is_retried(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("streamwatch.web.server.RETRY_SECONDS", 0.1)
    pages = Pages(lambda: (), lambda: True, lambda: b"", dict, lambda _: None)
    listening = threading.Event()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        settings = HttpSettings.model_validate({"port": port})
        Listener(settings, pages, later=listening.set).close()  # closed before it could retry
        listener = Listener(settings, pages, later=listening.set)
        problem = f"http.port: can't listen on 127.0.0.1:{port} (address already in use)"
        assert listener.problem == problem
        assert f"{problem}; trying again, all else goes on" in caplog.text
        assert not listening.wait(0.3)
    assert listening.wait(10)
    assert listener.problem is None
    assert get(port, "/healthz") == (200, "ok\n")
    listener.close()


def test_durations_are_counted_in_buckets_with_percentiles() -> None:
    durations = Durations((0.1, 0.2))
    assert durations.percentiles_ms() == (None, None)
    for seconds in (0.05, 0.1, 0.15, 7):
        durations.observe(seconds)
    assert durations.cumulative() == [(0.1, 2), (0.2, 3), (float("inf"), 4)]
    assert durations.sum_seconds == pytest.approx(7.3)
    assert durations.percentiles_ms() == (125.0, 5972.5)


# --- on the screen -------------------------------------------------------------------------------


def test_configured_text_is_printed_literally(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets aren't taken for markup, or colons for emoji."""
    document = {
        "version": "1.0", "config": "/etc/[red]/config.yaml", "uptime_s": 3700.5,
        "model": "/srv/[x]/a.pt", "broker": {"address": "[fd00::2]:1883", "connected": False},
        "outbox": 1, "detector": {"ms_p50": None}, "rss_bytes": 5e8,
        "cameras": {"six": {"status": "offline", "problem": "rtsp://[fd00::1]/1: no answer"}},
        "watches": {"sign": {"prompts": ["a [/] sign", ":car:"], "enabled": True, "open": {}}},
        "problems": ["c.yaml:1:1: [/]: unknown key"],
    }  # fmt: skip
    show(document, Console(width=100))
    screen = capsys.readouterr().out
    for text in (
        "running for 1:01:40", "/etc/[red]/config.yaml",
        "/srv/[x]/a.pt: nothing analysed yet, 500 MB of memory",
        "broker [fd00::2]:1883: not connected, 1 alert waiting", "rtsp://[fd00::1]/1: no answer",
        "a [/] sign, :car:", "c.yaml:1:1: [/]: unknown key",
    ):  # fmt: skip
        assert text in screen
    assert "second looks" not in screen


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (
            {"looks": 9, "confirmed": 7, "failed": 0, "held_back": 1, "ms_p50": 4.2, "ms_p95": 5.0},
            "second looks: 9, of which 7 confirmed; alerts held back: 1",
        ),
        (
            {
                **{"looks": 0, "confirmed": 0, "failed": 2, "held_back": 2},
                **{"ms_p50": None, "ms_p95": None},
            },
            "second looks: 0, of which 0 confirmed, 2 could not be taken; alerts held back: 2",
        ),
    ],
)
def test_second_looks_are_on_the_screen_where_there_were_any(
    capsys: pytest.CaptureFixture[str], counts: dict[str, Any], said: str
) -> None:
    document = {
        "version": "1.0", "config": "c", "uptime_s": 1, "model": "toybox", "outbox": 0,
        "broker": {"address": "a:1", "connected": True}, "detector": {"ms_p50": 5.0},
        "rss_bytes": 5e8, "cameras": {}, "watches": {}, "problems": [], "second_looks": counts,
    }  # fmt: skip
    show(document, Console(width=100))
    assert said in capsys.readouterr().out


def test_what_the_gate_and_the_detector_do_is_on_the_screen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asleep = {"analysed": 150, "gated": 800, "dropped": 50, "restless": None}
    restless = {"analysed": 1000, "gated": 0, "dropped": 0, "restless": [0.125, 0.5, 0.25, 1.0]}
    document = {
        "version": "1.0", "config": "c", "uptime_s": 1, "model": "toybox", "outbox": 0,
        "broker": {"address": "a:1", "connected": True},
        "detector": {"ms_p50": 5.0, "share": 0.613}, "rss_bytes": 5e8, "watches": {},
        "problems": [], "cameras": {
            "yard": {"status": "online", "problem": None, "fps": 0.5, "age_s": 0.1, **asleep},
            "tree": {"status": "online", "problem": None, "fps": 5.0, "age_s": 0.1, **restless},
        },
    }  # fmt: skip
    show(document, Console(width=100))
    screen = capsys.readouterr().out
    assert "toybox: 5 ms a batch, 61% of the frames it should take, 500 MB" in screen
    assert re.search(r"yard +online +0\.5 +80% +0\.1 s", screen)
    assert re.search(r"tree +online +5 +0\.1 s", screen)
    assert (
        "tree never sleeps: something moves all the time between [0.12, 0.5] and [0.25, 1]. If"
        " nothing there matters, put that part into its `ignore`." in screen
    )
    assert "yard never sleeps" not in screen


def test_what_is_learnt_is_on_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    def watch(**learnt: Any) -> dict[str, Any]:
        plain = {"confidence": 0.3, "confidence_by_camera": {}, "suggested_confidence": None}
        return {"prompts": ["x"], "enabled": True, "open": {}, **plain, **learnt}

    pair = {
        "camera": "yard", "watch": "giraffe", "prompt": "giraffe", "other_watch": "plants",
        "other_prompt": "potted plant", "times": 5, "of": 5, "confidence": 0.34,
        "other_confidence": 0.77, "settled_by": "potted plant",
    }  # fmt: skip
    document = {
        "version": "1.0", "config": "c", "uptime_s": 1, "model": "toybox", "outbox": 0,
        "broker": {"address": "a:1", "connected": True}, "detector": {"ms_p50": 5.0},
        "rss_bytes": 5e8, "cameras": {}, "problems": [],
        "watches": {
            "fixed": watch(),
            "known": watch(suggested_confidence=0.42),
            "same": watch(confidence_by_camera={"a": 0.35, "b": 0.35}, suggested_confidence=0.42),
            "apart": watch(confidence_by_camera={"a": 0.35, "b": 0.3}),
        },
        "together": [pair, {**pair, "watch": "plants", "settled_by": None}],
    }  # fmt: skip
    show(document, Console(width=100))
    screen = capsys.readouterr().out
    assert re.search(r"fixed +x +0\.3 *\n", screen)
    assert re.search(r"known +x +0\.3, suggested 0\.42", screen)
    assert re.search(r"same +x +0\.35, learnt", screen)
    assert re.search(r"apart +x +0\.3 to 0\.35, learnt", screen)
    assert (
        'giraffe on yard: 5 of 5 alerts lay on what "potted plant" of plants found more surely'
        " (0.77 against 0.34). If they were wrong, write `not: potted plant` into watches.giraffe."
    ) in screen
    assert screen.count("alerts lay on") == 1


def test_a_silent_daemon_times_out_and_a_missing_one_gives_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamwatch.status.socket.PATIENCE_SECONDS", 0.2)
    path = tmp_path / "s"
    assert ask([path]) is None
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(TimeoutError):
            ask([path])
    assert ask([path]) is None  # as after a kill: the socket file is left behind


# --- the whole daemon ----------------------------------------------------------------------------


def settings(broker: Mosquitto, port: int) -> dict[str, Any]:
    return {
        "mqtt": {"host": broker.host, "port": broker.port},
        "detector": {"model": "toybox"},
        "cameras": {
            "street": {"url": str(STREET_CLIP), "loop": True},
            "gate": {"url": f"rtsp://me:s3cr3t@127.0.0.1:{free_port()}/stream"},
            "shed": {"url": "2", "enabled": False},
        },
        "watches": {
            "car": {"prompt": "red car", "second_look": "require"},
            "dog": {"prompt": "dog", "enabled": False},
        },
        "http": {"port": port},
    }


def test_health_metrics_and_status_of_a_daemon(
    tmp_path: Path, start_mosquitto: StartMosquitto
) -> None:
    broker: Mosquitto = start_mosquitto()
    port = free_port()
    tree = settings(broker, port)
    with (
        Subscriber(broker.port, "streamwatch/#") as subscriber,
        Daemon(tmp_path, tree) as daemon,
    ):
        subscriber.wait_for_payload("streamwatch/state/street/car", b"ON", PATIENCE_SECONDS)
        subscriber.wait_for(lambda _: subscriber.of("streamwatch/errors"), 30)
        assert get(port, "/healthz") == (200, "ok\n")
        assert get(port, "/readyz") == (200, "ok\n")
        code, metrics = get(port, "/metrics")
        assert code == 200
        assert value(metrics, 'streamwatch_camera_online{camera="street"}') == 1
        assert value(metrics, 'streamwatch_camera_online{camera="gate"}') == 0
        analysed = value(metrics, 'streamwatch_camera_frames_analysed_total{camera="street"}')
        assert 0 < analysed <= value(metrics, 'streamwatch_camera_frames_total{camera="street"}')
        batches = value(metrics, "streamwatch_inference_seconds_count")
        assert value(metrics, 'streamwatch_inference_seconds_bucket{le="+Inf"}') == batches > 0
        confirmed = value(metrics, "streamwatch_second_looks_confirmed_total")
        assert 1 <= confirmed <= value(metrics, "streamwatch_second_look_seconds_count")
        assert value(metrics, "streamwatch_second_looks_failed_total") == 0
        told = re.findall(r"^streamwatch_events_total\S+ (\S+)$", metrics, re.MULTILINE)
        latencies = value(metrics, "streamwatch_capture_to_publish_seconds_count")
        assert 0 < latencies <= sum(float(count) for count in told)
        assert value(metrics, "streamwatch_alerts_dropped_total") == 0
        assert value(metrics, "streamwatch_alerts_expired_total") == 0
        assert value(metrics, "streamwatch_config_taken_over") == 1
        new = 'streamwatch_events_total{camera="street",type="new",watch="car"}'
        assert value(metrics, new) == 1
        assert value(metrics, "streamwatch_mqtt_connected") == 1
        assert value(metrics, "process_resident_memory_bytes") > 1e8

        exit_code, screen, _ = status(tmp_path, "-c", str(daemon.config))
        assert exit_code == 1  # a camera is offline
        assert re.search(r"street +online", screen)
        assert re.search(r"gate +offline .*nothing listens there", screen)
        assert re.search(r"shed +disabled", screen)
        assert re.search(r"car +red car +0\.3 +street", screen)
        assert re.search(r"dog +dog +0\.3 +disabled", screen)
        exit_code, document, _ = status(tmp_path, "--json", "-c", str(daemon.config))
        assert exit_code == 1
        assert "s3cr3t" not in metrics + screen + document
        told_now = json.loads(document)
        assert told_now["broker"] == {
            "address": f"{broker.host}:{broker.port}", "connected": True,
        }  # fmt: skip
        assert told_now["watches"]["car"]["open"] == {"street": 1}

        daemon.process.send_signal(signal.SIGSTOP)
        exit_code, _, said = status(tmp_path, "-c", str(daemon.config))
        daemon.process.send_signal(signal.SIGCONT)
        assert (exit_code, said) == (
            1, f"streamwatch: the daemon of {daemon.config} runs, and does not answer\n",
        )  # fmt: skip

        daemon.config.write_text(yaml.safe_dump({**tree, "watch": {}, "camera": {}}))
        daemon.wait_for_log("what ran before goes on")
        assert value(get(port, "/metrics")[1], "streamwatch_config_taken_over") == 0
        screen = status(tmp_path, "-c", str(daemon.config))[1]
        assert screen.count("what ran before goes on") == 1
        assert "(the first of 2 mistakes)" in screen

        elsewhere = free_port()
        tree["http"]["port"] = elsewhere
        del tree["cameras"]["gate"]
        daemon.config.write_text(yaml.safe_dump(tree))
        daemon.wait_for_log("live after")
        assert get(elsewhere, "/healthz") == (200, "ok\n")
        assert value(get(elsewhere, "/metrics")[1], "streamwatch_config_taken_over") == 1
        with pytest.raises(urllib.error.URLError):
            get(port, "/healthz")
        assert status(tmp_path, "-c", str(daemon.config))[0] == 0
        assert daemon.terminate() == 0
    exit_code, _, said = status(tmp_path, "-c", str(daemon.config))
    assert (exit_code, said) == (
        3, f"streamwatch: no daemon is running with {daemon.config}\n",
    )  # fmt: skip


def test_a_daemon_with_a_taken_http_port_still_sends_alerts(
    tmp_path: Path, start_mosquitto: StartMosquitto
) -> None:
    broker: Mosquitto = start_mosquitto()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        tree = settings(broker, port)
        del tree["cameras"]["gate"]
        problem = f"http.port: can't listen on 127.0.0.1:{port} (address already in use)"
        with (
            Subscriber(broker.port, "streamwatch/#") as subscriber,
            Daemon(tmp_path, tree) as daemon,
        ):
            subscriber.wait_for_payload("streamwatch/state/street/car", b"ON", PATIENCE_SECONDS)
            (error,) = subscriber.of("streamwatch/errors")
            assert error.json["message"] == problem
            assert subscriber.of("streamwatch/info")[-1].json["problems"] == [error.json]
            exit_code, screen, _ = status(tmp_path, "-c", str(daemon.config))
            assert (exit_code, screen.count(problem)) == (1, 1)
            other.close()
            daemon.wait_for_log(f"listening on http://127.0.0.1:{port}")
            assert get(port, "/healthz") == (200, "ok\n")
            subscriber.wait_for(
                lambda _: not subscriber.of("streamwatch/info")[-1].json["problems"], 10
            )
            assert status(tmp_path, "-c", str(daemon.config))[0] == 0
