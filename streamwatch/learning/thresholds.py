"""The threshold that a watch's own histograms suggest. Pure.

By Otsu's method (N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans.
SMC 9, 1979): the threshold that leaves the least variance within the two classes. It finds one in
every histogram, also where there is but one kind of thing, so the split must be clear, and lie in a
valley.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
VALLEY = 0.5
"""The threshold's bins must hold less than this share of what the lower of the two peaks does."""
NOISE_FOR_A_VISIT = 2.0
"""Weak sightings count at most this often for each visit: there may be thousands."""
VOTE_WEIGHT = 5.0
"""What somebody said of a visit counts as so many of them."""
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
        (right if vote.right else wrong)[bin_of(vote.visit.reach)] += 1
    weights += VOTE_WEIGHT * (right + wrong)
    places = _valleys(weights)
    if not places:
        return None
    against = {place: wrong[place:].sum() + right[:place].sum() for place in places}
    least = min(against.values())
    separation = _separation(weights)
    best = max((place for place in places if against[place] == least), key=lambda p: separation[p])
    first, last = _plateau(weights, best)
    return round((first + INTO_THE_VALLEY * (last - first)) / BINS, 2)


def next_threshold(now: float, suggestion: float, floor: float) -> float:
    """One step from the threshold in force towards the suggested one, never below `floor`."""
    return round(max(floor, min(now + STEP, max(now - STEP, suggestion))), 3)


def _valleys(weights: _Weights) -> list[int]:
    """The bins at which the lower and the upper class are clearly apart."""
    separation = _separation(weights)
    smooth = np.convolve(weights, np.ones(3) / 3, mode="same")
    return [
        place
        for place in range(1, BINS)
        if separation[place] >= LEAST_SEPARATION
        and weights[:place].sum() >= LEAST_NOISE
        and smooth[place] <= VALLEY * min(smooth[:place].max(), smooth[place:].max())
    ]


def _separation(weights: _Weights) -> Sequence[float]:
    """For each bin, the share of the variance that lies between what is below it and the rest."""
    values = (np.arange(BINS) + 0.5) / BINS
    total = weights.sum()
    mean = (weights * values).sum() / total
    variance = (weights * (values - mean) ** 2).sum() / total
    below = np.concatenate(([0.0], np.cumsum(weights)[:-1])) / total
    below_sum = np.concatenate(([0.0], np.cumsum(weights * values)[:-1])) / total
    apart = below * (1 - below)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = np.where(apart > 0, (mean * below - below_sum) ** 2 / apart, 0.0)
        shares = between / variance if variance > 0 else np.zeros(BINS)
    return [float(share) for share in shares]


def _plateau(weights: _Weights, place: int) -> tuple[int, int]:
    """The first and the last bin from which on the same things lie above as at `place`."""
    first = last = place
    while first > 1 and weights[first - 1] == 0:
        first -= 1
    while last < BINS - 1 and weights[last] == 0:
        last += 1
    return first, last
