"""What may disappoint about the prompts of a configuration that is right: what `check` can say of
them once it has their vectors. Never an error, and nothing is fetched for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import combinations, product

from streamwatch.catalogue import EncoderKind
from streamwatch.config import Advice, Config
from streamwatch.config.phrases import folded
from streamwatch.detector.embeddings import Embeddings
from streamwatch.detector.encoder_process import Encoded
from streamwatch.detector.models import encoder_is_here, identify_encoder
from streamwatch.detector.protocol import Vectors
from streamwatch.errors import DetectorError

MOST_PROMPTS = 80
"""What the models were trained with in one image: the 80 classes of COCO, toybox too."""

SAME_MEANING: dict[EncoderKind, float] = {"minilm": 0.90}
"""From this cosine on two prompts find the same things, measured by `benchmarks/meanings.py`: the
most alike of 52 pairs that people would tell apart have 0.896 ("garage door open", "garage door
closed"), and of 43 that mean the same 7 have more. An encoder that it was not measured with is not
here, and nothing is said: what is alike differs much between encoders.
"""


def suggestions(config: Config) -> list[Advice]:
    """Takes seconds where a prompt is new, else moments. Raises nothing a configuration can
    cause."""
    found = [*too_many(config)]
    prompts = {prompt: None for _, prompt in _prompts(config)}
    if not prompts or not encoder_is_here(config.detector):
        return found
    try:
        kind, _ = identify_encoder(config.detector)
        embeddings = Embeddings(config.detector)
        found += too_long(config, embeddings.encoded(tuple(prompts)))
        if (bound := SAME_MEANING.get(kind)) is not None:
            # A template makes all prompts more alike, and the bound is one for bare prompts.
            bare = embeddings.encoded(tuple(prompts), template="{}")
            vectors = {prompt: encoded.vector for prompt, encoded in bare.items()}
            found += near_duplicates(config, vectors, bound)
    except DetectorError as error:
        path = "detector.text_encoder"
        found.append(Advice(path, str(error).removeprefix(f"{path}: ")))
    return found


def too_many(config: Config) -> Iterator[Advice]:
    for name, camera in config.cameras.items():
        watches = config.watches_of(name).values()
        count = len({prompt for watch in watches for prompt in watch.prompt})
        if camera.enabled and count > MOST_PROMPTS:
            yield Advice(
                f"cameras.{name}",
                f"is searched for {count} prompts at once, and the models were trained with "
                f"{MOST_PROMPTS}: with each more it gets slower",
            )


def too_long(config: Config, encoded: Mapping[str, Encoded]) -> Iterator[Advice]:
    for path, prompt in _prompts(config):
        one = encoded[prompt]
        if one.length > one.longest:
            yield Advice(
                path,
                f"'{prompt}' is too long for the text encoder, which reads {one.longest} of its "
                f"{one.length} tokens: what comes after is ignored",
            )


def near_duplicates(
    config: Config, vectors: Mapping[str, Vectors], bound: float
) -> Iterator[Advice]:
    """Prompts of two watches that will both tell of one thing. Equal ones were meant to."""
    for one, other in combinations(config.watches, 2):
        if not _meet(config, one, other):
            continue
        pairs = product(config.watches[one].prompt, config.watches[other].prompt)
        for prompt, later in pairs:
            cosine = float(vectors[prompt] @ vectors[later])
            if cosine >= bound and folded(prompt) != folded(later):
                yield Advice(
                    f"watches.{other}.prompt",
                    f"'{later}' means nearly the same as '{prompt}' of watches.{one} (cosine "
                    f"{cosine:.2f}): both will tell of the same things",
                )


def near_distractors(
    config: Config, vectors: Mapping[str, Vectors], distractors: Collection[str], bound: float
) -> Iterator[Advice]:
    """Prompts that mean what the built-in distractors are there to draw away. `vectors` holds
    those of the distractors too."""
    for path, prompt in _prompts(config):
        alike = [(float(vectors[prompt] @ vectors[other]), other) for other in distractors]
        cosine, nearest = max(alike, default=(0.0, ""))
        if cosine >= bound:
            yield Advice(
                path,
                f"'{prompt}' means nearly the same as the built-in distractor '{nearest}' (cosine "
                f"{cosine:.2f}), which other watches have to beat",
            )


def _prompts(config: Config) -> Iterator[tuple[str, str]]:
    """(path, prompt) of every watch that is on."""
    for name, watch in config.watches.items():
        if watch.enabled:
            for prompt in watch.prompt:
                yield f"watches.{name}.prompt", prompt


def _meet(config: Config, one: str, other: str) -> bool:
    """Whether both may tell of one thing: on, and at a place that they have in common."""
    here, there = config.watches[one], config.watches[other]
    cameras = {name for name in config.cameras_of(one) if config.cameras[name].enabled} & set(
        config.cameras_of(other)
    )
    zones = here.zones is None or there.zones is None or not set(here.zones).isdisjoint(there.zones)
    return here.enabled and there.enabled and bool(cameras) and zones
