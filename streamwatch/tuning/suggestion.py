"""The threshold that a sweep suggests: where it makes the least difference. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

LEAST_WIDTH = 0.1
"""Thresholds that give as many alerts must reach over this much for one to be suggested."""
INTO_IT = 1 / 3
"""How far into them the suggested one lies, from the lower end: a missed visit is worse than a
false one."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`alerts` are sent at every threshold `from_` the one `to` the other."""

    confidence: float
    from_: float
    to: float
    alerts: int


def suggested(alerts: Mapping[float, int]) -> Suggestion | None:
    """From how many alerts each threshold gives: out of the widest range in which that number stays
    the same, of thresholds that give any. None without such a range."""
    best: Suggestion | None = None
    for count, rows in groupby(sorted(alerts), key=alerts.__getitem__):
        same = list(rows)
        width = same[-1] - same[0]
        if count == 0 or width < LEAST_WIDTH:
            continue
        if best is None or width > best.to - best.from_ + 1e-9:
            confidence = round(same[0] + INTO_IT * width, 2)
            best = Suggestion(confidence, same[0], same[-1], count)
    return best
