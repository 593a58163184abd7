"""How many frames a second are analysed."""

from __future__ import annotations


class Rate:
    """Decides which frames of one camera are due, at most `fps` a second.

    Due times accumulate instead of restarting at each frame taken, so 15 → 2 fps averages 2.0 and
    not 1.875. Only the camera's capture thread calls `due`.
    """

    def __init__(self, fps: float) -> None:
        self._period = 1 / fps
        self._next = float("-inf")

    def change(self, fps: float) -> None:
        """Continue at another rate; from any thread."""
        self._period = 1 / fps

    def hurry(self) -> None:
        """Make the next frame due; from any thread."""
        self._next = float("-inf")

    def due(self, seconds: float) -> bool:
        """Whether the frame at `seconds` (`Frame.seconds`) is to be analysed."""
        # Times are sums of floats: allow for rounding.
        if seconds < self._next - 1e-6:
            return False
        behind = seconds - self._next >= self._period
        self._next = (seconds if behind else self._next) + self._period
        return True
