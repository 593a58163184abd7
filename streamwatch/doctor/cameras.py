"""What the cameras answer: to the running daemon, or opened for this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from streamwatch.config import Config, config_hash
from streamwatch.doctor.check import Check, Installation
from streamwatch.source import Found, Trial

AREA = "cameras"
Trials = Mapping[str, Trial]


def begun(config: Config) -> Trials:
    """All enabled cameras, being opened."""
    return {name: Trial(name, camera) for name, camera in config.cameras.items() if camera.enabled}


def checks(case: Installation, trials: Trials | None) -> Iterator[Check]:
    if case.config is None:
        return
    if case.running is not None:
        yield from _told(case.config, case.running)
        return
    for name, camera in case.config.cameras.items():
        if not camera.enabled:
            yield Check(AREA, name, None, "disabled, and not tried")
        elif trials is not None:
            yield _tried(name, trials[name].result())


def _tried(name: str, result: Found | str) -> Check:
    if isinstance(result, str):
        return Check(AREA, name, False, result, _remedy(name, result))
    width, height = result.size
    rate = "too few frames to tell their rate" if result.fps is None else f"{result.fps:.3g} fps"
    return Check(AREA, name, True, f"{width}x{height}, {result.codec}, {rate}")


def _remedy(name: str, said: str) -> str:
    key = f"cameras.{name}"
    if "password" in said:
        return f"correct the login in {key}.url, or {key}.username and .password"
    if "permission" in said.lower():
        return "let the user that runs this open it; for /dev/video that is the group video"
    return f"see that it is switched on and reachable, and that {key}.url is right"


def _told(config: Config, running: Mapping[str, Any]) -> Iterator[Check]:
    if running["config_hash"] != config_hash(config):
        said = "the running daemon has other settings than the file, by commands or for a mistake"
        yield Check("daemon", "", None, said)
    for name in config.cameras:
        camera = running["cameras"].get(name)
        if camera is None:
            do = "correct the file, or wait until it is taken over"
            yield Check(AREA, name, False, "the running daemon does not have it", do)
        elif camera["status"] == "offline":
            said = camera["problem"] or "no frame yet"
            yield Check(AREA, name, False, f"offline: {said}", _remedy(name, said))
        elif camera["status"] == "online":
            fps = camera.get("fps")
            rate = "" if fps is None else f", {fps:g} fps analysed"
            yield Check(AREA, name, True, f"online{rate}")
        else:
            yield Check(AREA, name, None, camera["status"])
    for problem in running["problems"]:
        do = "`streamwatch status` shows it, and the log tells more"
        yield Check("daemon", "", False, problem, do)
