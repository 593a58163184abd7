"""What `streamwatch try` shows: alerts as they come, and what to make of them at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamwatch.cli.plots import show_histogram
from streamwatch.cli.status import table
from streamwatch.config import listing
from streamwatch.tuning.footage import clip_time, slug

PLOT_ROWS = 4
MOST_TIMES = 12
"""Of alerts that one threshold gives; more are counted."""
MOST_MISSES = 5
MOST_UNREADABLE = 5


def hit(watch: str, prompt: str, confidence: float, where: str, *, wide: bool) -> Text:
    """A line for an alert; `where` is the time or the picture."""
    line = Text(f"{where:>9}  ", style="bold green")
    line.append(f"{confidence:4.2f}  ", style="default")
    line.append(prompt, style="default")
    if wide and slug(prompt) != watch:
        line.append(f"  {watch}", style="dim")
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def summary(document: Mapping[str, Any], console: Console) -> None:
    """Print what a trial has found."""
    many = len(document["footage"]) > 1
    seen = any(run["frames"] for run in document["footage"])
    for name, watch in document["watches"].items() if seen else ():
        console.print()
        _head(console, name, watch)
        if sum(each["found"] for each in watch["detections"].values()):
            _plot(console, watch)
            console.print(_sweep(watch, many))
        for line in _said(watch, many):
            console.print(line, soft_wrap=not console.is_terminal)
    console.print()
    for run in document["footage"]:
        for line in _how_it_went(run, document):
            console.print(line, soft_wrap=not console.is_terminal)


def _head(console: Console, name: str, watch: Mapping[str, Any]) -> None:
    told = len(watch["visits"])
    line = Text(name, style="bold")
    line.append(f": {told} alert{'' if told == 1 else 's'}", style="bold")
    line.append(f" at {watch['confidence']:.2f}")
    held = watch["held_back"]
    if held:
        line.append(f", {held} held back by a second look")
    console.print(line)
    for prompt, found in watch["detections"].items():
        if found["found"]:
            often = f"found {_count(found['found'])}, sure enough {_count(found['sure_enough'])}"
            said = f"{often}; the surest {found['surest']:.2f}"
        else:
            said = "never found, not even a little"
        console.print(Text(f"  {prompt}: {said}"), style="dim")


def _plot(console: Console, watch: Mapping[str, Any]) -> None:
    needed, suggested = watch["confidence"], watch["suggested"]
    instead = None if suggested is None else suggested["confidence"]
    if instead is not None and abs(instead - needed) < 0.02:
        instead = None
    of_prompts = (found["histogram"] for found in watch["detections"].values())
    counts = [sum(bins) for bins in zip(*of_prompts, strict=True)]
    show_histogram(console, counts, needed, instead, rows=PLOT_ROWS)


def _sweep(watch: Mapping[str, Any], many: bool) -> Table:
    """A row for each range of thresholds that give the same alerts."""
    judged = watch["best"] is not None
    columns = ["needed", "alerts", *(["precision", "recall"] if judged else []), "when"]
    rows = table(*columns)
    for column in rows.columns[:-1]:
        column.justify, column.no_wrap = "right", True
    rows.columns[-1].overflow = "ellipsis"
    rows.columns[-1].no_wrap = True
    own = watch["confidence"]
    by_alerts = groupby(
        watch["sweep"], key=lambda row: (row["alerts"], row.get("precision"), row.get("recall"))
    )
    for (places, precision, recall), group in by_alerts:
        same = [row["confidence"] for row in group]
        is_own = same[0] <= own <= same[-1]
        span = f"{same[0]:.2f}" if len(same) == 1 else f"{same[0]:.2f}-{same[-1]:.2f}"
        shares = [_share(precision), _share(recall)] if judged else []
        when = _times([watch["alerts"][place] for place in places], many)
        rows.add_row(
            Text(f"{'> ' if is_own else ''}{span}", style="bold" if is_own else ""),
            str(len(places)),
            *shares,
            Text(when),
        )
    return rows


def _times(alerts: Sequence[Mapping[str, Any]], many: bool) -> str:
    shown = [where(alert, many) for alert in alerts[:MOST_TIMES]]
    more = len(alerts) - len(shown)
    return ", ".join([*shown, f"and {more} more"] if more else shown)


def where(found: Mapping[str, Any], many: bool) -> str:
    """When or in which picture something was found."""
    if "picture" in found:
        return str(found["picture"]).rpartition("/")[2]
    if found["position"] is None:
        return time_of_day(datetime.fromisoformat(found["captured_at"]))
    time = clip_time(found["position"])
    return f"{found['footage']} {time}" if many else time


def time_of_day(moment: datetime) -> str:
    """In the time zone of this machine."""
    return moment.astimezone().strftime("%H:%M:%S")


def _count(times: int) -> str:
    return "once" if times == 1 else f"{times:,} times"


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2f}"


def _said(watch: Mapping[str, Any], many: bool) -> Iterator[Text]:
    """Sentences on the threshold, on what beats it and on what was not told."""
    suggested, best = watch["suggested"], watch["best"]
    if suggested is not None:
        count = suggested["alerts"]
        noun = "alert" if count == 1 else "alerts"
        said = f"From {suggested['from']:.2f} to {suggested['to']:.2f} it gives {count} {noun}"
        yield Text(f"  {said}: {suggested['confidence']:.2f} lies well in between.")
    if best is not None:
        shares = ", ".join(
            f"{name} {best[name]:.2f}" for name in ("precision", "recall") if best[name] is not None
        )
        if best["right"] + best["missed"]:
            yield Text(f"  Best by what is true: {best['confidence']:.2f} ({shares}).")
        else:
            yield Text("  By what is true, nothing of it is there.")
    if watch["beaten_by"]:
        named = (f"{prompt} ({_count(times)})" for prompt, times in watch["beaten_by"].items())
        yield Text(f"  Beaten by {listing(named, 'and')}.")
    for pair in watch["together"]:
        said = (
            f"  {pair['other_prompt']} lay on {pair['times']} of its {pair['of']} alerts"
            f" ({pair['other_confidence']:.2f} to its {pair['confidence']:.2f})"
        )
        settled = pair["settled_by"]
        yield Text(f"{said}; `not: [{settled}]` would settle it." if settled else f"{said}.")
    misses = watch["near_misses"]
    if misses:
        yield Text("  Not told, the surest first:")
    for miss in misses[:MOST_MISSES]:
        yield Text(
            f"    {where(miss, many)}  {miss['prompt']} {miss['confidence']:.2f}: {miss['reason']}"
        )
    if len(misses) > MOST_MISSES:
        yield Text(f"    and {len(misses) - MOST_MISSES} more", style="dim")


def _how_it_went(run: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Text]:
    looked_at = f"{run['title']}: {run['frames']:,} frames"
    if run["kind"] == "pictures":
        looked_at = run["title"]
    by = f"{document['model']} on {document['device']} ({document['backend']})"
    if run["frames"]:
        speed = ""
        if run["kind"] == "clip" and run["seconds"] and run["took_seconds"]:
            speed = f", {run['seconds'] / run['took_seconds']:.1f} times as fast as it plays"
        yield Text(
            f"{looked_at} in {run['took_seconds']:.1f} s"
            f" ({run['detector_ms']:.0f} ms each in the detector{speed}); {by}",
            style="dim",
        )
    if run["frames"] and not run["complete"] and run["problem"] is None:
        yield Text(f"{run['title']}: stopped before its end", style="yellow")
    if run["problem"] is not None:
        yield Text(run["problem"], style="red")
    for sentence in run["unreadable_pictures"][:MOST_UNREADABLE]:
        yield Text(sentence, style="red")
    if run["unreadable"] > MOST_UNREADABLE:
        yield Text(f"and {run['unreadable'] - MOST_UNREADABLE:,} more like that", style="red")
