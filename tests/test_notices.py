"""Notices of a real daemon to a server standing for ntfy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.parts.command import run_here
from tests.parts.daemon import PATIENCE_SECONDS, Daemon
from tests.parts.mosquitto import StartMosquitto, Subscriber
from tests.parts.ntfy import NtfyServer
from tests.test_end_to_end import alerts_among, config

pytestmark = pytest.mark.slow(seconds=20)


def status(daemon: Daemon, *options: str) -> str:
    """What `streamwatch status` prints."""
    return run_here(daemon.folder, "status", *options, "-c", daemon.config).stdout


def test_alerts_become_notices_through_an_outage_a_kill_and_an_edit(
    tmp_path: Path, start_mosquitto: StartMosquitto
) -> None:
    broker = start_mosquitto()
    first, second = NtfyServer(), NtfyServer()
    street = {"url": "bundled:street", "loop": True, "name": "Our street"}
    settings = config(broker, {"street": street}, "red car", "dog")
    notice = {"url": "${file:url}", "watches": ["red-car"], "template": "{camera} {watch} {id}"}
    settings["notify"] = [notice]
    (tmp_path / "url").write_text(first.url("hidden-topic"))
    with Subscriber(broker.port, "streamwatch/#") as subscriber:
        daemon = Daemon(tmp_path, settings)

        def wanted() -> list[str]:
            return [
                f"Our street red-car {event['id']}"
                for event in alerts_among(subscriber.received)
                if event["type"] == "new" and event["watch"] == "red-car"
            ]

        def problems() -> list[str]:
            return [each.json["message"] for each in subscriber.of("streamwatch/errors")]

        with daemon:  # the service is down
            subscriber.wait_for(lambda _: wanted(), PATIENCE_SECONDS)
            subscriber.wait_for(lambda _: problems(), PATIENCE_SECONDS)
            (service,) = json.loads(status(daemon, "--json"))["notices"]
            assert service["label"] == "notify[0] (ntfy)"
            assert service["waiting"] >= 1
            shown = status(daemon)
            assert "notices to notify[0] (ntfy): 0 sent, " in shown
            assert "hidden-topic" not in shown
            daemon.process.kill()
            daemon.wait()
        assert len(problems()) == 1
        assert problems()[0].startswith("notices to notify[0] (ntfy) wait: ")

        with first, second, daemon:  # it is up again
            first.wait_for(lambda: first.texts("hidden-topic"), PATIENCE_SECONDS)
            told = first.texts("hidden-topic")
            assert told == wanted()[: len(told)]
            picture = first.told[0].picture
            assert picture is not None
            assert picture.startswith(b"\xff\xd8")

            settings["notify"] = [{**notice, "url": second.url("other")}]
            daemon.config.write_text(yaml.safe_dump(settings, sort_keys=False))
            daemon.wait_for_log("notify changed")
            second.wait_for(lambda: second.texts("other"), PATIENCE_SECONDS)
            assert daemon.terminate() == 0
        told = [*first.texts("hidden-topic"), *second.texts("other")]
        assert told == wanted()
        everything = daemon.log + "".join(str(each) for each in subscriber.received)
        assert "hidden-topic" not in everything
        assert "Traceback" not in daemon.log
