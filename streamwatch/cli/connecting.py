"""The output of `streamwatch check --connect`: what the cameras and the broker answer."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from streamwatch.cli.output import say
from streamwatch.config import Config, config_hash
from streamwatch.errors import StreamwatchError
from streamwatch.paths import status_sockets
from streamwatch.publisher import try_broker
from streamwatch.source import Found, Trial, no_clips, unfit_codec
from streamwatch.status.socket import ask


def show_answers(config: Config, path: Path) -> bool:
    """Print a line for each camera and some for the broker; whether all is well.

    Where a daemon runs with the file at `path` it is what answers, and nothing is opened a second
    time. Raises StreamwatchError if that can't be asked.
    """
    running = _running(path)
    all_well = True
    for line, is_well in _tried(config) if running is None else _told(config, running):
        say(line, indent="  ", color=None if is_well else typer.colors.RED)
        all_well = all_well and is_well
    return all_well


def _running(path: Path) -> Mapping[str, Any] | None:
    """The status document of the daemon that runs with this file, if one does."""
    try:
        return ask(status_sockets(path))
    except PermissionError:
        raise StreamwatchError(f"the daemon of {path} is another user's; try sudo") from None
    except TimeoutError:
        raise StreamwatchError(f"the daemon of {path} runs, and does not answer") from None


def _tried(config: Config) -> Iterator[tuple[str, bool]]:
    # What is logged meanwhile is in the lines; without a handler it would be on stderr too.
    logging.getLogger("streamwatch").addHandler(logging.NullHandler())
    trials = {
        name: Trial(name, camera) if camera.enabled else None
        for name, camera in config.cameras.items()
    }
    for name, trial in trials.items():
        if trial is None:
            yield f"camera {name}: disabled, and not tried", True
            continue
        result = trial.result()
        said = result if isinstance(result, str) else _picture(result)
        yield f"camera {name}: {said}", isinstance(result, Found)
        if isinstance(result, Found) and (unfit := _without_clips(config, name, result)):
            yield f"camera {name}: {unfit}", False
    if config.mqtt.embedded:
        yield "broker: it is inside, and starts with the daemon", True
        return
    found, wrong = try_broker(config.mqtt)
    for line in found:
        yield line, True
    for line in wrong:
        yield line, False


def _picture(found: Found) -> str:
    width, height = found.size
    rate = "too few frames to tell their rate" if found.fps is None else f"{found.fps:.3g} fps"
    after = f"after {found.first_seconds:.1f} s"
    return f"first frame, {width}x{height}, {found.codec}, {after}; {rate}"


def _without_clips(config: Config, camera: str, found: Found) -> str | None:
    """Why the clips that are asked for can't be made, if they can't."""
    asked = any(watch.clip for watch in config.watches_of(camera).values())
    unfit = unfit_codec(found.codec) if asked and not config.clips.encode else None
    return unfit and no_clips(unfit)


def _told(config: Config, running: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    yield "The daemon that runs with this file answers; nothing is opened a second time.", True
    if running["config_hash"] != config_hash(config):
        yield "It runs with other settings than the file has, by commands or for a mistake.", True
    for name in config.cameras:
        camera = running["cameras"].get(name)
        if camera is None:
            yield f"camera {name}: the daemon does not have it", False
            continue
        state = camera["status"]
        problem = f" ({camera['problem'] or 'no frame yet'})" if state == "offline" else ""
        yield f"camera {name}: {state}{problem}", state != "offline"
    broker = running["broker"]
    state = "connected" if broker["connected"] else "not connected; the log of the daemon tells why"
    where = "inside" if config.mqtt.embedded else broker["address"]
    yield f"broker {where}: {state}", broker["connected"]
    for problem in running["problems"]:
        yield problem, False
