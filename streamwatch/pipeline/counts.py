"""What the pipeline counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from streamwatch.pipeline.durations import Durations

BATCH_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 5.0)
LOOK_BOUNDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0)
LATENCY_BOUNDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 10.0)


@dataclass(slots=True)
class Counts:
    """Counted since the start; written by the analysis alone, read by anyone."""

    batches: int = 0
    analysed: Counter[str] = field(default_factory=Counter)
    """Frames, by camera."""
    gated: Counter[str] = field(default_factory=Counter)
    """Frames that were not analysed since nothing moved, by camera."""
    events: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By camera, watch and type."""
    inference: Durations = field(default_factory=lambda: Durations(BATCH_BOUNDS))
    """Of each batch."""
    latency: Durations = field(default_factory=lambda: Durations(LATENCY_BOUNDS))
    """From a live frame's capture to handing out its events."""
    look: Durations = field(default_factory=lambda: Durations(LOOK_BOUNDS))
    """Of each second look that was made."""
    looks_confirmed: int = 0
    """Of those."""
    looks_failed: int = 0
    """Second looks that could not be made."""
