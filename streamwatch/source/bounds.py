"""Bounds on what a camera may send: beyond them it is that camera's problem."""

from __future__ import annotations

LEAST_SIDE = 16
"""Pixels; in less than one macroblock nothing can be told apart."""
MOST_PIXELS = 50_000_000
"""8K has 33 million, the widest panoramas of four sensors 26; each million takes 9 MB at a time."""
MOST_ASPECT = 20.0
"""The longer side by the shorter: at 640 px for the longer, 32 px are left of the shorter."""
MOST_SECONDS = 10 * 365 * 86_400.0
"""A file's last time stamp. Above some 250 000 years the time of day can't be computed."""


def unfit_size(width: int, height: int) -> str | None:
    """Why pictures of this size (pixels) are not analysed; None if they are."""
    shown = f"its pictures are {width}x{height} px"
    if min(width, height) < LEAST_SIDE:
        return f"{shown}, and {LEAST_SIDE} are needed on each side"
    if width * height > MOST_PIXELS:
        return f"{shown}, and {MOST_PIXELS:,} pixels are the most that is analysed"
    if max(width, height) > MOST_ASPECT * min(width, height):
        return f"{shown}: one side is more than {MOST_ASPECT:.0f} times the other"
    return None
