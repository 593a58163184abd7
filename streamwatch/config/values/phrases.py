"""Normalising and comparing phrases."""

from __future__ import annotations

import re
import unicodedata


def normalised(text: str) -> str:
    """`text` in NFKC, without invisible characters, and with single spaces. Upper case stays.

    Wide letters, ligatures and combining accents have several encodings; soft hyphens and
    zero-width spaces come with text copied from web pages. A text encoder would treat each as
    different.
    """
    visible = "".join(char for char in text if unicodedata.category(char) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", visible).split())


def folded(text: str) -> str:
    """A key for comparing phrases: equal if they differ only in what `normalised` removes or in
    case."""
    return normalised(normalised(text).casefold())


def words(text: str) -> tuple[str, ...]:
    """The words of `text`, folded, without punctuation."""
    return tuple(re.findall(r"\w+", folded(text)))
