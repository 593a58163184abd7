"""The output of `streamwatch status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_COLOURS = {"online": "green", "offline": "red", "disabled": "dim"}


def show(document: Mapping[str, Any], console: Console) -> None:
    """Print it as `Text`, never markup, since addresses and prompts may hold brackets."""
    broker = document["broker"]
    uptime = timedelta(seconds=int(document["uptime_s"]))
    _line(console, f"streamwatch {document['version']}, running for {uptime}")
    _line(console, document["config"], style="dim")
    connected = Text("connected") if broker["connected"] else Text("not connected", style="red")
    outbox = document["outbox"]
    waiting = f", {outbox} alert{'' if outbox == 1 else 's'} waiting"
    console.print(Text.assemble(f"broker {broker['address']}: ", connected, waiting))
    _line(
        console,
        f"detector {document['model']}: {_speed(document['detector']['ms_p50'])}, "
        f"{_share(document['detector'].get('share'))}"
        f"{document['rss_bytes'] / 1e6:.0f} MB of memory",
    )
    # A daemon that was started before an upgrade does not tell them.
    _line(console, _looks(document.get("second_looks", {})))
    for service in document.get("notices", ()):
        _line(console, _notices(service), style="red" if service["problem"] else "")
    if workers := document.get("workers"):
        _show_workers(workers, console)
    cameras = table("camera", "status", "fps", "asleep", "age", "problem")
    for name, camera in document["cameras"].items():
        fps, age = camera.get("fps"), camera.get("age_s")
        cameras.add_row(
            name,
            Text(camera["status"], style=_COLOURS[camera["status"]]),
            "" if fps is None else f"{fps:g}",
            _asleep(camera),
            "" if age is None else f"{age:.1f} s",
            Text(camera["problem"] or ""),
        )
    console.print(cameras)
    for name, camera in document["cameras"].items():
        if part := camera.get("restless"):
            _line(console, _restless(name, part))
    watches = table("watch", "prompts", "confidence", "there now")
    for name, watch in document["watches"].items():
        there = ", ".join(
            camera if count == 1 else f"{camera} ({count})"
            for camera, count in watch["open"].items()
        )
        now = Text(there) if watch["enabled"] else Text("disabled", style="dim")
        watches.add_row(name, Text(", ".join(watch["prompts"])), _needed(watch), now)
    console.print(watches)
    for pair in document.get("together", ()):
        if pair["settled_by"] is not None:
            _line(console, together(pair))
    for problem in document["problems"]:
        _line(console, problem, style="red")


def _show_workers(workers: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """The machines of a fleet."""
    shown = table("worker", "state", "cameras", "node", "runs on")
    for name, worker in workers.items():
        state = Text(worker["state"], style="green" if worker["state"] == "ready" else "red")
        shown.add_row(name, state, str(worker["cameras"]), worker["node"], worker["hardware"])
    console.print(shown)


def is_well(document: Mapping[str, Any]) -> bool:
    """Whether there is no problem that a person should look at."""
    return (
        not document["problems"]
        and document["broker"]["connected"]
        and all(camera["status"] != "offline" for camera in document["cameras"].values())
        and all(worker["state"] == "ready" for worker in document.get("workers", {}).values())
    )


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)


def _speed(batch_ms: float | None) -> str:
    return "nothing analysed yet" if batch_ms is None else f"{batch_ms:.0f} ms a batch"


def _share(share: float | None) -> str:
    """How much of what it should look at the detector does; empty where that is all of it."""
    return "" if share is None or share >= 0.995 else f"{share:.0%} of the frames it should take, "


def _asleep(camera: Mapping[str, Any]) -> str:
    """The share of a camera's due frames since the start in which nothing moved."""
    due = sum(camera.get(key, 0) for key in ("gated", "analysed", "dropped"))
    return f"{camera['gated'] / due:.0%}" if due and camera["gated"] else ""


def _restless(camera: str, part: Sequence[float]) -> str:
    left, top, right, bottom = (f"{share:.2g}" for share in part)
    return (
        f"{camera} never sleeps: something moves all the time between [{left}, {top}] and"
        f" [{right}, {bottom}]. If nothing there matters, put that part into its `ignore`.\n"
    )


def _needed(watch: Mapping[str, Any]) -> str:
    """The confidence that a watch needs, and the one that what it saw suggests."""
    if "confidence" not in watch:
        return ""
    learnt = sorted(set(watch["confidence_by_camera"].values()))
    if learnt:
        span = f"{learnt[0]:.2g}" if len(learnt) == 1 else f"{learnt[0]:.2g} to {learnt[-1]:.2g}"
        return f"{span}, learnt"
    suggested = watch["suggested_confidence"]
    hint = "" if suggested is None else f", suggested {suggested:.2g}"
    return f"{watch['confidence']:.2g}{hint}"


def together(pair: Mapping[str, Any]) -> str:
    """What to do about alerts that lie on what another watch found."""
    return (
        f"{pair['watch']} on {pair['camera']}: {pair['times']} of {pair['of']} alerts lay on what"
        f' "{pair["other_prompt"]}" of {pair["other_watch"]} found more surely'
        f" ({pair['other_confidence']:.2f} against {pair['confidence']:.2f}). If they were wrong,"
        f" write `not: {pair['settled_by']}` into watches.{pair['watch']}.\n"
    )


def _looks(counts: Mapping[str, Any]) -> str:
    """What second looks did; empty if there were none."""
    if not any(counts.values()):
        return ""
    failed = f", {counts['failed']} could not be taken" if counts["failed"] else ""
    return (
        f"second looks: {counts['looks']}, of which {counts['confirmed']} confirmed{failed}; "
        f"alerts held back: {counts['held_back']}\n"
    )


def _notices(service: Mapping[str, Any]) -> str:
    given_up = f", {service['given_up']} dropped" if service["given_up"] else ""
    why = f" ({service['problem']})" if service["problem"] else ""
    return (
        f"notices to {service['label']}: {service['sent']} sent, {service['waiting']} waiting"
        f"{why}{given_up}\n"
    )


def table(*headings: str) -> Table:
    empty = Table(box=box.SIMPLE_HEAD)
    for heading in headings:
        empty.add_column(heading)
    return empty
