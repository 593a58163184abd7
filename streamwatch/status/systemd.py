"""Notifications to systemd (sd_notify(3)); without systemd they do nothing."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def status(text: str) -> None:
    """The line in `systemctl status`. Line breaks are removed: each line is a message of its
    own."""
    _tell(f"STATUS={' '.join(text.split())}")


def ready() -> None:
    """Starting is complete."""
    _tell("READY=1")


def alive() -> None:
    """Reset the watchdog."""
    _tell("WATCHDOG=1")


def stopping() -> None:
    _tell("STOPPING=1")


def _tell(line: str) -> None:
    """Never raises."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # an abstract socket: its name starts with a zero byte
        address = f"\0{address[1:]}"
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(f"{line}\n".encode(errors="replace"), address)
