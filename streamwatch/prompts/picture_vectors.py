"""Vectors of picture prompts: from the cache on disk, or else from the visual prompt encoder."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import metadata
from typing import cast

import numpy as np

from streamwatch.config import DetectorSettings, PicturePrompt, PromptPicture
from streamwatch.models.provision import choose, find_checkpoint, identify_checkpoint
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
        return tuple(each for each in prompts if self._unknown(each.pictures))

    def vectors(self, prompts: Iterable[PicturePrompt]) -> dict[str, Vectors]:
        """The vector of each prompt, `(512,)`: the mean of those of its pictures, and as long as
        `PICTURE_LENGTH`. Takes seconds for new ones."""
        prompts = tuple(prompts)
        new = self._unknown(picture for each in prompts for picture in each.pictures)
        if new:
            with self._encoding:
                self._encode(tuple(dict.fromkeys(new)))
        return {
            each: _together(self._found(picture) for picture in each.pictures) for each in prompts
        }

    def _unknown(self, pictures: Iterable[PromptPicture]) -> list[PromptPicture]:
        return [each for each in pictures if self._kept(self._key(each)) is None]

    def _found(self, picture: PromptPicture) -> Vectors:
        kept = self._kept(self._key(picture))
        assert kept is not None
        return kept.vector

    def _kept(self, key: str) -> Encoded | None:
        return self._made.get(key) or self._cache.find(key)

    def _key(self, picture: PromptPicture) -> str:
        size = choose(self._settings).image_size
        checkpoint = identify_checkpoint(self._settings)
        shown = picture.sha256, picture.box
        return json.dumps([MADE_BY, _library(), "visual", checkpoint, size, *shown])

    def _encode(self, pictures: Sequence[PromptPicture]) -> None:
        choice = choose(self._settings)
        files = EncoderFiles(
            "visual",
            identify_checkpoint(self._settings),
            (find_checkpoint(self._settings),),
            choice.image_size,
        )
        asked = [Shown(str(each.file), each.box).written() for each in pictures]
        made = zip(pictures, self._process.encode(files, asked), strict=True)
        found = {self._key(picture): encoded for picture, encoded in made}
        self._cache.keep(found)
        self._made = dict([*self._made.items(), *found.items()][-MOST_IN_MEMORY:])


def _together(vectors: Iterable[Vectors]) -> Vectors:
    mean = np.mean(np.stack([*vectors]), axis=0)
    return cast(Vectors, (mean / np.linalg.norm(mean) * PICTURE_LENGTH).astype(np.float32))


@cache
def _library() -> str:
    """The version of Ultralytics, whose letterbox and masks may change."""
    return metadata.version("ultralytics")
