"""Pictures in terminals of several kinds, each a real one to the program in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.parts.terminal import (
    ATTRIBUTES_ASKED,
    CELL_SIZE_ASKED,
    KITTY_ASKED,
    KITTY_TERMINAL,
    PLAIN_TERMINAL,
    SIXEL_TERMINAL,
    Terminal,
)

pytestmark = pytest.mark.slow(seconds=25)

SIXEL_DRAWN = b"\x1bP0;0;0q"
KITTY_SENT = re.compile(rb"\x1b_Gi=\d+,m=0,f=100,")
KITTY_PLACE = "\U0010eeee"
SHOW = """
import sys
import cv2, numpy
from rich.console import Console
from streamwatch.cli.terminal_pictures import TerminalPictures
console = Console()
pictures = TerminalPictures(console, {wanted})
print("able" if pictures.able else "unable")
if pictures.able:
    image = numpy.full(({height}, 320, 3), (255, 0, 0), numpy.uint8)
    console.print(pictures.shown(image, 20))
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    console.print(pictures.shown(jpeg, 20))
    import io
    from PIL import Image
    Image.new("CMYK", (320, {height})).save(printed := io.BytesIO(), "jpeg")
    pictures.shown(printed.getvalue(), 20)
    for wrong in (b"", b"GIF89a", jpeg[:300]):
        try:
            pictures.shown(wrong, 20)
            print("shown?")
        except ValueError:
            pass
    print("below")
