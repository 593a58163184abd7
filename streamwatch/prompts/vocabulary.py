"""The vocabulary of each camera: the prompts of its watches and their rivals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streamwatch.config import Config, DetectorSettings, WatchSettings
from streamwatch.config.catalogue import ENCODERS
from streamwatch.models.provision import encoder_row
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.prompts.rivals import distractors, rivals_of
from streamwatch.records import TEXT_WIDTH, Vectors, Vocabulary


@dataclass(frozen=True, slots=True, eq=False)
class Vocabularies:
    """The vocabularies of a whole configuration.

    `named` are the prompts in its watches, each once. `vectors` has those of `named`, of the
    distractors and of the padding text, `(512,)` each. `rivals` maps a watch to the prompts it must
    beat, `of_cameras` every camera to its vocabulary.
    """

    named: tuple[str, ...]
    vectors: Mapping[str, Vectors]
    rivals: Mapping[str, tuple[str, ...]]
    of_cameras: Mapping[str, Vocabulary]


def vocabularies(
    config: Config,
    embeddings: Embeddings,
    known: Mapping[str, Vectors],
    more: tuple[str, ...] = (),
) -> Vocabularies:
    """Build them, encoding prompts that are not in `known`. Raises DetectorError; never fetches.

    `vectors` has those of `more` texts too.
    """
    prompts = tuple(dict.fromkeys((*needed(config), *more)))
    new = tuple(prompt for prompt in prompts if prompt not in known)
    found = {**known, **embeddings.vectors(new)}
    return vocabularies_from(config, {prompt: found[prompt] for prompt in prompts})


def vocabularies_from(config: Config, vectors: Mapping[str, Vectors]) -> Vocabularies:
    """Build them from `vectors`, which has those that are `needed`."""
    watches = config.watches_by_camera()
    used = _used(watches)
    named = _named(used)
    rivals = rivals_of(used, config.detector, vectors)
    return Vocabularies(
        named,
        vectors,
        rivals,
        {
            camera: vocabulary(searched(own, rivals), vectors, padding(config.detector))
            for camera, own in watches.items()
        },
    )


def needed(config: Config) -> tuple[str, ...]:
    """The texts whose vectors a configuration needs: the prompts of its watches, distractors, and
    the padding text."""
    watches = config.watches_by_camera()
    named = _named(_used(watches))
    if not named:
        return ()
    detector = config.detector
    return tuple(dict.fromkeys((*named, *distractors(detector), *padding(detector))))


def vocabulary(
    prompts: tuple[str, ...], vectors: Mapping[str, Vectors], padding: tuple[str, ...]
) -> Vocabulary:
    """The vocabulary of `prompts` with the `padding` of the encoder (see `padding`), with their
    rows from `vectors`, `(512,)` each."""
    return Vocabulary(prompts, _rows(prompts, vectors), _rows(padding, vectors))


def padding(settings: DetectorSettings) -> tuple[str, ...]:
    """The padding text of the text encoder of `settings`; empty if it has none.

    Raises DetectorError for a folder that holds no text encoder.
    """
    encoder = ENCODERS[encoder_row(settings)]
    return () if encoder.padding is None else (encoder.padding,)


def searched(
    watches: Mapping[str, WatchSettings], rivals: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """The prompts that a camera with these watches is searched for, each once.

    In this order: prompts that are reported (in the order of the file), those of `with` and
    `without`, and rivals.
    """
    reported = [prompt for watch in watches.values() for prompt in watch.prompt]
    near = [prompt for watch in watches.values() for prompt in watch.companions]
    beaten = [rival for name in watches for rival in rivals[name]]
    return tuple(dict.fromkeys(reported + near + beaten))


def prompts_of(watch: WatchSettings) -> tuple[str, ...]:
    """All prompts of a watch: those of `prompt`, `with`, `without` and `not`."""
    return (*watch.prompt, *watch.companions, *watch.not_)


def _used(
    watches: Mapping[str, Mapping[str, WatchSettings]],
) -> dict[str, WatchSettings]:
    """The watches, by name, of all cameras in `watches`."""
    return {name: watch for of_camera in watches.values() for name, watch in of_camera.items()}


def _named(watches: Mapping[str, WatchSettings]) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(prompt for watch in watches.values() for prompt in prompts_of(watch))
    )


def _rows(texts: tuple[str, ...], vectors: Mapping[str, Vectors]) -> Vectors:
    rows = [vectors[text] for text in texts]
    return np.stack(rows) if rows else np.zeros((0, TEXT_WIDTH), np.float32)
