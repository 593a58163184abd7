"""Wording of configuration errors."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from itertools import islice

MOST_LISTED = 30
"""Names in a sentence; a file may hold ten thousand."""


class Wrong(ValueError):  # noqa: N818 - reads as what happened
    """An error in one value, raised by the validators of the settings.

    `predicate` continues a sentence whose subject, the value as written in the file, is added later
    (`'3 sec' is not a duration; …`); with `subject=False` it is the whole sentence. It must never
    quote the value itself, which may have come from `${NAME}` and be a secret.
    """

    def __init__(self, predicate: str, *, subject: bool = True) -> None:
        super().__init__(predicate)
        self.predicate = predicate
        self.subject = subject


def listing(words: Iterable[object], last: str = "or") -> str:
    """`a, b or c`."""
    *rest, final = [str(word) for word in words]
    return f"{', '.join(rest)} {last} {final}" if rest else final


def shortened(words: Collection[object], last: str = "or") -> str:
    """The same, but of many words only the first, and how many more: `a, b or 9,998 more`."""
    more = len(words) - MOST_LISTED
    if more <= 0:
        return listing(words, last)
    return listing([*islice(words, MOST_LISTED), f"{more:,} more"], last)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'this'?`, or an empty text if no known word is similar."""
    folded = {candidate.casefold(): candidate for candidate in known}
    close = get_close_matches(word.casefold(), folded, n=1)
    return f"; did you mean '{folded[close[0]]}'?" if close else ""
