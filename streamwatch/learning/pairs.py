"""Which watches' prompts lie on the same things, and what would settle it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from streamwatch.config import Config, folded
from streamwatch.learning.learnt import Learnt, Subject

LEAST_TIMES = 3
LEAST_SHARE = 0.6
"""Two prompts lie together so often, and in such a share of the alerts, before anything is said."""
MARGIN = 0.1
"""So much surer must the other prompt be on average, for this one to be taken for the wrong one."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Alerts of a watch on whose boxes another watch's prompt lay: so many `times` of so many.

    The confidences are means over those alerts. `settled_by` is what `not` of the watch would have
    to name, None where that is not clear.
    """

    camera: str
    watch: str
    prompt: str
    other_watch: str
    other_prompt: str
    times: int
    of: int
    confidence: float
    other_confidence: float
    settled_by: str | None


def shown(pair: Pair) -> dict[str, Any]:
    """In values that JSON has."""
    return {
        **asdict(pair),
        "confidence": round(pair.confidence, 3),
        "other_confidence": round(pair.other_confidence, 3),
    }


def pairs(config: Config, learnt: Mapping[Subject, Learnt]) -> list[Pair]:
    """Those of watches that the configuration has, the most frequent first."""
    found = [
        Pair(
            subject.camera,
            subject.watch,
            key.prompt,
            key.watch,
            key.other_prompt,
            round(together.times),
            round(it.told),
            together.own / together.times,
            together.other / together.times,
            None,
        )
        for subject, it in learnt.items()
        for key, together in it.together.items()
        if key.watch in config.watches and round(together.times) > 0
    ]
    found.sort(key=lambda pair: (pair.times, pair.other_confidence), reverse=True)
    return [_settled(pair, config) for pair in found]


def _settled(pair: Pair, config: Config) -> Pair:
    beaten = {folded(prompt) for prompt in config.watches[pair.watch].not_}
    clear = (
        pair.times >= LEAST_TIMES
        and pair.times >= LEAST_SHARE * pair.of
        and pair.other_confidence >= pair.confidence + MARGIN
        and folded(pair.other_prompt) not in beaten
    )
    return replace(pair, settled_by=pair.other_prompt) if clear else pair
