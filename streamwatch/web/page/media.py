"""Answers with a file that may be large: a part of it at a time, as players ask for it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from streamwatch import files
from streamwatch.web.replies import text
from streamwatch.web.threads import Threads

MOST_AT_ONCE = 2_000_000
"""Bytes of an answer to a player, who asks again for what follows; so that each is sent before the
connection's time is over, and a player that pauses holds no connection."""
CHUNK = 256 * 1024

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def media(request: Request, path: Path | None, kind: str, threads: Threads) -> Response:
    """The part of a file that is asked for (RFC 9110, 14.2), at most `MOST_AT_ONCE`; without a
    `Range` all of it. Only a regular file, to which no link leads."""
    try:
        file = None if path is None else files.opened(path, follow=False)
    except OSError:
        file = None
    if file is None:
        return text("there is no such clip any more", 404)
    try:
        status = os.fstat(file.fileno())
        size, tag = status.st_size, f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        headers = {"accept-ranges": "bytes", "etag": tag}
        wanted = _RANGE.fullmatch(request.headers.get("range", ""))
        if wanted is None or request.headers.get("if-range", tag) != tag:
            return _whole(request, file, size, kind, headers, threads)
        with file:
            return _part(file, size, kind, headers, *wanted.groups())
    except BaseException:
        file.close()
        raise


def _part(
    file: BinaryIO, size: int, kind: str, headers: dict[str, str], first: str, last: str
) -> Response:
    if not first:  # the last so many bytes
        start, end = max(0, size - int(last or 0)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
    if start >= end:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{size}"})
    file.seek(start)
    content = file.read(min(end - start, MOST_AT_ONCE))
    span = f"bytes {start}-{start + len(content) - 1}/{size}"
    return Response(content, 206, {**headers, "content-range": span}, kind)


def _whole(
    request: Request,
    file: BinaryIO,
    size: int,
    kind: str,
    headers: dict[str, str],
    threads: Threads,
) -> Response:
    headers |= {"content-length": str(size)}
    if request.method == "HEAD":
        file.close()
        return Response(None, headers=headers, media_type=kind)
    chunks = _chunks(file, size, threads, request.state.more_time)
    return StreamingResponse(chunks, headers=headers, media_type=kind)


async def _chunks(
    file: BinaryIO, left: int, threads: Threads, more_time: Callable[[], None]
) -> AsyncIterator[bytes]:
    """What was announced and no more; a client that goes on reading may take as long as it does."""
    with file:
        while left > 0:
            chunk = await asyncio.wrap_future(
                threads.submit(lambda: file.read(min(CHUNK, left)))  # noqa: B023
            )
            if not chunk:
                return
            left -= len(chunk)
            more_time()
            yield chunk