print("stdin:", repr(sys.stdin.readline()) if {reads} else "")
"""
XTERM = {**os.environ, "TERM": "xterm-256color"}


def command(wanted: bool | None = None, *, height: int = 180, reads: bool = False) -> list[str]:
    return [sys.executable, "-c", SHOW.format(wanted=wanted, height=height, reads=reads)]


@pytest.mark.parametrize(
    "environment", [{}, {"TERM": "xterm-kitty", "COLORTERM": ""}], ids=["here", "through ssh"]
)
def test_kitty_is_sent_its_own_protocol(environment: Mapping[str, str]) -> None:
    with Terminal(command(), {**XTERM, **environment}, answers=KITTY_TERMINAL) as terminal:
        terminal.wait_for("below")
        assert terminal.wait() == 0
    assert len(KITTY_SENT.findall(terminal.written)) == 3
    # 320x180 on 20 cells of 8x16 pixels takes 90 pixels of height, so 6 rows.
    assert terminal.written.decode().count(KITTY_PLACE) == 2 * 20 * 6
    assert b"\x1b[38;2;" in terminal.written  # the picture's number, as a colour
    assert SIXEL_DRAWN not in terminal.written


def test_no_colours_are_no_hindrance_to_kitty() -> None:
    run = ["env", "NO_COLOR=1", *command()]
    with Terminal(run, XTERM, answers=KITTY_TERMINAL) as terminal:
        assert terminal.wait() == 0
    assert b"\x1b[38;2;" in terminal.written


def test_a_sixel_terminal_gets_sixels() -> None:
    with Terminal(command(), XTERM, answers=SIXEL_TERMINAL) as terminal:
        terminal.wait_for("below")
        assert terminal.wait() == 0
    assert terminal.written.count(SIXEL_DRAWN + b'"1;1;160;96') == 2
    assert not KITTY_SENT.search(terminal.written)


@pytest.mark.parametrize(
    ("more", "size"),
    [({CELL_SIZE_ASKED: b"\x1b[6;20;12t"}, b"240;140"), ({}, b"200;120")],
    ids=["it answers", "it does not"],
)
def test_a_terminal_that_tells_no_pixels_is_asked(more: Mapping[bytes, bytes], size: bytes) -> None:
    answers = {**SIXEL_TERMINAL, **more}
    with Terminal(command(), XTERM, answers=answers, cell_pixels=(0, 0)) as terminal:
        assert terminal.wait() == 0
    assert terminal.written.count(SIXEL_DRAWN + b'"1;1;' + size) == 2
    assert b"textual" not in terminal.written
    assert b"Failed" not in terminal.written


@pytest.mark.parametrize("wanted", [None, True])
def test_a_terminal_without_a_size_gets_none(wanted: bool | None) -> None:
    with Terminal(command(wanted), XTERM, answers=SIXEL_TERMINAL, size_known=False) as terminal:
        assert terminal.wait() == 0
    assert b"unable" in terminal.written


def test_one_that_says_both_gets_sixels() -> None:
    answers = {**KITTY_TERMINAL, **SIXEL_TERMINAL}
    with Terminal(command(), XTERM, answers=answers) as terminal:
        assert terminal.wait() == 0
    assert SIXEL_DRAWN in terminal.written
    assert not KITTY_SENT.search(terminal.written)


def test_a_high_picture_fits_the_screen() -> None:
    with Terminal(command(height=3200), XTERM, answers=SIXEL_TERMINAL) as terminal:
        assert terminal.wait() == 0
    assert SIXEL_DRAWN + b'"1;1;32;320' in terminal.written  # 20 of 24 rows


@pytest.mark.parametrize(
    "answers", [PLAIN_TERMINAL, {}], ids=["it knows no pictures", "it does not answer"]
)
def test_another_terminal_gets_none(answers: Mapping[bytes, bytes]) -> None:
    with Terminal(command(), XTERM, answers=answers) as terminal:
        assert terminal.wait() == 0
    # pyte prints what it does not know, as some terminals do.
    assert [line.strip() for line in terminal.lines] == ["unable", "stdin:"]


def test_where_they_are_wanted_in_any_case_cells_are_coloured() -> None:
    with Terminal(command(wanted=True), XTERM) as terminal:
        lines = terminal.wait_for("below")
        assert terminal.wait() == 0
    assert "▀" * 20 in "".join(lines)


@pytest.mark.parametrize(
    ("wanted", "environment"), [(False, {}), (None, {"TERM": "dumb"})], ids=["unwanted", "dumb"]
)
def test_some_are_not_even_asked(wanted: bool | None, environment: Mapping[str, str]) -> None:
    run = command(wanted)
    with Terminal(run, {**XTERM, **environment}, answers=SIXEL_TERMINAL) as terminal:
        assert terminal.wait() == 0
    assert [line.strip() for line in terminal.lines] == ["unable", "stdin:"]
    assert ATTRIBUTES_ASKED not in terminal.written
    assert KITTY_ASKED not in terminal.written


def test_the_echo_is_there_again_afterwards() -> None:
    with Terminal(command(reads=True), XTERM) as terminal:
        terminal.wait_for_bytes(b"unable\r\n")
        terminal.press(b"hello\n")
        terminal.wait_for(r"stdin: 'hello\n'")
        assert terminal.wait() == 0
    assert "hello" in terminal.lines


@pytest.mark.parametrize("wanted", [None, True])
def test_nothing_is_written_to_a_pipe(tmp_path: Path, wanted: bool | None) -> None:
    done = subprocess.run(
        command(wanted), stdin=subprocess.DEVNULL, capture_output=True, env=XTERM, check=True
    )
    assert (done.stdout, done.stderr) == (b"unable\nstdin: \n", b"")


def test_without_a_terminal_to_type_in_none_is_asked() -> None:
    run = ["sh", "-c", '"$@" </dev/null', "sh", *command()]
    with Terminal(run, XTERM, answers=SIXEL_TERMINAL) as terminal:
        assert terminal.wait() == 0
    assert ATTRIBUTES_ASKED not in terminal.written
    assert terminal.lines[0].strip() == "unable"


def test_one_in_the_background_goes_on() -> None:
    run = ["bash", "-ic", '"$@" & wait $!', "bash", *command()]
    with Terminal(run, XTERM, answers=SIXEL_TERMINAL) as terminal:
        terminal.wait_for("stdin:")
    assert ATTRIBUTES_ASKED not in terminal.written
