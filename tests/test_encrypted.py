"""The daemon and the demo with all connections encrypted."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamwatch.tls import client_context
from tests.parts import IMAGE_SIZE, STREET_CLIP
from tests.parts.certificates import Authority
from tests.parts.daemon import PATIENCE_SECONDS, Daemon, private_environment
from tests.parts.mosquitto import Mosquitto, StartMosquitto, Subscriber
from tests.parts.rtsp import RtspServer

pytestmark = pytest.mark.slow(seconds=30)

PASSWORD = "p@ss:w/ord#%?&"
TRUCK = "streamwatch/events/{}/truck"


@pytest.fixture
def broker(start_mosquitto: StartMosquitto, authority: Authority) -> Mosquitto:
    return start_mosquitto(certificate=authority.issue("broker"), clients=authority.ca)


@pytest.fixture
def configuration(
    broker: Mosquitto, authority: Authority, tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """A configuration that watches for trucks, with its certificates beside it."""
    client = authority.issue("client")
    (tmp_path / "ca.pem").write_bytes(authority.ca.read_bytes())
    (tmp_path / "client.pem").write_bytes(client.path.read_bytes() + client.key.read_bytes())

    def made(**camera: Any) -> dict[str, Any]:
        return {
            "mqtt": {
                "host": "localhost",
                "port": broker.port,
                "tls": {"ca": "ca.pem", "certificate": "client.pem"},
            },
            "detector": {"model": "toybox", "device": "cpu", "image_size": IMAGE_SIZE},
            "cameras": {"street": camera},
            "watches": {"truck": {"prompt": "truck"}},
        }

    return made


def test_alerts_of_an_rtsps_camera_arrive_over_mqtt_with_tls(
    tmp_path: Path,
    broker: Mosquitto,
    authority: Authority,
    rtsp_server: Callable[..., RtspServer],
    configuration: Callable[..., dict[str, Any]],
) -> None:
    camera = rtsp_server(
        clip=STREET_CLIP, certificate=authority.issue("camera"), user="me", password=PASSWORD
    )
    settings = configuration(url=camera.url, username="me", password=PASSWORD)
    client = authority.issue("witness")
    tls = client_context(authority.ca, client.path, client.key)
    with Subscriber(broker.port, tls=tls) as subscriber, Daemon(tmp_path, settings) as daemon:
        topic = TRUCK.format("street")
        subscriber.wait_for(lambda _: subscriber.of(topic), PATIENCE_SECONDS)
        assert subscriber.of(topic)[0].json["type"] == "new"
        assert daemon.terminate() == 0
        subscriber.wait_for_payload("streamwatch/status", b"offline")
    (warning,) = [line for line in daemon.log.splitlines() if "WARNING" in line]
    assert "toybox knows drawn scenes only" in warning  # it can't know that this is no real camera
    assert "p@ss" not in daemon.log
    assert "p%40ss" not in daemon.log


def test_the_demo_receives_events_over_tls(
    tmp_path: Path, configuration: Callable[..., dict[str, Any]]
) -> None:
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump(configuration(url="bundled:street", pace=False, fps=2))
    )
    done = subprocess.run(
        [sys.executable, "-m", "streamwatch", "demo", "-c", "config.yaml"],
        cwd=tmp_path,
        env={**private_environment(tmp_path), "COLUMNS": "100", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = [line for line in done.stdout.splitlines() if re.match(r" *[0-9.]+ s ", line)]
    assert "truck" in row
