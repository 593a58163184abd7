"""All that is known of a configuration's watches, in values that JSON has: for `streamwatch tune`.
Pure, but for `near_misses_of`."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from streamwatch.config import Config, near_miss_folder
from streamwatch.learning.learnt import Counts, Learnt, Subject, ToldVisit, Vote, words_of
from streamwatch.learning.pairs import pairs, shown
from streamwatch.learning.thresholds import suggested

MOST_NEAR_MISSES = 20
"""Told of each camera and watch, the surest."""

Row = Mapping[str, Any]
"""A near miss that is kept: camera, watch, day, kind, confidence, needed, reach, prompt, reason,
captured_at and file, as in the store."""


def subjects(config: Config) -> dict[str, list[Subject]]:
    """By watch that is enabled, one for each of its cameras."""
    return {
        name: [
            Subject(camera, name, words_of(watch, config.detector))
            for camera in config.cameras_of(name)
        ]
        for name, watch in config.watches.items()
        if watch.enabled
    }


def suggestion(
    of: Iterable[Subject], learnt: Mapping[Subject, Learnt], votes: Iterable[Vote]
) -> float | None:
    """The threshold that what these have seen together suggests, if any."""
    chosen = tuple(of)
    found = [learnt[subject] for subject in chosen if subject in learnt]
    own = [vote for vote in votes if vote.visit.subject in chosen]
    return suggested(_sum(it.visits for it in found), _sum(it.weak for it in found), own)


@dataclass(frozen=True, slots=True)
class Experience:
    """All that is known: the `visits` are the newest that were told, and the near misses those that
    are kept."""

    learnt: Mapping[Subject, Learnt] = field(default_factory=dict)
    visits: Sequence[ToldVisit] = ()
    votes: Sequence[Vote] = ()
    near_misses: Sequence[Row] = ()


def overview(config: Config, known: Experience) -> dict[str, Any]:
    """What is known, and what the suggested thresholds would have changed."""
    watches: dict[str, Any] = {}
    for name, of_watch in subjects(config).items():
        watch = config.watches[name]
        combined = suggestion(of_watch, known.learnt, known.votes)
        is_learnt = watch.confidence == "auto"
        cameras = {}
        for subject in of_watch:
            it = known.learnt.get(subject, Learnt())
            own = suggestion([subject], known.learnt, known.votes)
            needed = (it.threshold if is_learnt else None) or config.confidence_of(name)
            rows = [
                row
                for row in known.near_misses
                if (row["camera"], row["watch"]) == (subject.camera, name)
            ]
            mine = [visit for visit in known.visits if visit.subject == subject]
            instead = own if is_learnt else combined
            cameras[subject.camera] = {
                "confidence": needed,
                "suggested": own,
                "visits": list(it.visits),
                "weak": list(it.weak),
                "days": [] if instead is None else _days(config, mine, rows, needed, instead),
                "near_misses": sorted(rows, key=lambda row: row["confidence"], reverse=True)[
                    :MOST_NEAR_MISSES
                ],
            }
        watches[name] = {
            "prompts": list(watch.prompt),
            "not": list(watch.not_),
            "learns": is_learnt,
            "suggested": combined,
            "cameras": cameras,
        }
    present = {subject for of_watch in subjects(config).values() for subject in of_watch}
    return {
        "near_misses": str(near_miss_folder(config.near_misses)),
        "watches": watches,
        "together": [
            shown(pair)
            for pair in pairs(
                config, {key: it for key, it in known.learnt.items() if key in present}
            )
        ],
    }


def near_misses_of(file: Path) -> list[dict[str, Any]]:
    """Those that the file holds, without those that can't be read. Raises sqlite3.Error.

    With a connection of its own that only reads, so beside a daemon that writes.
    """
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        found = database.execute(
            "SELECT camera, watch, day, kind, confidence, needed, reach, prompt, reason,"
            " captured_at, file FROM near_misses ORDER BY number"
        )
        return [dict(row) for row in found if _is_sound(row)]


def _is_sound(row: sqlite3.Row) -> bool:
    texts = all(isinstance(row[key], str) for key in ("day", "prompt", "reason", "captured_at"))
    return texts and all(isinstance(row[key], float) for key in ("confidence", "needed", "reach"))


def _days(
    config: Config,
    visits: Iterable[ToldVisit],
    rows: Iterable[Row],
    needed: float,
    instead: float,
) -> list[dict[str, Any]]:
    """By day, how many alerts there were, and how many fewer and more there would have been.

    More are known of as far as their near misses are kept.
    """
    told, fewer, more = Counter[date](), Counter[date](), Counter[date]()
    for visit in visits:
        day = _day(config, visit.captured_at)
        told[day] += 1
        fewer[day] += 0 < visit.reach < instead
    for row in rows:
        only_weak = row["kind"] == "below" and ";" not in row["reason"]
        if only_weak and instead <= row["reach"] < needed:
            more[date.fromisoformat(row["day"])] += 1
    return [
        {"day": day.isoformat(), "alerts": told[day], "fewer": fewer[day], "more": more[day]}
        for day in sorted({*told, *more})
    ]


def _day(config: Config, at: datetime) -> date:
    return at.astimezone(config.zone).date()


def _sum(histograms: Iterable[Counts]) -> Counts:
    return tuple(map(sum, zip(*(Learnt().visits, *histograms), strict=True)))
