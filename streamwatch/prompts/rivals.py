"""What each watch's prompts must beat: those of its `not`, and distractors that fit. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamwatch.config import DetectorSettings, WatchSettings, words
from streamwatch.config.catalogue import ENCODERS, MODELS, Encoder
from streamwatch.records import Vectors


def distractors(settings: DetectorSettings) -> tuple[str, ...]:
    """The built-in prompts of the encoder that `settings` name, unless they are switched off."""
    encoder = _encoder(settings)
    return encoder.distractors if encoder is not None and settings.distractors else ()


def rivals_of(
    watches: Mapping[str, WatchSettings],
    settings: DetectorSettings,
    vectors: Mapping[str, Vectors],
) -> dict[str, tuple[str, ...]]:
    """By watch, the prompts that it must beat, each once.

    `vectors` has those of the watches' prompts and of the `distractors`, `(512,)` each.
    """
    encoder = _encoder(settings)
    built_in = distractors(settings)
    spared_from_cosine = 1.0 if encoder is None else encoder.spared_from_cosine
    return {
        name: tuple(
            dict.fromkeys(
                (*watch.not_, *distractors_for(watch.prompt, vectors, built_in, spared_from_cosine))
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
    """Those of the distractors `among` that are far enough in meaning from each of the prompts.

    "car" must not silence "red car", nor "vehicle", which it has found as well. The first names it,
    the second is near it: see `catalogue.Encoder.spared_from_cosine`.
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
    """Whether the distractor's words stand in the prompt, whole and in their order."""
    inside, sought = words(prompt), words(distractor)
    return any(
        inside[first : first + len(sought)] == sought
        for first in range(len(inside) - len(sought) + 1)
    )


def _encoder(settings: DetectorSettings) -> Encoder | None:
    """The encoder by its name; None for a folder, of which nothing is known."""
    model = MODELS.get(settings.model)
    return ENCODERS.get(settings.text_encoder or (model.encoder if model else ""))
