"""Vectors of prompts: fake ones where no real detector uses them, and cheaper real ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from streamwatch.config import DetectorSettings
from streamwatch.paths import cache_dir
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.prompts.encoders import child
from streamwatch.prompts.encoders.process import Encoded, EncoderFiles, EncoderProcess
from streamwatch.prompts.encoders.protocol import TextEncoder
from streamwatch.prompts.rivals import distractors
from streamwatch.records import Vectors
from streamwatch.second_look.kinds import all_rivals
from tests.parts import held

TOYBOX = DetectorSettings(model="toybox")
USUAL = (
    "red car", "blue car", "truck", "pedestrian", "cyclist", "parcel", "dog", "red backpack",
    "elephant", "giraffe", "sailing boat", "airplane", "ball", "cat", "unicorn", "bicycle",
    "vehicle",
)  # fmt: skip
"""Prompts that the tests' daemons use."""


def fake_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every prompt a zero vector, so that no text encoder is loaded."""
    monkeypatch.setattr(
        Embeddings,
        "vectors",
        lambda _, prompts: {prompt: np.zeros(512, np.float32) for prompt in prompts},
    )
    monkeypatch.setattr(Embeddings, "unknown", lambda _, prompts: ())


def at_angles(degrees: Mapping[str, float]) -> dict[str, Vectors]:
    """Vectors in a plane: the similarity of two prompts is the cosine of the angle between them."""
    vectors = {}
    for prompt, degree in degrees.items():
        vector = np.zeros(512, np.float32)
        vector[:2] = np.cos(np.radians(degree)), np.sin(np.radians(degree))
        vectors[prompt] = vector
    return vectors


@contextmanager
def encoding_here() -> Iterator[None]:
    """Run the real encoders in this process, since their own takes seconds to start."""

    def encode(_: EncoderProcess, files: EncoderFiles, texts: Sequence[str]) -> list[Encoded]:
        encoder = _loaded(files)
        lengths, vectors = encoder.lengths(texts), encoder.encode(texts)
        return [
            Encoded(vector, length, encoder.longest)
            for vector, length in zip(vectors, lengths, strict=True)
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EncoderProcess, "encode", encode)
        yield


@cache
def _loaded(files: EncoderFiles) -> TextEncoder:
    kind, *rest = files.arguments
    return child.load(kind, rest)


@pytest.fixture(scope="module")
def encoded_here() -> Iterator[None]:
    """For modules that don't test the encoder's process."""
    with encoding_here():
        yield


def keep_usual_vectors() -> None:
    """Put the usual prompts into the cache, once for all processes of a run, so that most daemons
    need no encoder, which would take a minute on busy cores."""
    _keep_usual_vectors(cache_dir() / "embeddings")


@cache
def _keep_usual_vectors(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder.resolve().with_suffix(".lock")), encoding_here():
        Embeddings(TOYBOX, folder).vectors((*USUAL, *distractors(TOYBOX), *all_rivals()))
