"""Pictures of cameras for those who look: the newest frame, scaled, with what was found in it."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from streamwatch.errors import StreamwatchError, first_line
from streamwatch.logs import Seldom
from streamwatch.pictures.drawing import NOT_DRAWN, jpeg
from streamwatch.pictures.shots import Mark, Shot
from streamwatch.records import Detection, Frame

log = logging.getLogger(__name__)

WIDTHS_PX = (320, 480, 640, 960, 1280, 1920)
"""A few, so that viewers share what is rendered."""
QUALITY = 75
MOST_VIEWERS = 16
MOST_CAMERAS = 64
"""That one viewer looks at."""
MOST_A_SECOND = 10.0
"""Pictures of one camera, whatever its `fps`."""
MOST_BYTES_A_SECOND = 1_500_000.0
"""To one viewer: twelve tiles at five pictures a second, or one large picture at ten."""


@dataclass(frozen=True, slots=True, eq=False)
class _Newest:
    number: int
    frame: Frame
    detections: tuple[Detection, ...]


class TooManyViewers(StreamwatchError):  # noqa: N818 - reads as what happened
    """So many look at the page already."""


class LivePictures:
    """Renders what is looked at, in a thread of its own, and nothing else.

    An `analysis.Observer`: `see` and `see_still` are called in the detector's thread and return at
    once. `marks` gives what to draw of a camera's detections, in a frame of (width, height) pixels.
    `hurry` has a camera give a frame soon, and may raise StreamwatchError. Both are called in other
    threads.
    """

    floor = 1.0
    """Nothing is found for the page that the watches don't need."""

    def __init__(
        self,
        marks: Callable[[str, Sequence[Detection], tuple[int, int]], tuple[Mark, ...]],
        hurry: Callable[[str], object],
    ) -> None:
        self._marks = marks
        self._say = Seldom(log, logging.WARNING)
        self._hurry = hurry
        self._changed = threading.Condition()
        """Held while anything below is read or changed; never while something is rendered."""
        self._viewers: list[Viewer] = []
        self._watched: frozenset[str] = frozenset()
        self._newest: dict[str, _Newest] = {}
        self._number = 0
        self._next_at: dict[str, float] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    # --- in the detector's thread -----------------------------------------------------------------

    def see(self, frame: Frame, detections: Sequence[Detection], /) -> None:
        if frame.camera in self._watched:
            self._take(frame, tuple(detections))

    def see_still(self, frame: Frame, /) -> None:
        """It shows what the last one did."""
        if frame.camera in self._watched:
            before = self._newest.get(frame.camera)
            self._take(frame, () if before is None else before.detections)

    def _take(self, frame: Frame, detections: tuple[Detection, ...]) -> None:
        with self._changed:
            if frame.camera not in self._watched:
                return  # the last one who looked has just left
            self._number += 1
            self._newest[frame.camera] = _Newest(self._number, frame, detections)
            self._changed.notify()

    # --- in any thread ----------------------------------------------------------------------------

    def viewer(self, wake: Callable[[], None]) -> Viewer:
        """Somebody who looks, until it is closed. `wake` is called when there is something to take.

        Raises TooManyViewers.
        """
        with self._changed:
            if len(self._viewers) >= MOST_VIEWERS:
                raise TooManyViewers(f"{MOST_VIEWERS} look at the page already; close one of them")
            viewer = Viewer(self, wake)
            self._viewers.append(viewer)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="live", daemon=True)
                self._thread.start()
        return viewer

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _leave(self, viewer: Viewer) -> None:
        with self._changed:
            if viewer in self._viewers:
                self._viewers.remove(viewer)
            self._look_at_less()

    def _look_at_less(self) -> None:
        """Let go of the pictures that nobody looks at any more."""
        self._watched = frozenset(name for viewer in self._viewers for name in viewer.widths)
        for name in self._newest.keys() - self._watched:
            del self._newest[name]
            self._next_at.pop(name, None)

    def _change(self, viewer: Viewer, widths: Mapping[str, int]) -> None:
        new = [name for name in widths if name not in viewer.widths]
        with self._changed:
            viewer.widths = dict(widths)
            viewer.wanted = {name for name in viewer.wanted if name in widths} | set(new)
            for name in new:
                viewer.seen.pop(name, None)
            self._look_at_less()
            self._changed.notify()
            missing = [name for name in new if name not in self._newest]
        for name in missing:
            try:
                self._hurry(name)
            except StreamwatchError as error:  # its status says so too
                log.debug("no picture of %s: %s", name, error)

    def _want(self, viewer: Viewer, camera: str) -> None:
        with self._changed:
            if camera in viewer.widths:
                viewer.wanted.add(camera)
                self._changed.notify()

    # --- in the thread `live` ---------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (due := self._due()):
                    if self._closed:
                        return
                    self._changed.wait(self._wait_seconds())
            self._render_all(due)

    def _due(self) -> list[tuple[_Newest, int, list[Viewer]]]:
        """What is to be rendered now, and for whom."""
        if self._closed:
            return []
        now = time.monotonic()
        found: dict[tuple[str, int], list[Viewer]] = defaultdict(list)
        for viewer, camera in self._waiting():
            if now >= max(viewer.next_at, self._next_at.get(camera, 0.0)):
                width = _rendered_width(viewer.widths[camera], self._newest[camera].frame.size[0])
                found[camera, width].append(viewer)
        for (camera, _), viewers in found.items():
            self._next_at[camera] = now + 1 / MOST_A_SECOND
            for viewer in viewers:
                viewer.wanted.discard(camera)
                viewer.seen[camera] = self._newest[camera].number
        return [(self._newest[camera], width, who) for (camera, width), who in found.items()]

    def _waiting(self) -> Iterator[tuple[Viewer, str]]:
        """Who waits for a picture of which camera, where there is one that they haven't seen."""
        for viewer in self._viewers:
            for camera in viewer.wanted:
                newest = self._newest.get(camera)
                if newest is not None and newest.number != viewer.seen.get(camera):
                    yield viewer, camera

    def _wait_seconds(self) -> float | None:
        """Until somebody may have another picture; None where nobody waits for one."""
        now = time.monotonic()
        moments = [
            max(viewer.next_at, self._next_at.get(camera, 0.0))
            for viewer, camera in self._waiting()
        ]
        return max(0.0, min(moments) - now) if moments else None

    def _render_all(self, due: Sequence[tuple[_Newest, int, list[Viewer]]]) -> None:
        # Not in `_run`, whose variables would hold the last frame until another is rendered.
        for newest, width, viewers in due:
            self._render(newest, width, viewers)

    def _render(self, newest: _Newest, width: int, viewers: Sequence[Viewer]) -> None:
        try:
            shot = self.shot(newest.frame, newest.detections, width)
        except Exception as error:  # what one camera sends is its problem alone
            log.debug("%s can't be shown", newest.frame.camera, exc_info=True)
            if not isinstance(error, NOT_DRAWN):
                self._say("%s can't be shown (%s)", newest.frame.camera, first_line(error))
            for viewer in viewers:
                self._want(viewer, newest.frame.camera)
            return
        for viewer in viewers:
            viewer.give(shot)

    def shot(self, frame: Frame, detections: Sequence[Detection], width: int) -> Shot:
        """Render a frame at about this width. Raises what is NOT_DRAWN."""
        marks = self._marks(frame.camera, detections, frame.size)
        return rendered(frame, marks, width)


