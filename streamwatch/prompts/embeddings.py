"""Vectors of prompts: from the cache on disk, or else from the encoder of texts or of pictures."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from streamwatch.config import DetectorSettings, PicturePrompt, normalised, texts_among
from streamwatch.models.provision import find_encoder, identify_encoder
from streamwatch.paths import cache_dir
from streamwatch.prompts.encoders.process import Encoded, EncoderFiles, EncoderProcess
from streamwatch.prompts.picture_vectors import PictureVectors
from streamwatch.prompts.vector_cache import VectorCache
from streamwatch.records import Vectors

MOST_IN_MEMORY = 4000
"""Vectors, 2 KB each."""
MADE_BY = 1
"""Version of our own text preprocessing, part of the cache key. Raise it whenever that changes."""


class Embeddings:
    """The text vectors of prompts, by the text encoder of `settings`.

    Cached prompts take about a millisecond. New ones take seconds if the encoder's process must
    start first, and no memory of this process: see `EncoderProcess`. Not for the detector's thread.
    Threads may share it: new prompts are encoded for one at a time, the others wait.

    `folder` is the cache's; by default `embeddings` in the cache folder.
    """

    def __init__(self, settings: DetectorSettings, folder: Path | None = None) -> None:
        self._settings = settings
        self._cache = VectorCache(folder or cache_dir() / "embeddings")
        self._pictures = PictureVectors(settings, self._cache)
        self._process = EncoderProcess()
        self._encoding = threading.Lock()
        """Guards `_process`, which is for one thread at a time."""
        self._made: dict[str, Encoded] = {}
        """The newest by cache key, in case the cache can't be written."""

    def unknown(self, prompts: Sequence[str]) -> tuple[str, ...]:
        """The prompts that are not cached. Raises DetectorError; never fetches."""
        words = texts_among(prompts)
        pictures = self._pictures.unknown(_pictures_among(prompts))
        if not words:
            return pictures
        identity = identify_encoder(self._settings)
        texts, keys = _texts_and_keys(words, self._settings.template, *identity)
        known = self._known(keys)
        return *(prompt for prompt in words if texts[prompt] not in known), *pictures

    def vectors(self, prompts: Sequence[str]) -> dict[str, Vectors]:
        """The vector of each prompt, `(512,)`. Raises DetectorError; never fetches."""
        of_words = self.encoded(texts_among(prompts))
        return {
            **{prompt: encoded.vector for prompt, encoded in of_words.items()},
            **self._pictures.vectors(_pictures_among(prompts)),
        }

    def encoded(self, prompts: Sequence[str], template: str | None = None) -> dict[str, Encoded]:
        """The vector and token counts of words, in `template` or the settings' one.

        Raises DetectorError; never fetches.
        """
        if not prompts:
            return {}
        kind, fingerprint = identify_encoder(self._settings)
        texts, keys = _texts_and_keys(
            prompts, template or self._settings.template, kind, fingerprint
        )
        known = self._known(keys)
        new = [text for text in keys if text not in known]
        if new:
            files = EncoderFiles(kind, fingerprint, find_encoder(self._settings))
            with self._encoding:
                made = dict(zip(new, self._process.encode(files, new), strict=True))
                self._keep({keys[text]: encoded for text, encoded in made.items()})
            known |= made
        return {prompt: known[text] for prompt, text in texts.items()}

    def known(self, prompts: Sequence[str], template: str | None = None) -> dict[str, Encoded]:
        """Like `encoded`, but only of those that are cached: starts no process."""
        if not prompts:
            return {}
        identity = identify_encoder(self._settings)
        texts, keys = _texts_and_keys(prompts, template or self._settings.template, *identity)
        known = self._known(keys)
        return {prompt: known[text] for prompt, text in texts.items() if text in known}

    def _known(self, keys: Mapping[str, str]) -> dict[str, Encoded]:
        found = {text: self._made.get(key) or self._cache.find(key) for text, key in keys.items()}
        return {text: encoded for text, encoded in found.items() if encoded is not None}

    def _keep(self, made: dict[str, Encoded]) -> None:
        self._cache.keep(made)
        newest = [*self._made.items(), *made.items()][-MOST_IN_MEMORY:]
        self._made = dict(newest)


def _pictures_among(prompts: Iterable[str]) -> tuple[PicturePrompt, ...]:
    return tuple(prompt for prompt in prompts if isinstance(prompt, PicturePrompt))


def other_vectors(old: DetectorSettings, new: DetectorSettings) -> bool:
    """Whether the same prompt has another vector with the new settings."""
    return old.differs(new, ("model", "text_encoder", "template"))


def text_of(prompt: str, template: str) -> str:
    """The text for the encoder: the prompt in the template; lower case, as all encoders use it.

    Spaces alone are no prompt but an encoder's padding text, which is encoded as it is.
    """
    if prompt.isspace():
        return prompt
    return normalised(template.replace("{}", prompt)).lower()


def _texts_and_keys(
    prompts: Sequence[str], template: str, kind: str, fingerprint: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Prompt → text for the encoder, and that text → its cache key."""
    texts = {prompt: text_of(prompt, template) for prompt in prompts}
    return texts, {text: _key(kind, fingerprint, text) for text in texts.values()}


def _key(kind: str, fingerprint: str, text: str) -> str:
    return json.dumps([MADE_BY, _library(), kind, fingerprint, text])


@cache
def _library() -> str:
    """The version of transformers, whose tokenizers may change."""
    return metadata.version("transformers")
