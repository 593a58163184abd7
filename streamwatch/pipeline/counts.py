"""What the pipeline counts."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from streamwatch.pipeline.durations import Durations

BATCH_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 5.0)
LATENCY_BOUNDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 10.0)
SAMPLES = 1000
"""Durations kept for the percentiles in the statistics."""


@dataclass(slots=True)
class Counts:
    """Counted since the start; written by the analysis alone, read by anyone."""

    batches: int = 0
    frames: Counter[str] = field(default_factory=Counter)
    events: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By camera, watch and type."""
    batches_by_seconds: Durations = field(default_factory=lambda: Durations(BATCH_BOUNDS))
    latencies_by_seconds: Durations = field(default_factory=lambda: Durations(LATENCY_BOUNDS))
    batch_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    latency_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
