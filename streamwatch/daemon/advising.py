"""Tells in the log of prompts, and of a model, that will find nothing though the file is right."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from streamwatch.config import Advice, Config, model_advice, placed, prompt_advice
from streamwatch.errors import ConfigError
from streamwatch.prompts.advice import known_to_be_spelled

log = logging.getLogger(__name__)


class Advising:
    """Logs each warning once, until it no longer holds. For one thread at a time."""

    def __init__(self) -> None:
        self._told: list[Advice] = []

    def look_at(self, config: Config, file: Path | None) -> None:
        """Log what is new about `config`, whose prompts are encoded. Starts no text encoder.

        `file` is where it comes from, for the lines; None if from none that is right.
        """
        found = [*model_advice(config), *prompt_advice(config), *known_to_be_spelled(config)]
        for line in _lines([advice for advice in found if advice not in self._told], file):
            log.warning("%s", line)
        self._told = found


def _lines(found: Sequence[Advice], file: Path | None) -> list[str]:
    if found and file is not None:
        with suppress(ConfigError):  # saved anew meanwhile, and wrong
            return placed(found, file)
    return [str(advice) for advice in found]
