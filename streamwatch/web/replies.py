"""Answers in plain words."""

from __future__ import annotations

from starlette.responses import PlainTextResponse, Response


def text(sentence: str, code: int) -> Response:
    return PlainTextResponse(f"{sentence}\n", code)
