"""What is learnt of a watch on a camera: which confidences its things reach, and what else is found
on them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

import numpy as np

from streamwatch.config import DetectorSettings, WatchSettings
from streamwatch.geometry import Box
from streamwatch.records import MarkedPicture, Vectors

BINS = 50
"""Of a histogram of confidences, from 0 to 1."""
MOST_COUNTED = 1000
"""A histogram with more entries is halved, so that what was seen long ago counts less and less."""
MOST_PAIRS = 32
"""What else is found on a watch's things: so many others, those that are found there most often."""

Counts = tuple[int, ...]
"""A histogram: how many of each of the `BINS`."""
NOTHING: Counts = (0,) * BINS

NearMissKind = Literal[
    "below", "beaten", "zone", "ignored", "size", "company", "frames", "dwell", "hours", "cooldown",
    "look",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Subject:
    """What something is learnt of: a watch on a camera.

    `words` is a fingerprint of its prompts and of the model that finds them, since what is learnt
    of other words is of no use.
    """

    camera: str
    watch: str
    words: str


@dataclass(frozen=True, slots=True)
class Other:
    """A watch's prompt, and the prompt of another watch that was found on the same box."""

    prompt: str
    watch: str
    other_prompt: str


@dataclass(frozen=True, slots=True)
class Together:
    """How often another watch's prompt lay on a visit's box, and the sums of the mean confidences
    of the visit's prompt and of the other."""

    times: float = 0.0
    own: float = 0.0
    other: float = 0.0

    def plus(self, own: float, other: float) -> Together:
        return Together(self.times + 1, self.own + own, self.other + other)

    def halved(self) -> Together:
        return Together(self.times / 2, self.own / 2, self.other / 2)


@dataclass(frozen=True, slots=True)
class Learnt:
    """Histograms of the confidences that things have reached: how sure they were in as many frames
    as `appear` asks for. `visits` were told, `weak` would have been with a lower threshold.

    `told` visits were looked at for what else lay on their box. `threshold` is the one in force
    where it is learnt; None before the first step.
    """

    visits: Counts = NOTHING
    weak: Counts = NOTHING
    told: float = 0.0
    together: Mapping[Other, Together] = field(default_factory=dict)
    threshold: float | None = None

    def with_visit(self, reach: float, others: Mapping[Other, tuple[float, float]]) -> Learnt:
        """With one more visit that was told; `others` gives the mean confidences, its own first, of
        what lay on its box."""
        told, together = self.told + 1, dict(self.together)
        for other, (own, its) in others.items():
            together[other] = together.get(other, Together()).plus(own, its)
        if told > MOST_COUNTED:
            told /= 2
            together = {other: found.halved() for other, found in together.items()}
        # Of those seen as often the newest stay, else there would be no place for another.
        most = sorted(together, key=lambda key: (together[key].times, key in others))[-MOST_PAIRS:]
        return replace(
            self,
            visits=noted(self.visits, reach),
            told=told,
            together={other: together[other] for other in most},
        )

    def with_weak(self, reach: float) -> Learnt:
        """With one more thing that only the threshold kept from being told."""
        return replace(self, weak=noted(self.weak, reach))


@dataclass(frozen=True, slots=True, eq=False)
class ToldVisit:
    """A visit that was told, so that somebody may say whether that was right.

    `confidence` is its best, `reach` as in `Learnt`. `vector` is the image tower's of the crop that
    a second look took, `(width,)`; None where none was taken.
    """

    id: str
    subject: Subject
    prompt: str
    confidence: float
    reach: float
    captured_at: datetime
    vector: Vectors | None


@dataclass(frozen=True, slots=True, eq=False)
class Vote:
    """What somebody said of a visit, at the Unix time `at`."""

    visit: ToldVisit
    right: bool
    at: float


@dataclass(frozen=True, slots=True, eq=False)
class NearMiss:
    """A thing that was found and not told, as it was at its surest. `reason` says why, in words;
    `needed` is the confidence that it needed, and `reach` as in `Learnt`: with a lower threshold
    than that it would have appeared."""

    subject: Subject
    kind: NearMissKind
    reason: str
    prompt: str
    confidence: float
    needed: float
    box: Box
    frame_size: tuple[int, int]
    captured_at: datetime
    picture: MarkedPicture | None
    reach: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """The crops of a watch's visits on which people have voted, `(visits, width)` each.

    `ids` are those of the visits that were `wrong`.
    """

    ids: tuple[str, ...] = ()
    wrong: Vectors = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    right: Vectors = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def wrong_like(self, image: Vectors, own: Vectors, least: float) -> str | None:
        """The id of the wrong visit that a crop is nearer to than to the watch's words and to the
        right ones; None if there is none, or if none has a cosine of `least` with it.

        `image` is a unit vector, `(width,)`, `own` those of the words, `(words, width or more)`.
        """
        if not self.ids or self.wrong.shape[1] != len(image):
            return None
        cosines = self.wrong @ image
        nearest = int(cosines.argmax())
        rivals = [least, *(own[:, : len(image)] @ image)]
        if len(self.right):
            rivals += [*(self.right @ image)]
        return self.ids[nearest] if cosines[nearest] >= max(rivals) else None


def words_of(watch: WatchSettings, detector: DetectorSettings) -> str:
    """The fingerprint of what a watch means, as in `Subject`."""
    meant = (detector.model, detector.encoder_name, detector.template, *watch.prompt)
    return hashlib.sha256("\n".join(meant).encode()).hexdigest()[:16]


def bin_of(confidence: float) -> int:
    return min(BINS - 1, int(confidence * BINS))


def noted(counts: Counts, confidence: float) -> Counts:
    """With one more entry."""
    place = bin_of(confidence)
    counts = (*counts[:place], counts[place] + 1, *counts[place + 1 :])
    return tuple(count // 2 for count in counts) if sum(counts) > MOST_COUNTED else counts
