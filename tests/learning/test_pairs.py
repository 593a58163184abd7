"""What is said of watches whose prompts lie on the same things."""

from __future__ import annotations

from typing import Any

import pytest

from streamwatch.config import Config
from streamwatch.learning.learnt import Learnt, Other, Subject, Together
from streamwatch.learning.pairs import pairs

GIRAFFE = Subject("yard", "giraffes", "f00d")


def config(**giraffes: Any) -> Config:
    watches = {"giraffes": {"prompt": "giraffe", **giraffes}, "plants": {"prompt": "plant"}}
    cameras = {"yard": {"url": "/dev/video0"}}
    return Config.model_validate(
        {"detector": {"model": "toybox"}, "cameras": cameras, "watches": watches}
    )


def learnt(times: int, told: int, own: float, other: float, watch: str = "plants") -> Learnt:
    together = Together(times, times * own, times * other)
    return Learnt(told=told, together={Other("giraffe", watch, "plant"): together})


@pytest.mark.parametrize(
    ("times", "told", "own", "other", "settled_by"),
    [
        (5, 5, 0.34, 0.77, "plant"),
        (3, 5, 0.34, 0.77, "plant"),
        (2, 2, 0.34, 0.77, None),
        (5, 9, 0.34, 0.77, None),
        (5, 5, 0.77, 0.34, None),
        (5, 5, 0.70, 0.77, None),
    ],
)
def test_a_rival_is_named_where_it_is_surer_of_most_alerts(
    times: int, told: int, own: float, other: float, settled_by: str | None
) -> None:
    (pair,) = pairs(config(), {GIRAFFE: learnt(times, told, own, other)})
    assert (pair.times, pair.of, pair.settled_by) == (times, told, settled_by)
    assert (pair.confidence, pair.other_confidence) == pytest.approx((own, other))


def test_what_stands_in_not_already_is_not_named_again() -> None:
    (pair,) = pairs(config(**{"not": ["Plant"]}), {GIRAFFE: learnt(5, 5, 0.3, 0.8)})
    assert pair.settled_by is None


def test_a_watch_that_is_gone_is_not_told_of() -> None:
    assert pairs(config(), {GIRAFFE: learnt(5, 5, 0.3, 0.8, watch="fish")}) == []
