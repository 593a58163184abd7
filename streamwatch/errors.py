"""Every error streamwatch raises on purpose; foreign exceptions become these at one edge.

    StreamwatchError
    ├── ConfigError           the configuration file is wrong; holds every problem with its position
    ├── SourceError           a camera can't be read now; the supervisor around it retries
    │   └── CredentialsRefused    ... and retries slowly, since the password is wrong
    ├── DetectorError         weights or encoder missing, broken or of the wrong kind
    │   └── UnavailableSetting    ... a valid setting, but this machine lacks the GPU
    ├── NoAnswer              a language model could not be asked, or said neither yes nor no
    └── PublisherError        the broker or the embedded broker can't be used at all

Their texts are shown to people as they are: one sentence, no secret in it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from streamwatch.masking import mask_secrets_in

log = logging.getLogger(__name__)


class StreamwatchError(Exception):
    """Base of all errors a person can cause or mend."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration file.

    `line` and `column` count from 1, or are None for the file as a whole. `path` is dotted, as in
    `cameras.porch.url`; empty for the whole file.
    """

    file: str
    line: int | None
    column: int | None
    path: str
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}:{self.column}"
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class ConfigError(StreamwatchError):
    """All problems of one configuration file at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class SourceError(StreamwatchError):
    """A camera can't be opened or stopped giving frames."""


class CredentialsRefused(SourceError):  # noqa: N818 - reads as what happened
    """The camera answered, and refused the user name or password."""


class DetectorError(StreamwatchError):
    """The detector can't be built: weights or encoder missing, broken or of the wrong kind."""


class UnavailableSetting(DetectorError):  # noqa: N818 - reads as what it is
    """A setting that is valid, but that this machine can't provide.

    `path` is dotted, as in `Problem`; together with its file it becomes a `ConfigError`.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


class PublisherError(StreamwatchError):
    """Publishing can't start, for instance because the embedded broker's port is taken."""


def first_line(error: BaseException) -> str:
    """What an unforeseen error says, for one sentence: OpenCV's and CUDA's have many lines.

    With the passwords of URLs masked, since FFmpeg's hold the URL.
    """
    kind = type(error).__name__
    said = mask_secrets_in(str(error).strip().partition("\n")[0])
    if isinstance(error, StreamwatchError):
        return said
    return f"{kind}: {said}" if said else kind


def foreseen(error: Exception) -> StreamwatchError:
    """The error itself, or for one that nobody has foreseen a StreamwatchError that says so.

    Its traceback is logged at level debug.
    """
    if isinstance(error, StreamwatchError):
        return error
    log.debug("this was not foreseen", exc_info=error)
    return StreamwatchError(f"failed unexpectedly: {first_line(error)}")
