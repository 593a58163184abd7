"""What systemd is told while the service runs (sd_notify(3)); silence where it does not listen."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def status(text: str) -> None:
    """One line for `systemctl status`, whatever is in it: a second one would be an order."""
    _tell(f"STATUS={' '.join(text.split())}")


def ready() -> None:
    """The start is over: what depends on the service may start."""
    _tell("READY=1")


def alive() -> None:
    """Put off the watchdog once more."""
    _tell("WATCHDOG=1")


def stopping() -> None:
    _tell("STOPPING=1")


def _tell(line: str) -> None:
    """Never raises: nobody must stop for want of a listener."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # an abstract socket, whose name starts with a zero byte
        address = f"\0{address[1:]}"
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(f"{line}\n".encode(errors="replace"), address)
