"""The source for a camera's settings."""

from __future__ import annotations

from pathlib import Path

from streamwatch.config import CameraSettings, mask_url, with_credentials, with_short_login
from streamwatch.source.certificates import tls_options
from streamwatch.source.clock import Clock
from streamwatch.source.decoding import Input
from streamwatch.source.file import FileSource
from streamwatch.source.live import LiveSource
from streamwatch.source.protocol import Source

STREET_CLIP = Path(__file__).parents[1] / "models" / "toybox" / "street.mp4"
BUNDLED = {"bundled:street": STREET_CLIP}

RTSP_ANALYZE_MICROSECONDS = 500_000
"""With FFmpeg's default, opening takes 2 s and then gives 28 old frames at once; with this, 0.6 s
and 9."""

HTTP_OPTIONS = {
    "max_redirects": "0",
    "protocol_whitelist": "http,https,tcp,tls,httpproxy,crypto,data",
}
"""FFmpeg follows no redirect by itself, and what a playlist (HLS) lists reaches no files: the
protocols are those that HTTP, TLS, a proxy and encrypted HLS are made of. Of a playlist's parts the
first is true only while the connection is kept."""


def source_for(settings: CameraSettings, clock: Clock) -> Source:
    """The source for `settings.url`, not opened yet."""
    shown = mask_url(settings.url)
    address = _address(settings)
    match settings.kind:
        case "rtsp":
            options = {
                "rtsp_transport": settings.transport,
                "analyzeduration": str(RTSP_ANALYZE_MICROSECONDS),
                **tls_options(settings.url),
            }
            target = Input(address, shown, options=options)
            return LiveSource(target, own_times=True, clock=clock)
        case "http":
            options = {**HTTP_OPTIONS, **tls_options(settings.url)}
            target = Input(address, shown, options=options, redirects=True)
            return LiveSource(target, own_times=False, clock=clock)
        case "device":
            target = Input(address, shown, format="v4l2")
            return LiveSource(target, own_times=False, clock=clock)
        case "file":
            path = str(BUNDLED.get(settings.url, settings.url))
            return FileSource(
                Input(path, shown), loop=settings.loop, paced=settings.pace, clock=clock
            )


def _address(settings: CameraSettings) -> str:
    """The URL for FFmpeg, with user name and password; nowhere else are they joined."""
    if settings.username is None:
        return with_short_login(settings.url)
    password = settings.password.get_secret_value() if settings.password else None
    return with_credentials(settings.url, settings.username, password)
