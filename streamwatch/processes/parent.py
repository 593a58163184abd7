"""The parent's side: starts a process, exchanges messages with it, ends it."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from streamwatch.errors import DetectorError
from streamwatch.processes.code import copied_code

SEND_SECONDS = 10.0
"""Timeout for the process to take a message that its socket has no room for."""

END_SECONDS = 5.0
"""Timeout for the process to exit after it closed its socket."""


class Ended(DetectorError):  # noqa: N818 - reads as what happened
    """A process that had answered before has ended: its idle time was over, or it was killed. That
    may have been before this request, so it is worth another process."""


class ChildProcess:
    """A module of ours in a process of its own; see `child.serve_parent` for its side.

    `noun` names it in errors ("the text encoder"). It ends with this process however that ends, and
    may end by itself. For one thread at a time. All methods raise DetectorError.
    """

    def __init__(self, noun: str, module: str, arguments: Sequence[str]) -> None:
        self._noun = noun
        self._has_answered = False
        self._connection, theirs = Pipe()
        _limit_sending(self._connection)
        started: Future[subprocess.Popen[bytes]] = Future()

        def keep() -> None:
            with theirs:
                try:
                    process = _start(noun, module, arguments, theirs)
                except BaseException as error:
                    started.set_exception(error)
                    return
            started.set_result(process)
            process.wait()

        # Linux kills the process with the thread that started it (`child._die_with`), so that one
        # lives as long; and it reaps it whenever it ends, so that it doesn't stay a zombie.
        name = noun.removeprefix("the ").replace(" ", "-")
        threading.Thread(target=keep, name=name, daemon=True).start()
        self._process = started.result()

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: bytes) -> None:
        """After an error the process is of no more use: `kill` it."""
        try:
            self._connection.send_bytes(message)
        except BlockingIOError as error:
            raise DetectorError(
                f"{self._noun} took no request within {SEND_SECONDS:.0f} s and was stopped"
            ) from error
        except OSError as error:
            raise self._exit_error() from error

    def receive(self, timeout_seconds: float) -> bytes:
        """The next message. An error is as that of `send`."""
        try:
            if not self._connection.poll(timeout_seconds):
                raise DetectorError(
                    f"{self._noun} did not answer within {timeout_seconds:.0f} s and was stopped"
                )
            message = self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._exit_error() from error
        self._has_answered = True
        return message

    def kill(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _exit_error(self) -> DetectorError:
        """The error for a process that closed its socket, by its exit code."""
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return DetectorError(f"{self._noun}'s process stopped answering")
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        said = f"{self._noun}'s process ended {how} before it was done"
        if code == -signal.SIGKILL:
            said = f"{self._noun}'s process was killed; the machine may be short of memory"
        return Ended(said) if code == 0 or self._has_answered else DetectorError(said)


def _limit_sending(connection: Connection) -> None:
    """Have `connection` raise BlockingIOError after `SEND_SECONDS`, in place of waiting forever."""
    seconds, microseconds = divmod(round(SEND_SECONDS * 1_000_000), 1_000_000)
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", seconds, microseconds)
        )


def _start(
    noun: str, module: str, arguments: Sequence[str], theirs: Connection
) -> subprocess.Popen[bytes]:
    try:
        code = copied_code()
        return subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", module),
                *(str(theirs.fileno()), str(os.getpid()), *arguments),
            ],
            env={
                **os.environ,
                # The code this process runs; -P keeps the working folder off sys.path.
                "PYTHONPATH": os.pathsep.join(
                    filter(None, (f"/proc/self/fd/{code}", os.environ.get("PYTHONPATH")))
                ),
                "OMP_NUM_THREADS": "1",
                "TOKENIZERS_PARALLELISM": "false",
            },
            pass_fds=[theirs.fileno(), code],
            process_group=0,  # Ctrl-C must reach this process only
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise DetectorError(f"{noun} can't be started: {error.strerror}") from error
