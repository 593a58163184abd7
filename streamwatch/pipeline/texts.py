"""Which texts must be encoded for a configuration. Imports nothing heavy."""

from __future__ import annotations

from streamwatch.config import Config, WatchSettings
from streamwatch.prompts.vocabulary import needed, prompts_of
from streamwatch.second_look.contrast import words_for


def words_of_looks(config: Config) -> tuple[str, ...]:
    """The words whose vectors the second looks need beside those of the watches' prompts."""
    return words_for([watch for watch in config.watches.values() if watch.enabled])


def texts_of(config: Config) -> tuple[str, ...]:
    """All texts whose vectors a configuration needs, for the detector and for second looks."""
    return tuple(dict.fromkeys((*needed(config), *words_of_looks(config))))


def texts_of_watch(watch: WatchSettings) -> tuple[str, ...]:
    """The texts of one watch among them."""
    return *prompts_of(watch), *words_for([watch])
