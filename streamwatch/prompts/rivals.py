"""The rivals of each watch: the prompts of its `not`, and the applicable distractors. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamwatch.config import DetectorSettings, WatchSettings, words
from streamwatch.config.catalogue import ENCODERS, Encoder
from streamwatch.records import Vectors


def distractors(settings: DetectorSettings) -> tuple[str, ...]:
    """The built-in distractors of the text encoder of `settings`; none if `distractors` is off."""
    encoder = _encoder(settings)
    return encoder.distractors if encoder is not None and settings.distractors else ()


def rivals_of(
    watches: Mapping[str, WatchSettings],
    settings: DetectorSettings,
    vectors: Mapping[str, Vectors],
) -> dict[str, tuple[str, ...]]:
    """Watch → the prompts that it must beat, each once.

    `vectors` has those of the watches' prompts and of the distractors, `(512,)` each.
    """
    encoder = _encoder(settings)
    built_in = distractors(settings)
    spared_from_cosine = 1.0 if encoder is None else encoder.spared_from_cosine
    return {
        name: tuple(
            dict.fromkeys(
                (*watch.not_, *distractors_for(watch.words, vectors, built_in, spared_from_cosine))
            )
        )
        for name, watch in watches.items()
    }


def distractors_for(
    prompts: Sequence[str],
    vectors: Mapping[str, Vectors],
    among: Sequence[str],
    spared_from_cosine: float,
) -> tuple[str, ...]:
    """The distractors of `among` whose meaning differs enough from each of the prompts.

    "car" must not beat "red car", which contains it, nor "vehicle", whose vector is near: see
    `catalogue.Encoder.spared_from_cosine`.
    """
    return tuple(
        distractor
        for distractor in among
        if not any(
            _names(prompt, distractor)
            or float(vectors[distractor] @ vectors[prompt]) >= spared_from_cosine
            for prompt in prompts
        )
    )


def _names(prompt: str, distractor: str) -> bool:
    """Whether the prompt contains the distractor's words, whole and in order."""
    inside, sought = words(prompt), words(distractor)
    return any(
        inside[first : first + len(sought)] == sought
        for first in range(len(inside) - len(sought) + 1)
    )


def _encoder(settings: DetectorSettings) -> Encoder | None:
    """The catalogue's entry of the text encoder; None for a folder, of which nothing is known."""
    return ENCODERS.get(settings.encoder_name)
