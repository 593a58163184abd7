"""The threshold that a watch's own histograms suggest. Pure.

By Otsu's method (N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans.
SMC 9, 1979): the threshold that leaves the least variance within the two classes. It finds one in
every histogram, also where there is but one kind of thing, so the split must be clear, and lie in a
valley.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from streamwatch.learning.learnt import BINS, Counts, Vote, bin_of

LEAST_VISITS = 20
"""Visits that must be known before anything is suggested."""
LEAST_NOISE = 5
"""Entries that must lie below a threshold, else there is nothing to keep out."""
LEAST_SEPARATION = 0.8
"""Of the variance, the share that must lie between the two classes. Splitting one class at its best
gives 0.64 where it is normal, and 0.75 where it is uniform."""
LUCK = 0.35
"""The share must be greater by this, divided by the root of how many were counted: few of one class
fall into two by chance. Of 300 uniform samples of 20, 98 are split without it, and 5 with it."""
VALLEY = 0.5
"""The threshold's bins must hold less than this share of what the lower of the two peaks does."""
NOISE_FOR_A_VISIT = 2.0
"""Weak sightings count at most this often for each visit: there may be thousands."""
VOTE_WEIGHT = 5.0
"""A visit that was said to be wrong counts as so many more of what lies below the threshold. Right
ones count no more than others: that some are very sure says nothing against the rest."""
INTO_THE_VALLEY = 1 / 3
"""How far into an empty valley the threshold lies, from its lower end: a missed visit is worse than
a false one."""
STEP = 0.05
"""A learnt threshold changes by this at most at once."""
THINGS_PER_STEP = 10
"""So many things must have been seen since its last change."""

_Weights = NDArray[np.float64]


def suggested(visits: Counts, weak: Counts, votes: Iterable[Vote] = ()) -> float | None:
    """The threshold between noise and visits; None where there is not enough to say so."""
    known = sum(visits)
    if known < LEAST_VISITS:
        return None
    noise = sum(weak)
    scale = min(1.0, NOISE_FOR_A_VISIT * known / noise) if noise else 1.0
    weights = np.array(visits, np.float64) + scale * np.array(weak, np.float64)
    right, wrong = np.zeros(BINS), np.zeros(BINS)
    for vote in votes:
        if vote.visit.reach > 0:  # else it was told before a restart, and how sure is not known
            (right if vote.right else wrong)[bin_of(vote.visit.reach)] += 1
    valleys = _valleys(weights, wrong)
    # Where more were right than wrong, what lies below are visits too, if weaker ones.
    against = {
        place: wrong[place:].sum() + right[:place].sum()
        for place in valleys
        if right[:place].sum() <= wrong[:place].sum()
    }
    if not against:
        return None
    best = min(against, key=lambda place: (against[place], -valleys[place]))
    first, last = _plateau(weights + right + wrong, best)
    return round((first + INTO_THE_VALLEY * (last - first)) / BINS, 2)


def next_threshold(now: float, suggestion: float, floor: float) -> float:
    """One step from the threshold in force towards the suggested one, never below `floor`."""
    return round(max(floor, min(now + STEP, max(now - STEP, suggestion))), 3)


def _valleys(weights: _Weights, wrong: _Weights) -> dict[int, float]:
    """The bins at which the lower and the upper class are clearly apart, and how far."""
    valleys = {}
    for place in range(1, BINS):
        # A wrong one above a threshold is no reason for it.
        whole = weights + VOTE_WEIGHT * np.where(np.arange(BINS) < place, wrong, 0.0)
        smooth = np.convolve(whole, np.ones(3) / 3, mode="same")
        separation = _separation(whole, place)
        if (
            separation >= LEAST_SEPARATION + LUCK / math.sqrt(whole.sum())
            and whole[:place].sum() >= LEAST_NOISE
            and smooth[place] <= VALLEY * min(smooth[:place].max(), smooth[place:].max())
        ):
            valleys[place] = separation
    return valleys


def _separation(weights: _Weights, place: int) -> float:
    """The share of the variance that lies between what is below this bin and the rest."""
    values = (np.arange(BINS) + 0.5) / BINS
    total, below = weights.sum(), weights[:place].sum()
    if not 0 < below < total:
        return 0.0
    mean = (weights * values).sum() / total
    variance = (weights * (values - mean) ** 2).sum() / total
    mean_below = (weights * values)[:place].sum() / below
    return float(below / (total - below) * (mean - mean_below) ** 2 / variance)


def _plateau(weights: _Weights, place: int) -> tuple[int, int]:
    """The first and the last bin from which on the same things lie above as at `place`."""
    first = last = place
    while first > 1 and weights[first - 1] == 0:
        first -= 1
    while last < BINS - 1 and weights[last] == 0:
        last += 1
    return first, last
