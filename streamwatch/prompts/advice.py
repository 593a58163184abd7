"""Warnings of `check` about the prompts of a valid configuration, some from their vectors.

Never an error; fetches nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain, combinations, product

from streamwatch.config import Advice, Config, folded, texts_among
from streamwatch.config.catalogue import EncoderKind
from streamwatch.errors import DetectorError
from streamwatch.models.provision import encoder_is_here, identify_encoder
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.prompts.encoders.process import Encoded
from streamwatch.prompts.rivals import distractors
from streamwatch.records import Vectors

MOST_PROMPTS = 80
"""Prompts in one image in training: the 80 classes of COCO, for toybox too."""

SAME_MEANING: dict[EncoderKind, float] = {"minilm": 0.90}
"""Cosine from which two prompts find the same things, measured by `benchmarks/meanings.py`: of 52
pairs with different meanings the highest has 0.896 ("garage door open", "garage door closed"), and
7 of 43 pairs with the same meaning have more. Cosines differ much between encoders, so encoders
that were not measured are left out and give no warning.
"""

SPELLED = 0.7
"""Tokens a character from which a prompt is read letter by letter. Measured with MiniLM: of the 127
prompts of `benchmarks/meanings.py` none has above 0.5, and "e-scooter" has 0.56; 0.75 and more have
words in Cyrillic, Greek, Arabic, Chinese or Korean letters, and random ones ("xqzvk").
"""
SHORT = 4
"""Prompts of so many ASCII characters at most are read letter by letter in English too ("K9")."""
_START_AND_END = 2
"""Tokens, of every kind of text encoder."""


def suggestions(config: Config) -> list[Advice]:
    """All warnings about prompts. Takes seconds if the text encoder must run for new prompts.

    A DetectorError (a broken text encoder) becomes a warning.
    """
    found = [*too_many(config)]
    prompts = {prompt: None for _, prompt in _prompts(config)}
    if not prompts or not encoder_is_here(config.detector):
        return found
    try:
        kind, _ = identify_encoder(config.detector)
        embeddings = Embeddings(config.detector)
        found += too_long(config, embeddings.encoded(tuple(prompts)))
        found += spelled(config, embeddings.encoded(tuple(prompts), template="{}"))
        if (bound := SAME_MEANING.get(kind)) is not None:
            built_in = distractors(config.detector)
            # A template raises all cosines, and the bound is for prompts without one.
            bare = embeddings.encoded((*prompts, *built_in), template="{}")
            vectors = {prompt: encoded.vector for prompt, encoded in bare.items()}
            found += near_duplicates(config, vectors, bound)
            found += near_rivals(config, vectors, bound)
            found += near_distractors(config, vectors, built_in, bound)
    except DetectorError as error:
        path = "detector.text_encoder"
        found.append(Advice(path, str(error).removeprefix(f"{path}: ")))
    return found


def too_many(config: Config) -> Iterator[Advice]:
    """Cameras that are searched for more than `MOST_PROMPTS` prompts."""
    built_in = distractors(config.detector)
    by_camera = config.watches_by_camera()
    for name, camera in config.cameras.items():
        watches = by_camera[name].values()
        own = set(chain.from_iterable(chain(*(w.prompts_by_key.values() for w in watches))))
        count = len(own.union(built_in))
        if camera.enabled and own and count > MOST_PROMPTS:
            yield Advice(
                f"cameras.{name}",
                f"is searched for up to {count} prompts at once, with those of `with`, `without`, "
                "`not` and the built-in distractors, and the models were trained with "
                f"{MOST_PROMPTS}: with each more it gets slower",
            )


def too_long(config: Config, encoded: Mapping[str, Encoded]) -> Iterator[Advice]:
    """Prompts with more tokens than the text encoder reads."""
    for path, prompt in _prompts(config):
        one = encoded[prompt]
        if one.length > one.longest:
            yield Advice(
                path,
                f"'{prompt}' is too long for the text encoder, which reads {one.longest} of its "
                f"{one.length} tokens: what comes after is ignored",
            )


def known_to_be_spelled(config: Config) -> list[Advice]:
    """`spelled`, as far as the prompts have been encoded before; starts no text encoder."""
    prompts = {prompt: None for _, prompt in _prompts(config)}
    try:
        known = Embeddings(config.detector).known(tuple(prompts), template="{}")
    except DetectorError:
        return []
    return [*spelled(config, known)]


def spelled(config: Config, bare: Mapping[str, Encoded]) -> Iterator[Advice]:
    """Prompts whose words the text encoder doesn't know, so that it reads their letters.

    `bare` has them encoded without a template; one that it lacks is left out.
    """
    for path, prompt in _prompts(config):
        text = "".join(prompt.split())
        if prompt not in bare or (text.isascii() and len(text) <= SHORT):
            continue
        if bare[prompt].length - _START_AND_END >= SPELLED * len(text):
            yield Advice(
                path,
                f"the text encoder doesn't know '{prompt}' and reads it letter by letter, so what "
                "it finds is chance; write it in English words",
            )


def near_duplicates(
    config: Config, vectors: Mapping[str, Vectors], bound: float
) -> Iterator[Advice]:
    """Prompts of two watches that will report the same things. Equal ones are taken as intended."""
    for one, other in combinations(config.watches, 2):
        if not _overlap(config, one, other):
            continue
        pairs = product(config.watches[one].words, config.watches[other].words)
        for prompt, later in pairs:
            cosine = float(vectors[prompt] @ vectors[later])
            if cosine >= bound and folded(prompt) != folded(later):
                yield Advice(
                    f"watches.{other}.prompt",
                    f"'{later}' means nearly the same as '{prompt}' of watches.{one} (cosine "
                    f"{cosine:.2f}): both will tell of the same things",
                )


def near_rivals(config: Config, vectors: Mapping[str, Vectors], bound: float) -> Iterator[Advice]:
    """Prompts in `not` that mean the same as a prompt of the watch."""
    for name, watch in config.watches.items():
        for prompt, rival in product(watch.words, texts_among(watch.not_)):
            cosine = float(vectors[prompt] @ vectors[rival])
            if watch.enabled and cosine >= bound:
                yield Advice(
                    f"watches.{name}.not",
                    f"'{rival}' means nearly the same as '{prompt}', which it has to beat (cosine "
                    f"{cosine:.2f}): the watch may stay silent",
                )


def near_distractors(
    config: Config, vectors: Mapping[str, Vectors], distractors: Collection[str], bound: float
) -> Iterator[Advice]:
    """Prompts that mean the same as a built-in distractor, which then doesn't compete with them.

    `vectors` has those of the distractors too. A prompt equal to one is taken as intended.
    """
    for name, watch in config.watches.items():
        for prompt, other in product(watch.words, distractors):
            cosine = float(vectors[prompt] @ vectors[other])
            if watch.enabled and cosine >= bound and folded(prompt) != folded(other):
                yield Advice(
                    f"watches.{name}.prompt",
                    f"'{prompt}' means nearly the same as the built-in distractor '{other}' "
                    f"(cosine {cosine:.2f}), which therefore holds nothing back from this watch",
                )


def _prompts(config: Config) -> Iterator[tuple[str, str]]:
    """(path, prompt) for all prompts of the enabled watches."""
    for name, watch in config.watches.items():
        if watch.enabled:
            for key, prompts in watch.words_by_key.items():
                for prompt in prompts:
                    yield f"watches.{name}.{key}", prompt


def _overlap(config: Config, one: str, other: str) -> bool:
    """Whether both watches may report one thing: enabled, with a camera and a zone in common."""
    here, there = config.watches[one], config.watches[other]
    cameras = {name for name in config.cameras_of(one) if config.cameras[name].enabled} & set(
        config.cameras_of(other)
    )
    zones = here.zones is None or there.zones is None or not set(here.zones).isdisjoint(there.zones)
    return here.enabled and there.enabled and bool(cameras) and zones
