"""Subjects, visits and votes for the tests of what is learnt."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import numpy as np

from streamwatch.geometry import Box
from streamwatch.learning.learnt import NearMiss, NearMissKind, Subject, ToldVisit, Vote
from streamwatch.records import MarkedPicture, Vectors

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
SUBJECT = Subject("porch", "car", "0123456789abcdef")
BOX: Box = (10.0, 20.0, 110.0, 200.0)

_numbers = itertools.count(1)


def vector(*values: float) -> Vectors:
    """Of unit length."""
    found = np.array(values, np.float32)
    return found / np.float32(np.linalg.norm(found))


def told_visit(
    id: str | None = None,
    reach: float = 0.5,
    subject: Subject = SUBJECT,
    vector: Vectors | None = None,
    captured_at: datetime = MOMENT,
) -> ToldVisit:
    name = id or f"visit-{next(_numbers)}"
    return ToldVisit(name, subject, "car", max(reach, 0.1), reach, captured_at, vector)


def vote(
    right: bool,
    reach: float = 0.5,
    *,
    id: str | None = None,
    subject: Subject = SUBJECT,
    vector: Vectors | None = None,
) -> Vote:
    return Vote(told_visit(id, reach, subject, vector), right, MOMENT.timestamp())


def near_miss(
    kind: NearMissKind = "below",
    confidence: float = 0.25,
    box: Box = BOX,
    *,
    subject: Subject = SUBJECT,
    captured_at: datetime = MOMENT,
    picture: MarkedPicture | None = None,
    reach: float = 0.0,
) -> NearMiss:
    reason = f"{confidence:.2f} is below 0.30"
    return NearMiss(
        *(subject, kind, reason, "car", confidence, 0.3, box, (640, 360), captured_at, picture),
        reach=reach,
    )
