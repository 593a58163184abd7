"""What a crop is compared with: the words of a watch against other words, within the one crop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamwatch.config import WatchSettings, folded
from streamwatch.records import Vectors
from streamwatch.second_look import kinds


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """The words of one watch and their rivals, with their vectors in the same order.

    `prompts` are those of the watch and words for what a picture shows of them. `vectors` is
    `(prompts and rivals, 512)`, of unit length.
    """

    prompts: tuple[str, ...]
    rivals: tuple[str, ...]
    vectors: Vectors

    @property
    def own(self) -> Vectors:
        """The vectors of the prompts, `(prompts, 512)`."""
        return self.vectors[: len(self.prompts)]

    def share(self, image: Vectors, scale: float) -> tuple[float, str | None]:
        """The share of the prompts in a softmax over all words, and the rival that comes first.

        `image` is a unit vector, `(width,)`; where it is narrower than the texts' they are padded
        with zeros. None where a prompt comes first.
        """
        logits = scale * (self.vectors[:, : len(image)] @ image)
        weights = np.exp(logits - logits.max())
        shares = weights / weights.sum()
        first = int(shares.argmax()) - len(self.prompts)
        return float(shares[: len(self.prompts)].sum()), None if first < 0 else self.rivals[first]


def words_for(watches: Sequence[WatchSettings]) -> tuple[str, ...]:
    """The words beside their own whose vectors the second looks of these watches need."""
    looks = [watch.look for watch in watches if watch.look and watch.look.by_words]
    if not looks:
        return ()
    against = (word for look in looks for word in look.against)
    return tuple(dict.fromkeys((*against, *kinds.all_rivals())))


def contrast(
    prompts: tuple[str, ...], against: Sequence[str], vectors: Mapping[str, Vectors], near: float
) -> Contrast:
    """The prompts against these words and against common things that mean something else.

    `vectors` has those of all of them and of `kinds.all_rivals()`; `near` is
    `catalogue.ImageTower.near`.
    """
    rivals: dict[str, str] = {}
    for word in (*against, *kinds.rivals_of(prompts, vectors, near)):
        rivals.setdefault(folded(word), word)  # twice, it would count twice
    shown = [word for word in kinds.shown_as(prompts) if folded(word) not in rivals]
    own = (*prompts, *shown)
    rows = [vectors[word] for word in (*own, *rivals.values())]
    return Contrast(own, tuple(rivals.values()), np.stack(rows))
