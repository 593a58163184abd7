"""The source for a camera's settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streamwatch.config import CameraSettings, mask_url, with_credentials, with_short_login
from streamwatch.source.certificates import tls_options
from streamwatch.source.clock import Clock
from streamwatch.source.copies import Tap
from streamwatch.source.decoding import Input
from streamwatch.source.file import FileSource
from streamwatch.source.live import LiveSource
from streamwatch.source.protocol import Source
from streamwatch.source.web import WebSource

STREET_CLIP = Path(__file__).parents[1] / "models" / "toybox" / "street.mp4"
MakeSource = Callable[[CameraSettings, Clock], Source]
"""Gives what reads a camera, not opened yet."""

BUNDLED = {"bundled:street": STREET_CLIP}

RTSP_ANALYZE_MICROSECONDS = 500_000
"""With FFmpeg's default, opening takes 2 s and then gives 28 old frames at once; with this, 0.6 s
and 9."""


def source_for(settings: CameraSettings, clock: Clock, tap: Tap | None = None) -> Source:
    """The source for `settings.url`, not opened yet; `tap` takes copies of its packets."""
    shown = mask_url(settings.url)
    address, rotate = _address(settings), settings.rotate
    match settings.kind:
        case "rtsp":
            options = {
                "rtsp_transport": settings.transport,
                "analyzeduration": str(RTSP_ANALYZE_MICROSECONDS),
                **tls_options(settings.url),
            }
            target = Input(address, shown, options=options, rotate=rotate, tap=tap)
            return LiveSource(target, times="camera", clock=clock)
        case "http":
            target = Input(address, shown, rotate=rotate, tap=tap)
            return WebSource(target, fps=settings.fps, loop=settings.loop, clock=clock)
        case "device":
            target = Input(address, shown, format="v4l2", rotate=rotate, tap=tap)
            return LiveSource(target, times="arrival", clock=clock)
        case "file":
            target = Input(file_of(settings), shown, rotate=rotate, tap=tap)
            return FileSource(target, loop=settings.loop, paced=settings.pace, clock=clock)


def file_of(settings: CameraSettings) -> str:
    """The path of a recording."""
    return str(BUNDLED.get(settings.url, settings.url))


def _address(settings: CameraSettings) -> str:
    """The URL for FFmpeg, with user name and password; nowhere else are they joined."""
    if settings.username is None:
        return with_short_login(settings.url)
    password = settings.password.get_secret_value() if settings.password else None
    return with_credentials(settings.url, settings.username, password)
