"""`streamwatch status`, as people see it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table


def show(standing: Mapping[str, Any], console: Console) -> None:
    broker = standing["broker"]
    connected = "connected" if broker["connected"] else "[red]not connected[/]"
    uptime = timedelta(seconds=int(standing["uptime_s"]))
    console.print(f"streamwatch {standing['version']}, running for {uptime}", highlight=False)
    console.print(f"[dim]{standing['config']}[/]", soft_wrap=True)
    console.print(
        f"broker {broker['address']}: {connected}, {standing['outbox']} alerts waiting\n"
        f"detector {standing['model']}: {_ms(standing['detector']['ms_p50'])} a batch, "
        f"{standing['rss_bytes'] / 1e6:.0f} MB of memory\n"
    )
    cameras = _table("camera", "status", "fps", "age", "problem")
    for name, camera in standing["cameras"].items():
        colour = {"online": "green", "offline": "red"}.get(camera["status"], "dim")
        fps, age = camera.get("fps"), camera.get("age_s")
        cameras.add_row(
            name,
            f"[{colour}]{camera['status']}[/]",
            "" if fps is None else f"{fps:g}",
            "" if age is None else f"{age:.1f} s",
            camera["problem"] or "",
        )
    console.print(cameras)
    watches = _table("watch", "prompts", "there now")
    for name, watch in standing["watches"].items():
        there = ", ".join(
            camera if count == 1 else f"{camera} ({count})"
            for camera, count in watch["open"].items()
        )
        prompts = ", ".join(watch["prompts"])
        watches.add_row(name, prompts, there if watch["enabled"] else "[dim]disabled[/]")
    console.print(watches)
    for problem in standing["problems"]:
        console.print(f"[red]{problem}[/]", soft_wrap=True)


def is_well(standing: Mapping[str, Any]) -> bool:
    """Whether nothing is wrong that a person might want to do something about."""
    return (
        not standing["problems"]
        and standing["broker"]["connected"]
        and all(camera["status"] != "offline" for camera in standing["cameras"].values())
    )


def _ms(value: float | None) -> str:
    return "nothing analysed yet" if value is None else f"{value:.0f} ms"


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in headings:
        table.add_column(heading)
    return table
