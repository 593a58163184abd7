"""Makes answers in a few threads, since that may wait for locks and disks."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

_Made = TypeVar("_Made")


class Threads:
    """Calls functions in a few threads.

    An executor's threads would hold up the end of the program while a page hangs; these don't.
    """

    def __init__(self, name: str, count: int) -> None:
        self._count = count
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        for number in range(count):
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True).start()

    def endpoint(self, make: Callable[[Request], Response]) -> Callable[[Request], Any]:
        """An endpoint whose answer is made in a thread, while the client is there.

        A body that was read before is in `request.state.body`.
        """

        async def answer(request: Request) -> Response:
            making = asyncio.wrap_future(self.submit(lambda: make(request)))
            gone = asyncio.create_task(_gone(request))
            either: tuple[asyncio.Future[Any], ...] = (making, gone)
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if making.done():
                return making.result()
            making.cancel()
            return Response()  # nobody gets it

        return answer

    def submit(self, make: Callable[[], _Made]) -> Future[_Made]:
        future: Future[_Made] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(make())
            except Exception as error:
                future.set_exception(error)

        self._waiting.put(run)
        return future

    def close(self) -> None:
        for _ in range(self._count):
            self._waiting.put(None)

    def _run(self) -> None:
        while (run := self._waiting.get()) is not None:
            run()


async def _gone(request: Request) -> None:
    """Returns when the client has gone or was sent away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
