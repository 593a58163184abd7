"""A command of `streamwatch` in the test process, which has imported everything already.

For tests of what a command prints and how it ends. Where the process itself is tested (its signals,
its terminal, its locale, what it imports), it has to be a process of its own.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryFile
from typing import IO

import pytest

import streamwatch.__main__ as program
from streamwatch import logs
from tests.parts.daemon import private_environment

MODULE = Path(program.__file__)
SCRIPT = Path(sys.executable).with_name("streamwatch")


def run_here(
    folder: Path, *arguments: str | Path, called: Path = MODULE, **variables: str
) -> CompletedProcess[str]:
    """What `streamwatch ARGUMENTS` prints in `folder`, and its exit code.

    It runs as the `SCRIPT` or as `python -m streamwatch`, in the environment of a daemon in that
    folder and with these variables; its output is no terminal. Logging, signals and environment are
    put back.
    """
    done = run_here_for_bytes(folder, *arguments, called=called, **variables)
    return CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def run_here_for_bytes(
    folder: Path, *arguments: str | Path, called: Path = MODULE, **variables: str
) -> CompletedProcess[bytes]:
    command = [str(called), *(str(argument) for argument in arguments)]
    environment = {**private_environment(folder), **variables}
    with TemporaryFile() as out, TemporaryFile() as errors:
        with ExitStack() as stack:
            for context in (_kept_logging(), _kept_signals(), _printing_to(out, errors)):
                stack.enter_context(context)
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.chdir(folder)
            _set_environment(patch, environment)
            patch.setattr(sys, "argv", command)
            package = program.__package__ if called == MODULE else None
            patch.setattr(sys.modules["__main__"], "__package__", package)
            patch.setattr(faulthandler, "enable", lambda: None)  # pytest has
            try:
                program.main()
                code: object = 0
            except SystemExit as ended:
                code = ended.code or 0
        assert isinstance(code, int), code
        return CompletedProcess(command, code, _read(out), _read(errors))


def _set_environment(patch: pytest.MonkeyPatch, wanted: Mapping[str, str]) -> None:
    """What libraries set for themselves when they are imported stays."""
    for name in os.environ.keys() - wanted.keys():
        patch.delenv(name)
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            patch.setenv(name, value)


@contextmanager
def _kept_logging() -> Iterator[None]:
    """As in a new process: no handler yet, nothing verbose."""
    root, own = logging.getLogger(), logging.getLogger("streamwatch")
    before = root.handlers[:], root.level, own.level
    root.handlers.clear()
    root.setLevel(logging.WARNING)
    own.setLevel(logging.NOTSET)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(logs, "_verbose", False)
            yield
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        own.setLevel(before[2])


@contextmanager
def _kept_signals() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _printing_to(out: IO[bytes], errors: IO[bytes]) -> Iterator[None]:
    """Libraries in C and child processes too. Nothing is read from the standard input."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        nothing = stack.enter_context(Path(os.devnull).open("rb"))
        for number, file in enumerate((nothing, out, errors)):
            stack.callback(_put_back, number, os.dup(number))
            os.dup2(file.fileno(), number)
        patch.setattr(sys, "stdin", _text(0, "r"))
        patch.setattr(sys, "stdout", _text(1, "w"))
        patch.setattr(sys, "stderr", _text(2, "w"))
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()


def _text(descriptor: int, mode: str) -> IO[str]:
    """Not closed, for a library may keep it."""
    buffering = 1 if descriptor == 2 else -1
    return open(descriptor, mode, buffering, encoding="utf-8", closefd=False)


def _put_back(number: int, kept: int) -> None:
    os.dup2(kept, number)
    os.close(kept)


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()
