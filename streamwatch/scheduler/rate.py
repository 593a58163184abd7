"""How many frames a second are analysed."""

from __future__ import annotations


class Rate:
    """Tells which frames of one camera are due, `fps` a second at most.

    Due times accumulate instead of starting anew at each frame taken, so 15 → 2 fps averages 2.0
    and not 1.875. `due` is for the camera's capture thread alone.
    """

    def __init__(self, fps: float) -> None:
        self._period = 1 / fps
        self._next = float("-inf")

    def change(self, fps: float) -> None:
        """Go on at another rate; from any thread."""
        self._period = 1 / fps

    def hurry(self) -> None:
        """Let the next frame be due, whenever it comes; from any thread."""
        self._next = float("-inf")

    def due(self, seconds: float) -> bool:
        """Whether the frame at `seconds` (`Frame.seconds`) is to be analysed."""
        # Times come from sums of floats: a frame that is due up to rounding is due.
        if seconds < self._next - 1e-6:
            return False
        behind = seconds - self._next >= self._period
        self._next = (seconds if behind else self._next) + self._period
        return True
