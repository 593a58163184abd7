"""Warnings about prompts that no text encoder reads as meant: lists, negations, articles."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from streamwatch.config.sections.watch import WatchSettings

_BETWEEN = re.compile(
    r"""(?ix)
    \s*(?: (?<!\d), | ,(?!\d) | [;|] )\s*     # a comma, but not of a number
    | \s+or\s+
    | (?<=[^\W\d])\s*/\s*(?=[^\W\d])
    | (?<=\w{3})\.(?:\s+|$)                   # a full stop, but not of "St. Bernard"
    """
)
_CONJUNCTION = re.compile(r"(?i)^(?:and|or)\s+")
COLOURS = (
    *("red", "orange", "yellow", "green", "blue", "purple", "violet", "pink", "brown", "black"),
    *("white", "grey", "gray", "silver", "golden", "beige", "turquoise"),
)
_ADJECTIVES = {*COLOURS, "big", "large", "small", "little", "old", "young"}
_NEGATION = re.compile(
    r"(?i)(?P<what>.*?)\b(?P<word>(?:anything|everything) (?:but|except)|not|no|without|except)\s+"
    r"(?P<rest>.+)"
)
_FILLING = re.compile(
    r"(?i)^(?:(?:wearing|carrying|holding|having|with|an?|the|any|his|her|their)\s+)+"
)
_SIGNS = re.compile(r"(?i)\b(?:signs?|symbols?|stickers?)$")
"""What a "no" may stand on: a "no parking sign"."""
_ARTICLE = re.compile(r"(?i)(?:an?|the) ((?!few |lot |pair |couple |group )[\w'-]+(?: [\w'-]+)?)")
"""With toybox and the bundled clip it is sure of "dog" by 0.88, of "a dog" by 0.63 and of
"the dog" by 0.34, but of "red car" by 0.86 and of "a red car" by 1.0."""
_PLAIN = re.compile(r"(?!(?i:true|false|null|yes|no|on|off)$)[^\W\d_][\w'-]*(?: [\w'-]+)*")


def phrase_advice(watch: WatchSettings) -> Iterator[tuple[str, str]]:
    """(key below the watch, message)."""
    for path, prompts in watch.words_by_key.items():
        key = path.rpartition(".")[2]
        apart = {prompt: _apart(prompt) for prompt in prompts}
        several = [prompt for prompt, parts in apart.items() if parts != [prompt]]
        if several:
            each = list(dict.fromkeys(part for parts in apart.values() for part in parts))
            yield (
                f".{path}",
                f"'{several[0]}' is looked for as one phrase, which commas, full stops and 'or' "
                f"don't divide; if each by itself is meant, write {key}: {_written(each)}",
            )
        if articles := [prompt for prompt in prompts if _ARTICLE.fullmatch(prompt)]:
            bare = [_ARTICLE.sub(r"\1", prompt) for prompt in prompts]
            yield (
                f".{path}",
                f"'{articles[0]}' begins with an article, and the models are trained with words "
                f"without one: they may be less sure of it; write {key}: {_written(bare)}",
            )
        for prompt in prompts:
            if (found := _NEGATION.match(prompt)) and not _SIGNS.search(prompt):
                yield f".{path}", _negated(key, prompt, found)


def _apart(prompt: str) -> list[str]:
    """The phrases that somebody may have meant; `[prompt]` where it is one."""
    found = [_CONJUNCTION.sub("", part).strip() for part in _BETWEEN.split(prompt)]
    parts = [part for part in found if part]
    if len(parts) < 2:
        return parts or [prompt]
    noun = parts[-1].split()[-1]
    return [f"{part} {noun}" if part.lower() in _ADJECTIVES else part for part in parts]


def _negated(key: str, prompt: str, found: re.Match[str]) -> str:
    word = found["word"].lower()
    what = _FILLING.sub("", found["what"]).strip().removesuffix(" with")
    rest = _FILLING.sub("", found["rest"])
    no_use = (
        f"'{prompt}' finds what stands behind '{word}', or nothing, since a text encoder doesn't "
        "heed that"
    )
    if key in ("not", "without") and not what:
        return f"{no_use}; {key} says so already: write {key}: {_written([rest])}"
    if key == "with" and not what:
        return f"{no_use}; write without: {_written([rest])}"
    if key == "prompt" and what:
        return f"{no_use}; write prompt: {_written([what])} and without: {_written([rest])}"
    if key == "prompt":
        return (
            f"{no_use}; write into prompt what you want to see, and not: {_written([rest])} for "
            "what is mistaken for it"
        )
    return f"{no_use}; leave it out"


def _written(phrases: Sequence[str]) -> str:
    """The phrases as a value in YAML."""
    texts = [
        phrase if _PLAIN.fullmatch(phrase) else json.dumps(phrase, ensure_ascii=False)
        for phrase in phrases
    ]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
