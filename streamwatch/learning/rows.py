"""What is learnt as text, for the store and for another machine, and read again by this or another
version of streamwatch."""

from __future__ import annotations

import base64
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import numpy as np

from streamwatch.learning.learnt import (
    BINS,
    MOST_COUNTED,
    MOST_PAIRS,
    Counts,
    Learnt,
    Other,
    Subject,
    Together,
    ToldVisit,
    Vote,
)
from streamwatch.records import Vectors

FORMAT = 1
"""Raised when a field changes its meaning."""

_Read = TypeVar("_Read")
_Handed = tuple[str, dict[Subject, Learnt], list[ToldVisit], list[Vote]]


class NotUnderstood(ValueError):  # noqa: N818 - reads as what happened
    """Text that is none of this version's: broken, or of another version."""


def learnt_row(learnt: Learnt) -> dict[str, Any]:
    return {
        "visits": list(learnt.visits),
        "weak": list(learnt.weak),
        "told": learnt.told,
        "together": [
            [key.prompt, key.watch, key.other_prompt, found.times, found.own, found.other]
            for key, found in learnt.together.items()
        ],
        "threshold": learnt.threshold,
    }


def learnt_of(row: Mapping[str, Any]) -> Learnt:
    """Raises NotUnderstood."""
    return _understood(_learnt, row)


def visit_row(visit: ToldVisit) -> dict[str, Any]:
    """Without its subject."""
    vector = visit.vector
    return {
        "id": visit.id,
        "prompt": visit.prompt,
        "confidence": visit.confidence,
        "reach": visit.reach,
        "captured_at": visit.captured_at.isoformat(),
        "vector": None if vector is None else base64.b64encode(vector.tobytes()).decode(),
    }


def visit_of(subject: Subject, row: Mapping[str, Any]) -> ToldVisit:
    """Raises NotUnderstood."""
    return _understood(lambda fields: _visit(subject, fields), row)


def vote_row(vote: Vote) -> dict[str, Any]:
    """Without its subject."""
    return {"visit": visit_row(vote.visit), "right": vote.right, "at": vote.at}


def vote_of(subject: Subject, row: Mapping[str, Any]) -> Vote:
    """Raises NotUnderstood."""

    def read(fields: Mapping[str, Any]) -> Vote:
        visit = _visit(subject, fields["visit"])
        return Vote(visit, _switch(fields["right"]), _number(fields["at"]))

    return _understood(read, row)


def handing_over(
    camera: str,
    learnt: Mapping[Subject, Learnt],
    visits: Iterable[ToldVisit],
    votes: Iterable[Vote],
) -> str:
    """What is learnt of a camera, for `handed_over`."""
    visits_of: dict[Subject, list[Any]] = defaultdict(list)
    votes_of: dict[Subject, list[Any]] = defaultdict(list)
    for visit in visits:
        visits_of[visit.subject].append(visit_row(visit))
    for vote in votes:
        votes_of[vote.visit.subject].append(vote_row(vote))
    subjects = [
        {
            "watch": subject.watch,
            "words": subject.words,
            "learnt": learnt_row(learnt.get(subject, Learnt())),
            "visits": visits_of[subject],
            "votes": votes_of[subject],
        }
        for subject in dict.fromkeys([*learnt, *visits_of, *votes_of])
    ]
    return text({"format": FORMAT, "camera": camera, "subjects": subjects})


def handed_over(content: str) -> _Handed:
    """What another machine has learnt of a camera, whose name comes first. Raises NotUnderstood."""

    def read(
        row: Mapping[str, Any],
    ) -> tuple[str, dict[Subject, Learnt], list[ToldVisit], list[Vote]]:
        if type(row["format"]) is not int or row["format"] > FORMAT:
            raise NotUnderstood("it is of another version")
        camera = _text(row["camera"])
        learnt: dict[Subject, Learnt] = {}
        visits: list[ToldVisit] = []
        votes: list[Vote] = []
        for each in row["subjects"]:
            subject = Subject(camera, _text(each["watch"]), _text(each["words"]))
            learnt[subject] = learnt_of(each["learnt"])
            visits += [visit_of(subject, visit) for visit in each["visits"]]
            votes += [vote_of(subject, vote) for vote in each["votes"]]
        return camera, learnt, visits, votes

    return _understood(read, fields(content))


def text(row: Mapping[str, Any]) -> str:
    return json.dumps(row, separators=(",", ":"))


def fields(content: object) -> dict[str, Any]:
    """Raises NotUnderstood."""
    try:
        found = json.loads(content) if isinstance(content, str) else None
    except (ValueError, RecursionError):
        raise NotUnderstood("it is no JSON") from None
    if not isinstance(found, dict):
        raise NotUnderstood("it is no JSON object")
    return found


def _understood(read: Callable[[Mapping[str, Any]], _Read], row: Mapping[str, Any]) -> _Read:
    try:
        return read(row)
    except NotUnderstood:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise NotUnderstood(f"it has other fields ({error})") from None


def _learnt(row: Mapping[str, Any]) -> Learnt:
    together = {
        Other(_text(prompt), _text(watch), _text(other_prompt)): Together(
            _amount(times), _amount(own), _amount(other)
        )
        for prompt, watch, other_prompt, times, own, other in row["together"][:MOST_PAIRS]
    }
    threshold = None if row["threshold"] is None else _share(row["threshold"])
    told = _amount(row["told"])
    return Learnt(_counts(row["visits"]), _counts(row["weak"]), told, together, threshold)


def _visit(subject: Subject, row: Mapping[str, Any]) -> ToldVisit:
    captured_at = datetime.fromisoformat(row["captured_at"])
    if captured_at.tzinfo is None:
        raise NotUnderstood("its time has no time zone")
    return ToldVisit(
        _text(row["id"]),
        subject,
        _text(row["prompt"]),
        _share(row["confidence"]),
        _share(row["reach"]),
        captured_at,
        _vector(row["vector"]),
    )


def _vector(content: Any) -> Vectors | None:
    if content is None:
        return None
    vector = np.frombuffer(base64.b64decode(content, validate=True), np.float32).copy()
    if not len(vector) or not math.isclose(float(np.linalg.norm(vector)), 1.0, abs_tol=0.01):
        raise NotUnderstood("its vector is none of unit length")
    return vector


def _counts(value: Any) -> Counts:
    counts = tuple(value)
    if len(counts) != BINS or any(
        type(count) is not int or not 0 <= count <= MOST_COUNTED for count in counts
    ):
        raise NotUnderstood("it holds no histogram")
    return counts


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise NotUnderstood(f"{value!r} is no number")
    return float(value)


def _amount(value: Any) -> float:
    number = _number(value)
    if number < 0:
        raise NotUnderstood(f"{number} is below 0")
    return number


def _share(value: Any) -> float:
    number = _number(value)
    if not 0 <= number <= 1:
        raise NotUnderstood(f"{number} is no confidence")
    return number


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise NotUnderstood(f"{value!r} is neither true nor false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise NotUnderstood(f"{value!r} is no text")
    return value
