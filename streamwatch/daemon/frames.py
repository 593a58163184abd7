"""A camera's next frame, for whoever asks the daemon for one."""

from __future__ import annotations

from concurrent.futures import CancelledError

from streamwatch.errors import StreamwatchError
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.publisher import render_all

FRAME_SECONDS = 5.0
"""How long to wait for it."""
GONE = "the camera does not run any more"
QUALITY = 95
"""Of a JPEG that is drawn upon and written again."""


def none_came(seconds: float) -> str:
    return f"no frame came within {seconds:.0f} s"


def look(pipeline: Pipeline, camera: str) -> bytes | None:
    """The camera's next frame as a JPEG, nothing drawn on it; None for one that is not read.

    Waits for it. Raises StreamwatchError where none comes.
    """
    if camera not in pipeline.current.cameras:
        return None
    seen = pipeline.look(camera)
    try:
        frame = seen.result(FRAME_SECONDS).frame
    except TimeoutError:
        seen.cancel()
        raise StreamwatchError(f"{camera}: {none_came(FRAME_SECONDS)}") from None
    except CancelledError:
        raise StreamwatchError(f"{camera}: {GONE}") from None
    return render_all(frame.picture.bgr(), (), QUALITY)
