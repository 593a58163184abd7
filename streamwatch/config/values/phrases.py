"""When two phrases are the same, and what is left of one once its spelling is put aside."""

from __future__ import annotations

import re
import unicodedata


def normalised(text: str) -> str:
    """`text` with every character in its plain form (NFKC), the invisible ones gone, and single
    spaces.

    Wide letters, ligatures and combining accents are written in many ways; soft hyphens and
    zero-width spaces come along with what is copied from a page. A text encoder would take each
    for something else. Upper case stays.
    """
    visible = "".join(char for char in text if unicodedata.category(char) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", visible).split())


def folded(text: str) -> str:
    """Equal for phrases that differ in spelling alone, upper case included. Only for comparing."""
    return normalised(normalised(text).casefold())


def words(text: str) -> tuple[str, ...]:
    """The words of `text`, folded; what stands between them is left out."""
    return tuple(re.findall(r"\w+", folded(text)))
