"""What goes over the WebSocket of somebody who looks: live pictures, states, trials of words."""

from __future__ import annotations

import asyncio
import json
import math
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from streamwatch.errors import StreamwatchError
from streamwatch.pictures.shots import Shot
from streamwatch.web.page.answers import Answers, Trial, Viewer, Words

STATE_SECONDS = 1.0
LARGEST_MESSAGE = 16 * 1024
"""Bytes of a message from the browser."""
TRY_AGAIN_LATER = 1013
"""WebSocket's status code (RFC 6455's registry) for a server that has no room."""
MOST_WIDTH = 4096

State = Callable[[], Awaitable[str]]
"""Gives the newest state, as JSON."""


async def look(socket: WebSocket, answers: Answers, state: State) -> None:
    """Serve one who looks, until they leave. The socket is accepted here."""
    await socket.accept()
    loop = asyncio.get_running_loop()
    awake = asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # the server has ended meanwhile
            loop.call_soon_threadsafe(awake.set)

    try:
        viewer = answers.viewer(wake)
    except StreamwatchError as error:
        await socket.send_text(json.dumps({"problem": str(error)}))
        await socket.close(TRY_AGAIN_LATER)
        return
    looking = _Looking(socket, answers, viewer, wake)
    tasks = [
        asyncio.create_task(looking.receive()),
        asyncio.create_task(looking.send(awake)),
        asyncio.create_task(looking.tell(state)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            with suppress(WebSocketDisconnect, RuntimeError):  # it was closed meanwhile
                task.result()
    finally:
        looking.close()  # first: what follows ends early where the server stops
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Looking:
    """One who looks. For the event loop; only what a trial gives comes from a thread of its own."""

    def __init__(
        self, socket: WebSocket, answers: Answers, viewer: Viewer, wake: Callable[[], None]
    ) -> None:
        self._socket = socket
        self._answers = answers
        self._viewer = viewer
        self._wake = wake
        self._trial: Trial | None = None
        self._trial_number = 0
        self._tried: list[tuple[int, Shot | str]] = []

    def close(self) -> None:
        self._end_trial()
        self._viewer.close()

    async def receive(self) -> None:
        while True:
            received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(received.get("code", 1000))
            try:
                message = json.loads(received.get("text") or "")
            except (ValueError, RecursionError):
                continue
            if isinstance(message, dict):
                await self._take(message)

    async def _take(self, message: Mapping[str, Any]) -> None:
        match message:
            case {"look": dict(widths)}:
                cameras = {
                    str(name): max(1, min(int(width), MOST_WIDTH))
                    for name, width in widths.items()
                    if isinstance(width, (int, float)) and math.isfinite(width)
                }
                self._viewer.look_at(cameras)
            case {"next": str(camera)}:
                self._viewer.want(camera)
            case {"words": None}:
                self._end_trial()
            case {"words": dict(asked)}:
                self._begin_trial(asked)
            case {"more": _}:
                if self._trial is not None:
                    self._trial.want()

    def _begin_trial(self, asked: Mapping[str, Any]) -> None:
        self._end_trial()
        self._trial_number += 1
        number = self._trial_number
        width = asked.get("width")
        words = Words(
            str(asked.get("camera", "")),
            _texts(asked.get("prompts")),
            _texts(asked.get("not")),
            max(1, min(width, MOST_WIDTH)) if isinstance(width, int) else 960,
        )

        def give(what: Shot | str) -> None:
            self._tried.append((number, what))
            self._wake()

        try:
            self._trial = self._answers.try_words(words, give)
        except StreamwatchError as error:
            give(str(error))

    def _end_trial(self) -> None:
        if self._trial is not None:
            self._trial.close()
            self._trial = None

    async def send(self, awake: asyncio.Event) -> None:
        """Send pictures as they come; the socket's own buffer holds up whoever is slow."""
        while True:
            await awake.wait()
            awake.clear()
            for shot in self._viewer.take():
                await self._socket.send_bytes(packed("live", shot))
            while self._tried:
                number, what = self._tried.pop(0)
                if number != self._trial_number:
                    continue
                if isinstance(what, str):
                    await self._socket.send_text(json.dumps({"trial": what}))
                else:
                    await self._socket.send_bytes(packed("trial", what))

    async def tell(self, state: State) -> None:
        """Send the state whenever it is another, looked at each second."""
        before = ""
        while True:
            now = await state()
            if now != before:
                before = now
                await self._socket.send_text(now)
            await asyncio.sleep(STATE_SECONDS)


def packed(kind: str, shot: Shot) -> bytes:
    """Four bytes with the length of the JSON that follows, big-endian; behind it the JPEG."""
    head = {
        "kind": kind,
        "camera": shot.camera,
        "at": shot.captured_at.isoformat(timespec="milliseconds"),
        "size": list(shot.size),
        "marks": [
            {
                "prompt": mark.prompt,
                "confidence": round(mark.confidence, 3),
                "box": [round(edge, 4) for edge in mark.box],
                "watches": list(mark.watches),
                "why": mark.why,
            }
            for mark in shot.marks
        ],
    }
    text = json.dumps(head, ensure_ascii=False).encode()
    return struct.pack(">I", len(text)) + text + shot.jpeg


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()
