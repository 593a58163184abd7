"""Warnings about watches that a camera can't satisfy, since its pictures are too far apart.

Those that its `fps` makes impossible are errors of the file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta

from streamwatch.config.sections.whole import Config
from streamwatch.config.values.units import duration_text


def too_slow(config: Config, camera: str, interval_seconds: float) -> Iterator[tuple[str, str]]:
    """(watch, message) for those that can't come about where `camera` gives a picture to analyse
    every `interval_seconds`."""
    for name, watch in config.watches_of(camera).items():
        appear = watch.appear
        slack = 0.5 / config.cameras[camera].fps
        if (appear.hits - 1) * interval_seconds <= appear.within.total_seconds() + slack:
            continue
        yield (
            name,
            f"nothing can appear at {camera}, which gives a picture every {interval_seconds:.2g} s:"
            f" {appear.hits} sightings within {duration_text(appear.within)} are asked for; write "
            f"appear: {{hits: 1}}, or a longer within, and a leave of "
            f"{duration_text(timedelta(seconds=math.ceil(3 * interval_seconds)))} or more",
        )
