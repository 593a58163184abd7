"""How a command ends that can't go on: with a sentence, and the fitting exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Never

import typer

from streamwatch.errors import ConfigError, StreamwatchError, UnavailableSetting

if TYPE_CHECKING:
    from streamwatch.config import DetectorSettings

EXIT_CONFIG = 1
EXIT_TROUBLED = 1
EXIT_FAILED = 3


@contextmanager
def asking_the_daemon_of(path: Path) -> Iterator[None]:
    """End with a sentence if it is another user's, or does not answer."""
    try:
        yield
    except PermissionError:
        fail(StreamwatchError(f"the daemon of {path} is another user's; try sudo"))
    except TimeoutError:
        typer.echo(
            f"streamwatch: the daemon of {path.absolute()} runs, and does not answer", err=True
        )
        raise typer.Exit(EXIT_TROUBLED) from None


def require_runnable(settings: DetectorSettings) -> None:
    """Check device, backend and precision before anything is fetched. Raises UnavailableSetting."""
    from streamwatch.detector.device import require_runnable

    require_runnable(settings)


def fail_at(file: Path, error: UnavailableSetting) -> Never:
    """Report it with its position in the file, as any other mistake there."""
    from streamwatch.config import located

    fail(located(error, file))


def fail(error: StreamwatchError) -> Never:
    """Print what is wrong, one line per problem, and exit with the fitting code."""
    is_config = isinstance(error, ConfigError)
    for line in str(error).splitlines():
        print(line if is_config else f"streamwatch: {line}", file=sys.stderr)  # noqa: T201
    raise typer.Exit(EXIT_CONFIG if is_config else EXIT_FAILED)
