"""Vectors of picture prompts: from the cache on disk, or else from the visual prompt encoder."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import metadata
from typing import cast

import numpy as np

from streamwatch.config import DetectorSettings, PicturePrompt, PromptPicture
from streamwatch.models.provision import choose, found, identify_checkpoint
from streamwatch.prompts.encoders.process import Encoded, EncoderFiles, EncoderProcess
from streamwatch.prompts.encoders.shown import Shown
from streamwatch.prompts.vector_cache import VectorCache
from streamwatch.records import PICTURE_LENGTH, Vectors

MADE_BY = 1
"""Version of how a vector is made of a picture, part of the cache key. Raise it when that
changes."""
MOST_IN_MEMORY = 500


class PictureVectors:
    """The vectors of picture prompts, by the visual prompt encoder of the settings' checkpoint.

    A picture's is kept by checkpoint, content and box, so a prompt that gets a picture more costs
    that one. For any thread; raises DetectorError, and never fetches.
    """

    def __init__(self, settings: DetectorSettings, cache: VectorCache) -> None:
        self._settings = settings
        self._cache = cache
        self._process = EncoderProcess()
        self._encoding = threading.Lock()
        """Guards `_process`, which is for one thread at a time."""
        self._made: dict[str, Encoded] = {}
        """The newest by cache key, in case the cache can't be written."""

    def unknown(self, prompts: Iterable[PicturePrompt]) -> tuple[PicturePrompt, ...]:
        """Those with a picture whose vector is not known yet."""
        prompts = tuple(prompts)
        known = self._known(self._keys(prompts))
        return tuple(each for each in prompts if not known.keys() >= {*each.pictures})

    def vectors(self, prompts: Iterable[PicturePrompt]) -> dict[str, Vectors]:
        """The vector of each prompt, `(512,)`: the mean of those of its pictures, and as long as
        `PICTURE_LENGTH`. Takes seconds for new ones."""
        prompts = tuple(prompts)
        keys = self._keys(prompts)
        known = self._known(keys)
        new = [picture for picture in keys if picture not in known]
        if new:
            with self._encoding:
                made = dict(zip(new, self._encoded(new), strict=True))
                self._keep({keys[picture]: encoded for picture, encoded in made.items()})
            known |= made
        return {
            prompt: _together(known[picture].vector for picture in prompt.pictures)
            for prompt in prompts
        }

    def _keys(self, prompts: Sequence[PicturePrompt]) -> dict[PromptPicture, str]:
        """Each picture's key in the cache."""
        pictures = dict.fromkeys(picture for prompt in prompts for picture in prompt.pictures)
        if not pictures:
            return {}
        checkpoint = identify_checkpoint(self._settings)
        of_all = MADE_BY, _library(), "visual", checkpoint, choose(self._settings).image_size
        return {each: json.dumps([*of_all, each.sha256, each.box]) for each in pictures}

    def _known(self, keys: Mapping[PromptPicture, str]) -> dict[PromptPicture, Encoded]:
        kept = {each: self._made.get(key) or self._cache.find(key) for each, key in keys.items()}
        return {picture: encoded for picture, encoded in kept.items() if encoded is not None}

    def _encoded(self, pictures: Sequence[PromptPicture]) -> list[Encoded]:
        choice = choose(self._settings)
        files = EncoderFiles(
            "visual",
            identify_checkpoint(self._settings),
            (found(choice.checkpoint),),
            choice.image_size,
        )
        shown = [Shown(str(each.file), each.sha256, each.box).written() for each in pictures]
        return self._process.encode(files, shown)

    def _keep(self, made: dict[str, Encoded]) -> None:
        self._cache.keep(made)
        self._made = dict([*self._made.items(), *made.items()][-MOST_IN_MEMORY:])


def _together(vectors: Iterable[Vectors]) -> Vectors:
    mean = np.mean(np.stack([*vectors]), axis=0)
    return cast(Vectors, (mean / np.linalg.norm(mean) * PICTURE_LENGTH).astype(np.float32))


@cache
def _library() -> str:
    """The version of Ultralytics, whose letterbox and masks may change."""
    return metadata.version("ultralytics")
