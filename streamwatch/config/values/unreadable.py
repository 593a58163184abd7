"""What people write for a camera that is none here: forms of other programs, and bare addresses."""

from __future__ import annotations

import ipaddress
import re

PRIVATE_DOMAINS = (
    *(".local", ".localhost", ".internal", ".home.arpa"),
    *(".intranet", ".private", ".corp", ".home", ".lan"),
)
"""From RFC 6762 with its appendix G, RFC 6761, RFC 8375, and ICANN's resolution on .internal."""

_RTSP_INSTEAD = "most cameras have an RTSP address too; write that, as rtsp://host:554/…"
_NO_PROGRAM = "and no program is run here; write the address it reads from, as rtsp://…"
_FORMS = {
    **dict.fromkeys(
        ("exec", "echo", "expr", "pipe"), f"is a command for go2rtc or FFmpeg, {_NO_PROGRAM}"
    ),
    "ffmpeg": "is a form of go2rtc; write what follows ffmpeg:, without what it has from # on",
    "file": "is a file as a URL; write its path alone, as /videos/clip.mp4",
    **dict.fromkeys(("rtspt", "rtspx"), "is RTSP in another program's words; write rtsp://…"),
    "rtspu": "is RTSP over UDP in another program's words; write rtsp://… and transport: udp",
    **dict.fromkeys(
        ("v4l2", "device", "avfoundation", "dshow"),
        "is a device in another program's words; write /dev/video0 or its number",
    ),
    "onvif": f"is the address for asking a camera about its streams; {_RTSP_INSTEAD}",
    **dict.fromkeys(
        ("rtmp", "rtmps", "rtmpe", "rtmpt"), f"is RTMP, which is not read; {_RTSP_INSTEAD}"
    ),
    **dict.fromkeys(
        ("webrtc", "whep", "ws", "wss"),
        f"is for browsers (WebRTC, MSE) and is not read; {_RTSP_INSTEAD}",
    ),
    **dict.fromkeys(
        ("srt", "udp", "rtp", "tcp"),
        "is a stream that is sent rather than asked for, and is not read; have a server such as "
        "MediaMTX take it, and write that one's rtsp://…",
    ),
    **dict.fromkeys(
        ("homekit", "kasa", "tapo", "nest", "ring", "hass", "dvrip", "bubble", "isapi"),
        "is a protocol of go2rtc's; have go2rtc offer it as RTSP, and write rtsp://host:8554/NAME",
    ),
}
"""What is said of a scheme of another program."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_LABEL = r"[A-Za-z0-9_](?:[\w-]*[A-Za-z0-9_])?"
_HOST_AND_PORT = re.compile(rf"{_LABEL}(?:\.{_LABEL})*:[0-9]{{1,5}}", re.ASCII)
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})+\.?", re.ASCII)
_PUBLIC_ENDS = (".com", ".net", ".org")


def form_of_another(text: str) -> str | None:
    """What to write in place of another program's form, as `ffmpeg:…`; None if it is none."""
    scheme = _SCHEME.match(text)
    return _FORMS.get(scheme[1].lower()) if scheme else None


def is_bare_address(text: str) -> bool:
    """Whether `text`, which no file or folder begins with, is an address that lacks its scheme."""
    if text.startswith(("/", ".", "~")):
        return False
    host, _, path = text.partition("/")
    host = re.split("[?#]", host)[0]
    login, at, host = host.rpartition("@")
    if (at and ":" in login) or _is_ip(host) or _HOST_AND_PORT.fullmatch(host):
        return True
    if host == "localhost" or host.rstrip(".").lower().endswith(PRIVATE_DOMAINS):
        return True
    if not _DOMAIN.fullmatch(host):
        return False
    # A file has a suffix, and a folder may have a dot.
    return "." not in path if path else host.lower().endswith(_PUBLIC_ENDS)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(re.sub(r"^\[(.*)\](?::[0-9]*)?$", r"\1", host))
    except ValueError:
        return False
    return True