class Viewer:
    """Somebody who looks at cameras. Made by `LivePictures.viewer`; for one thread, but `give`.

    There is one picture of each camera on its way at most: another comes once it was asked for with
    `want`, so that a slow viewer gets fewer, and the newest.
    """

    def __init__(self, live: LivePictures, wake: Callable[[], None]) -> None:
        self._live = live
        self._wake = wake
        self._lock = threading.Lock()
        self._ready: dict[str, Shot] = {}
        # The rest is guarded by the lock of `LivePictures`.
        self.widths: dict[str, int] = {}
        self.wanted: set[str] = set()
        self.seen: dict[str, int] = {}
        self.next_at = 0.0
        """Not before then another picture, in monotonic seconds."""

    def look_at(self, widths: Mapping[str, int]) -> None:
        """Look at these cameras from now on, each at about so many pixels of width."""
        self._live._change(self, dict([*widths.items()][:MOST_CAMERAS]))

    def want(self, camera: str) -> None:
        """The last picture of the camera has arrived: another may come."""
        self._live._want(self, camera)

    def give(self, shot: Shot) -> None:
        now = time.monotonic()
        self.next_at = max(self.next_at, now) + len(shot.jpeg) / MOST_BYTES_A_SECOND
        with self._lock:
            self._ready[shot.camera] = shot
        self._wake()

    def take(self) -> list[Shot]:
        """What is ready."""
        with self._lock:
            ready, self._ready = self._ready, {}
        return list(ready.values())

    def close(self) -> None:
        self._live._leave(self)


def rendered(frame: Frame, marks: tuple[Mark, ...], width: int) -> Shot:
    """Raises what is NOT_DRAWN."""
    whole = frame.size
    width = _rendered_width(width, whole[0])
    height = max(1, round(whole[1] * width / whole[0]))
    content = jpeg(frame.picture.bgr((width, height)), QUALITY)
    return Shot(frame.camera, frame.captured_at, whole, marks, content)


def _rendered_width(asked: int, most: int) -> int:
    """The next of a few widths, no more than the frame has."""
    return min(most, next((width for width in WIDTHS_PX if width >= asked), WIDTHS_PX[-1]))
