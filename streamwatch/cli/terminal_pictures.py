"""Pictures in a terminal: by kitty's protocol or as sixels, where it says that it knows them."""

from __future__ import annotations

import io
import logging
import os
import re
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from rich.console import Console, RenderableType
from rich.segment import ControlType, Segment, Segments

from streamwatch.records import Image

ANSWER_SECONDS = 1.0
"""How long a terminal is given to answer, through a slow line too. One that answers is not waited
for any longer, and there is hardly one that does not."""
SAVE_CURSOR, RESTORE_CURSOR, ERASE_LINE = "\x1b7", "\x1b8", "\x1b[K"
ASK_KITTY = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
"""https://sw.kovidgoyal.net/kitty/graphics-protocol/#querying-support-and-available-transmission-mediums"""
ASK_ATTRIBUTES = "\x1b[c"
"""Answered by all terminals, in order, so that after its answer no other comes."""
KITTY_KNOWN = re.compile(r"\x1b_Gi=31;OK\x1b\\")
ATTRIBUTES = re.compile(r"\x1b\[\?([\d;]*)c")
SIXEL = "4"
"""Its number among the attributes (DA1)."""
ENOUGH_PIXELS = 1920, 1080
"""A JPEG with at least twice as many is decoded at a half, a quarter or an eighth of its size."""
SPARE_ROWS = 4
"""Of the screen, that no picture fills: what scrolls out while it is drawn is lost."""
_AS_IT_IS = [(ControlType.CURSOR_FORWARD, 0)]
"""Marks text that Rich shall neither measure nor break."""

Means = Literal["kitty", "sixel", "half cells"]


class TerminalPictures:
    """How pictures are shown on the terminal of this console, if at all.

    With `wanted` None only where the terminal can show real ones, with True on any terminal, as
    coloured half cells if need be. The terminal is asked here, through stdin, so before anything
    else reads that. Where stdout is no terminal nothing is written and nothing is shown.
    """

    def __init__(self, console: Console, wanted: bool | None) -> None:
        self._console = console
        self._means: Means | None = None
        if wanted is not False and console.is_terminal and _has_columns(sys.__stdout__):
            self._means = _asked() or ("half cells" if wanted else None)
        if self._means is not None:
            # The library asks for the size of a cell when it first needs it, and keeps the answer;
            # where it gets none it warns, and takes a usual one.
            logging.getLogger("textual_image").addHandler(logging.NullHandler())
            console.measure(_library().SixelImage(_speck()))

    @property
    def able(self) -> bool:
        return self._means is not None

    def shown(self, picture: bytes | Image, width_cells: int) -> RenderableType:
        """A JPEG, or an image as `(H, W, 3) uint8 BGR`, at most so wide; to be printed at once and
        by itself, not within a table. Raises ValueError if it is no picture.
        """
        library = _library()
        kinds = {
            "kitty": library.TGPImage,
            "sixel": library.SixelImage,
            "half cells": library.HalfcellImage,
        }
        if self._means is None:
            raise RuntimeError("a picture is shown where none can be")
        # kitty's protocol writes a picture's number as a colour, so that must not become another,
        # whatever NO_COLOR or TERM say.
        canvas = Console(
            file=io.StringIO(),
            force_terminal=True,
            no_color=False,
            color_system="truecolor" if self._means != "half cells" else _depth(self._console),
            width=min(width_cells, self._console.width),
            height=max(self._console.height - SPARE_ROWS, 1),
            legacy_windows=False,
        )
        with canvas.capture() as drawn:
            canvas.print(kinds[self._means](_opened(picture), width="auto", height="auto"))
        return Segments([Segment(drawn.get(), None, _AS_IT_IS)])


def _depth(console: Console) -> Any:
    return None if console.no_color else console.color_system


def _is_terminal(stream: Any) -> bool:
    try:
        return stream is not None and os.isatty(stream.fileno())
    except (OSError, ValueError):  # closed
        return False


def _has_columns(stream: Any) -> bool:
    """Whether it is a terminal that tells its size: the library divides by that."""
    return _is_terminal(stream) and os.get_terminal_size(stream.fileno()).columns > 0


def _asked() -> Means | None:
    """What the terminal answers that it knows; None also where it can't be asked."""
    if not _is_terminal(sys.__stdin__) or os.environ.get("TERM", "dumb") == "dumb":
        return None
    answer = _answer(sys.__stdin__.fileno(), sys.__stdout__.fileno())  # type: ignore[union-attr]
    attributes = ATTRIBUTES.search(answer)
    # Sixels first: Konsole and WezTerm say that they know kitty's protocol, but not its
    # placeholders, by which the library shows a picture.
    if attributes is not None and SIXEL in attributes[1].split(";"):
        return "sixel"
    return "kitty" if KITTY_KNOWN.search(answer) else None


def _answer(stdin: int, stdout: int) -> str:
    """All that comes until the terminal has told its attributes; what was typed is among it."""
    try:
        # In the background a change of the terminal's mode would halt us (SIGTTOU).
        if os.tcgetpgrp(stdin) != os.getpgrp():
            return ""
        with _unechoed(stdin):
            # A terminal that does not know kitty's question may print it: it is erased then.
            question = SAVE_CURSOR + ASK_KITTY + RESTORE_CURSOR + ERASE_LINE + ASK_ATTRIBUTES
            os.write(stdout, question.encode())
            found = ""
            deadline = time.monotonic() + ANSWER_SECONDS
            while ATTRIBUTES.search(found) is None:
                left = max(deadline - time.monotonic(), 0.0)
                if not select.select([stdin], [], [], left)[0]:
                    return found
                read = os.read(stdin, 1024)
                if not read:  # it was closed
                    return found
                found += read.decode("latin-1")
            return found
    except (OSError, termios.error):
        return ""


@contextmanager
def _unechoed(stdin: int) -> Iterator[None]:
    """Without an echo and without waiting for whole lines."""
    before = termios.tcgetattr(stdin)
    tty.setcbreak(stdin, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)


def _library() -> Any:
    """`textual_image.renderable`, which is slow to import.

    While it is first imported it would ask the terminal itself, with less patience than we: an
    answer that comes later stands on the screen. So it must see no terminal then.
    """
    stdout, vars(sys)["__stdout__"] = sys.__stdout__, None
    try:
        import textual_image.renderable

        return textual_image.renderable
    finally:
        vars(sys)["__stdout__"] = stdout


def _speck() -> Any:
    from PIL import Image as Pillow

    return Pillow.new("RGB", (1, 1))


def _opened(picture: bytes | Image) -> Any:
    """As Pillow has it, and read as a whole. Raises ValueError if it is no picture."""
    from PIL import Image as Pillow

    if not isinstance(picture, bytes):
        return Pillow.fromarray(picture[..., ::-1])
    try:
        opened = Pillow.open(io.BytesIO(picture), formats=["JPEG"])
        opened.draft("RGB", ENOUGH_PIXELS)
        return opened.convert("RGB")
    except (OSError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise ValueError(f"not a picture: {error}") from error
