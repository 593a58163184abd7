"""What a trial has found, as one document: for `--json`, for the report and for the screen."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from streamwatch import __version__
from streamwatch.config import Config
from streamwatch.geometry import Box
from streamwatch.learning.learnt import BINS
from streamwatch.tuning.footage import Footage
from streamwatch.tuning.seen import Alert, Miss, Seen
from streamwatch.tuning.suggestion import suggested
from streamwatch.tuning.trial import Run, Trial
from streamwatch.tuning.truth import Judged, Truth, best

Document = dict[str, Any]


def document(trial: Trial, config: Config, truth: Truth | None = None) -> Document:
    """All that was found, in values that JSON has."""
    running = None if trial.detector is None else trial.detector.running
    footage = {run.footage.name: run.footage for run in trial.runs}
    pairs = trial.pairs()
    watches: Document = {}
    for name, seen in trial.seen.items():
        watch = config.watches[name]
        judged = _judged(trial.runs, seen, watch.prompt, truth)
        watches[name] = {
            "prompts": list(watch.prompt),
            "not": list(watch.not_),
            "confidence": seen.needed,
            "detections": {
                prompt: {
                    "found": sum(counts),
                    "sure_enough": seen.counting[prompt],
                    "surest": _rounded(seen.surest.get(prompt)),
                    "histogram": list(counts),
                }
                for prompt, counts in seen.histograms.items()
            },
            "visits": [
                {
                    **_alert(visit.alert, footage),
                    "best_confidence": _rounded(visit.best_confidence),
                    "seconds": None
                    if visit.ended_at is None
                    else (visit.ended_at - visit.alert.captured_at).total_seconds(),
                    "reason": visit.reason,
                }
                for visit in seen.visits
            ],
            "held_back": seen.held_back,
            **_sweep(seen, footage, judged),
            "suggested": _suggested(seen),
            "best": _best(judged),
            "beaten_by": dict(seen.beaten.most_common()),
            "together": [
                {
                    "prompt": pair.prompt,
                    "other_watch": pair.other_watch,
                    "other_prompt": pair.other_prompt,
                    "times": pair.times,
                    "of": pair.of,
                    "confidence": _rounded(pair.confidence),
                    "other_confidence": _rounded(pair.other_confidence),
                    "settled_by": pair.settled_by,
                }
                for pair in pairs
                if pair.watch == name
            ],
            "near_misses": [_miss(miss, footage) for miss in trial.near_misses(name)],
        }
    return {
        "version": __version__,
        "model": config.detector.model,
        "backend": None if running is None else running.backend,
        "precision": None if running is None else running.precision,
        "device": None if running is None else running.device,
        "bins": BINS,
        "footage": [_run(run) for run in trial.runs],
        "watches": watches,
    }


def _run(run: Run) -> Document:
    return {
        "name": run.footage.name,
        "title": run.footage.title,
        "kind": run.footage.kind,
        "frames": run.frames,
        "seconds": None if run.footage.pictures else round(run.position, 3),
        "took_seconds": round(run.took_seconds, 3),
        "detector_ms": round(1000 * run.detector_seconds / run.frames, 1) if run.frames else None,
        "size": run.size and list(run.size),
        "complete": run.complete,
        "problem": run.problem,
        "unreadable": run.unreadable_count,
        "unreadable_pictures": run.unreadable,
    }


def with_thumbnails(found: Mapping[str, Any], trial: Trial) -> Document:
    """What `document` gives, with thumbnails as data URLs."""
    watches = {
        name: {
            **watch,
            "alerts": [
                {**fields, "thumbnail": _data_url(trial.seen[name].thumbnails.get(alert))}
                for fields, alert in zip(watch["alerts"], _places(trial.seen[name]), strict=True)
            ],
            "near_misses": [
                {**fields, "thumbnail": _data_url(miss.thumbnail)}
                for fields, miss in zip(watch["near_misses"], trial.near_misses(name), strict=True)
            ],
        }
        for name, watch in found["watches"].items()
    }
    return {**found, "watches": watches}


def _places(seen: Seen) -> dict[Alert, int]:
    """The alerts of all thresholds, each once, numbered."""
    places: dict[Alert, int] = {}
    for threshold in seen.thresholds:
        for alert in seen.alerts[threshold]:
            places.setdefault(alert, len(places))
    return places


def _sweep(seen: Seen, footage: Mapping[str, Footage], judged: Mapping[float, Judged]) -> Document:
    """The alerts of all thresholds, each once, and at each threshold the places of its own."""
    places = _places(seen)
    rows = []
    for threshold in seen.thresholds:
        row: Document = {
            "confidence": threshold,
            "alerts": [places[alert] for alert in seen.alerts[threshold]],
        }
        if threshold in judged:
            row |= _shares(judged[threshold])
        rows.append(row)
    return {"alerts": [_alert(alert, footage) for alert in places], "sweep": rows}


def _judged(
    runs: Sequence[Run], seen: Seen, prompts: Sequence[str], truth: Truth | None
) -> dict[float, Judged]:
    """By threshold; empty where nothing is known to be true."""
    if truth is None:
        return {}
    found = {}
    for threshold in seen.thresholds:
        of_runs = [
            truth.judge(
                run.footage,
                run.position,
                prompts,
                [a for a in seen.alerts[threshold] if a.footage == run.footage.name],
            )
            for run in runs
            if run.frames
        ]
        found[threshold] = Judged(
            sum(each.right for each in of_runs),
            sum(each.wrong for each in of_runs),
            sum(each.missed for each in of_runs),
        )
    return found


def _suggested(seen: Seen) -> Document | None:
    found = suggested({threshold: len(told) for threshold, told in seen.alerts.items()})
    if found is None:
        return None
    return {
        "confidence": found.confidence,
        "from": found.from_,
        "to": found.to,
        "alerts": found.alerts,
    }


def _best(judged: Mapping[float, Judged]) -> Document | None:
    if not judged:
        return None
    threshold = best(judged)
    return {"confidence": threshold, **_shares(judged[threshold])}


def _shares(judged: Judged) -> Document:
    return {
        "right": judged.right,
        "wrong": judged.wrong,
        "missed": judged.missed,
        "precision": _rounded(judged.precision),
        "recall": _rounded(judged.recall),
    }


def _alert(alert: Alert, footage: Mapping[str, Footage]) -> Document:
    return {
        **_where(alert.footage, alert.position, footage),
        "captured_at": alert.captured_at.isoformat(timespec="milliseconds"),
        "prompt": alert.prompt,
        "confidence": _rounded(alert.confidence),
        "box": _box(alert.box),
        "frame": list(alert.frame_size),
        "zones": list(alert.zones),
    }


def _miss(miss: Miss, footage: Mapping[str, Footage]) -> Document:
    return {
        **_where(miss.footage, miss.position, footage),
        "captured_at": miss.captured_at.isoformat(timespec="milliseconds"),
        "prompt": miss.prompt,
        "confidence": _rounded(miss.confidence),
        "needed": miss.needed,
        "kind": miss.kind,
        "reason": miss.reason,
        "box": _box(miss.box),
        "frame": list(miss.frame_size),
    }


def _where(name: str, position: float | None, footage: Mapping[str, Footage]) -> Document:
    of = footage[name]
    if of.pictures:
        return {"footage": name, "picture": None if position is None else of.place(position)}
    return {"footage": name, "position": _rounded(position)}


def _data_url(jpeg: bytes | None) -> str | None:
    return None if jpeg is None else f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _box(box: Box) -> list[float]:
    return [round(edge, 1) for edge in box]


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 3)
