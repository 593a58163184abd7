"""Which near misses are kept: the best of each day, of every camera and watch. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date

from streamwatch.learning.learnt import NearMissKind


@dataclass(frozen=True, slots=True)
class Kept:
    """A near miss that is kept: the number of its row, and the name of its picture."""

    number: int | None
    file: str | None
    kind: NearMissKind
    confidence: float


@dataclass(slots=True)
class Day:
    """Those of one day, camera and watch.

    Where there is no room for all, the weakest goes of the kind of reason that there is most of:
    else a hundred people outside the zone would leave no room for the parcel that was too weak.
    """

    day: date
    kept: list[Kept] = field(default_factory=list)

    def outdone(self, kind: NearMissKind, confidence: float) -> Kept | None:
        """The one whose place another takes; None if it takes none. Only where there is no room."""
        counts = Counter(each.kind for each in self.kept)
        counts[kind] += 1
        largest = max(counts.values(), default=0)
        common = [each for each in self.kept if counts[each.kind] == largest]
        if counts[kind] == largest:
            common = [each for each in common if each.kind == kind] or common
        weakest = min(common, key=lambda each: each.confidence, default=None)
        if weakest is None or (weakest.kind == kind and weakest.confidence >= confidence):
            return None
        return weakest

    def wants(self, kind: NearMissKind, confidence: float, most: int) -> bool:
        if len(self.kept) < most:
            return True
        return most > 0 and self.outdone(kind, confidence) is not None
