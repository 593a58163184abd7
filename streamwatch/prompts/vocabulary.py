"""The vocabulary of each camera: the prompts of its watches and their rivals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streamwatch.config import Config, WatchSettings
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.prompts.rivals import distractors, rivals_of
from streamwatch.records import TEXT_WIDTH, Vectors, Vocabulary


@dataclass(frozen=True, slots=True, eq=False)
class Vocabularies:
    """The vocabularies of a whole configuration.

    `named` are the prompts in its watches, each once. `vectors` has those of `named` and of the
    distractors, `(512,)` each. `rivals` maps a watch to the prompts it must beat, `of_cameras`
    every camera to its vocabulary.
    """

    named: tuple[str, ...]
    vectors: Mapping[str, Vectors]
    rivals: Mapping[str, tuple[str, ...]]
    of_cameras: Mapping[str, Vocabulary]


def vocabularies(
    config: Config, embeddings: Embeddings, known: Mapping[str, Vectors]
) -> Vocabularies:
    """Build them, encoding prompts that are not in `known`. Raises DetectorError; never fetches."""
    watches = {camera: config.watches_of(camera) for camera in config.cameras}
    used = _used(watches)
    named = _named(used)
    prompts = _needed(named, config)
    new = tuple(prompt for prompt in prompts if prompt not in known)
    found = {**known, **embeddings.vectors(new)}
    vectors = {prompt: found[prompt] for prompt in prompts}
    rivals = rivals_of(used, config.detector, vectors)
    return Vocabularies(
        named,
        vectors,
        rivals,
        {camera: vocabulary(searched(own, rivals), vectors) for camera, own in watches.items()},
    )


def needed(config: Config) -> tuple[str, ...]:
    """The prompts whose vectors a configuration needs: those of its watches, and distractors."""
    watches = {camera: config.watches_of(camera) for camera in config.cameras}
    return _needed(_named(_used(watches)), config)


def vocabulary(prompts: tuple[str, ...], vectors: Mapping[str, Vectors]) -> Vocabulary:
    """The vocabulary of `prompts`, with their rows from `vectors`, `(512,)` each."""
    rows = [vectors[prompt] for prompt in prompts]
    return Vocabulary(prompts, np.stack(rows) if rows else np.zeros((0, TEXT_WIDTH), np.float32))


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


def _needed(named: tuple[str, ...], config: Config) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*named, *distractors(config.detector)))) if named else ()
