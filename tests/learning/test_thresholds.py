"""The threshold that histograms suggest: one where there are two kinds of thing, else none."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from streamwatch.learning.learnt import BINS, NOTHING, Counts, bin_of
from streamwatch.learning.thresholds import (
    LEAST_VISITS,
    STEP,
    next_threshold,
    suggested,
)
from tests.learning.lessons import vote

Sample = NDArray[np.float64]

SEEDS = 100


def histogram(confidences: Iterable[float]) -> Counts:
    counts = [0] * BINS
    for confidence in confidences:
        counts[bin_of(min(max(confidence, 0.0), 1.0))] += 1
    return tuple(counts)


def two_kinds(random: Generator, false: int, real: int) -> tuple[Sample, Sample]:
    """False alarms around 0.35, and visits around 0.8."""
    return random.normal(0.35, 0.04, false), random.normal(0.8, 0.05, real)


def two_kinds_together(seed: int = 0, false: int = 20, real: int = 20) -> Counts:
    return histogram(np.concatenate(two_kinds(default_rng(seed), false, real)))


def test_nothing_is_suggested_of_few_visits() -> None:
    few = histogram([0.3] * 6 + [0.8] * (LEAST_VISITS - 7))
    enough = histogram([0.3] * 6 + [0.8] * (LEAST_VISITS - 6))
    assert suggested(few, NOTHING) is None
    assert suggested(few, histogram([0.1] * 1000)) is None
    assert suggested(enough, NOTHING) is not None


ONE_KIND: dict[str, Callable[[Generator, int], Sample]] = {
    "normal": lambda random, count: random.normal(0.7, 0.08, count),
    "narrow": lambda random, count: random.normal(0.6, 0.01, count),
    "uniform": lambda random, count: random.uniform(0.3, 0.95, count),
    "mostly sure": lambda random, count: random.beta(8, 2, count),
    "mostly unsure": lambda random, count: 0.3 + 0.7 * random.beta(2, 8, count),
    "always the same": lambda random, count: np.full(count, 0.5),
}


@pytest.mark.parametrize("count", [20, 30, 60, 200, 1000])
@pytest.mark.parametrize("kind", ONE_KIND)
def test_one_kind_of_thing_is_not_split(kind: str, count: int) -> None:
    """Or only by chance: hardly ever."""
    samples = [ONE_KIND[kind](default_rng(seed), count) for seed in range(SEEDS)]
    split = [sample for sample in samples if suggested(histogram(sample), NOTHING) is not None]
    assert len(split) <= SEEDS * 0.03


@pytest.mark.parametrize("count", [100, 300, 1000])
def test_what_the_threshold_cuts_through_is_not_split_elsewhere(count: int) -> None:
    """Noise that gets rarer and rarer towards the visits, and is nowhere apart from them."""
    split = 0
    for seed in range(SEEDS):
        found = 0.1 + default_rng(seed).exponential(0.1, count)
        visits, weak = histogram(found[found >= 0.2]), histogram(found[found < 0.2])
        split += suggested(visits, weak) is not None
    assert split <= SEEDS * 0.03


def test_nothing_is_suggested_of_noise_alone() -> None:
    noise = default_rng(0).normal(0.2, 0.05, 1000)
    assert suggested(NOTHING, histogram(noise)) is None


@pytest.mark.parametrize(
    ("false", "real"), [(10, 10), (5, 20), (20, 20), (50, 50), (200, 20), (50, 200), (500, 500)]
)
def test_two_kinds_are_told_apart_and_every_visit_is_kept(false: int, real: int) -> None:
    found = 0
    for seed in range(SEEDS):
        noise, visits = two_kinds(default_rng(seed), false, real)
        threshold = suggested(histogram([*noise, *visits]), NOTHING)
        if threshold is not None:
            found += 1
            assert np.quantile(noise, 0.98) < threshold <= visits.min()
    assert found >= SEEDS * 0.9


def test_the_noise_below_the_threshold_counts_too() -> None:
    random = default_rng(0)
    visits = random.normal(0.8, 0.05, 30)
    weak = random.normal(0.2, 0.03, 30)
    threshold = suggested(histogram(visits), histogram(weak))
    assert threshold is not None
    assert weak.max() < threshold <= visits.min()


@pytest.mark.parametrize("weak_sightings", [1000, 5000, 100_000])
def test_thousands_of_weak_sightings_do_not_hide_20_visits(weak_sightings: int) -> None:
    for seed in range(SEEDS // 5):
        random = default_rng(seed)
        visits = random.normal(0.75, 0.07, 20)
        weak = random.normal(0.18, 0.03, weak_sightings)
        threshold = suggested(histogram(visits), histogram(weak))
        assert threshold is not None
        assert np.quantile(weak, 0.999) < threshold <= visits.min()


def test_the_threshold_lies_nearer_to_the_noise() -> None:
    """A missed visit is worse than a false one."""
    threshold = suggested(histogram([0.21] * 20 + [0.81] * 20), NOTHING)
    assert threshold == pytest.approx(0.22 + 0.58 / 3, abs=0.02)


# --- votes ----------------------------------------------------------------------------------------


def test_some_wrong_votes_make_few_false_visits_count() -> None:
    for seed in range(SEEDS // 2):
        noise, visits = two_kinds(default_rng(seed), 3, 60)
        counts = histogram([*noise, *visits])
        assert suggested(counts, NOTHING) is None
        threshold = suggested(counts, NOTHING, [vote(False, reach) for reach in noise])
        assert threshold is not None
        assert noise.max() < threshold <= visits.min()


def test_one_wrong_vote_moves_the_threshold_above_it() -> None:
    """Of two valleys the one is taken that has it below."""
    random = default_rng(0)
    weak, visits = random.normal(0.15, 0.02, 40), random.normal(0.85, 0.03, 40)
    counts = histogram([*visits, *[0.5] * 4])
    without = suggested(counts, histogram(weak))
    threshold = suggested(counts, histogram(weak), [vote(False, 0.5)])
    assert without is not None
    assert threshold is not None
    assert without < 0.5 < threshold <= visits.min()


def test_right_votes_on_weak_visits_keep_them() -> None:
    counts = two_kinds_together()
    assert suggested(counts, NOTHING) is not None
    assert suggested(counts, NOTHING, [vote(True, 0.35)]) is None


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("votes", [1, 5])
def test_votes_on_very_sure_visits_say_nothing_against_the_others(votes: int, right: bool) -> None:
    visits = default_rng(0).normal(0.7, 0.04, 60)
    said = [vote(right, 0.95) for _ in range(votes)]
    assert suggested(histogram([*visits, *[0.95] * votes]), NOTHING, said) is None


def test_votes_that_contradict_each_other_change_nothing() -> None:
    counts = two_kinds_together()
    both = [vote(right, reach) for reach in (0.35, 0.8) for right in (False, True)]
    threshold = suggested(counts, NOTHING, both)
    assert threshold is not None
    assert 0.45 < threshold < 0.65


def test_votes_on_all_of_one_kind_do_not_split_it() -> None:
    visits = default_rng(0).normal(0.7, 0.08, 100)
    said = [vote(number % 2 == 0, reach) for number, reach in enumerate(visits)]
    assert suggested(histogram(visits), NOTHING, said) is None


def test_votes_at_both_ends_do_no_harm() -> None:
    counts = two_kinds_together(false=60, real=60)
    threshold = suggested(counts, NOTHING, [vote(False, 0.01), vote(True, 1.0)])
    assert threshold is not None
    assert 0.45 < threshold < 0.65
    for right in (False, True):
        for reach in (0.0, 1.0):
            for number in (1, 64):
                votes = [vote(right, reach) for _ in range(number)]
                threshold = suggested(counts, NOTHING, votes)
                assert threshold is None or 0.45 < threshold < 0.65


def test_a_vote_on_a_visit_of_which_nothing_is_known_counts_for_nothing() -> None:
    """It was told before a restart, so its reach is 0."""
    counts = two_kinds_together()
    without = suggested(counts, NOTHING)
    for right in (False, True):
        assert suggested(counts, NOTHING, [vote(right, 0.0) for _ in range(30)]) == without


def test_a_wrong_vote_on_a_visit_long_forgotten_lies_below_too() -> None:
    """Its entry was halved away."""
    counts = histogram([0.21] * 20 + [0.81] * 20)
    threshold = suggested(counts, NOTHING, [vote(False, 0.5)])
    assert threshold is not None
    assert threshold > 0.5


counted = st.one_of(
    st.tuples(*[st.integers(0, 1000)] * BINS),
    st.dictionaries(st.integers(0, BINS - 1), st.integers(0, 1000), max_size=4).map(
        lambda found: tuple(found.get(place, 0) for place in range(BINS))
    ),
)


@given(
    visits=counted,
    weak=counted,
    votes=st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=20),
)
def test_any_histogram_gives_nothing_or_a_threshold(
    visits: Counts, weak: Counts, votes: list[tuple[bool, float]]
) -> None:
    threshold = suggested(visits, weak, [vote(right, reach) for right, reach in votes])
    assert threshold is None or 0 < threshold < 1


# --- steps ----------------------------------------------------------------------------------------


def test_a_threshold_goes_to_what_is_suggested_in_small_steps() -> None:
    assert next_threshold(0.3, 0.5, 0.1) == 0.35
    assert next_threshold(0.3, 0.1, 0.1) == 0.25
    assert next_threshold(0.3, 0.32, 0.1) == 0.32
    assert next_threshold(0.3, 0.3, 0.1) == 0.3


def test_a_threshold_stays_at_the_floor() -> None:
    assert next_threshold(0.12, 0.02, 0.1) == 0.1
    assert next_threshold(0.1, 0.02, 0.1) == 0.1


@given(now=st.floats(0.05, 1), suggestion=st.floats(0.02, 0.98), floor=st.floats(0.001, 0.3))
def test_any_step_is_short_and_above_the_floor(now: float, suggestion: float, floor: float) -> None:
    step = next_threshold(max(now, floor), suggestion, floor)
    assert step >= round(floor, 3)
    assert abs(step - max(now, floor)) <= STEP + 0.0005
    steps = [max(now, floor)]
    for _ in range(30):
        steps.append(next_threshold(steps[-1], suggestion, floor))
    assert steps[-1] == round(max(suggestion, floor), 3)
