"""Vectors for tests in which no real detector looks at them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from streamwatch.prompts.embeddings import Embeddings
from streamwatch.records import Vectors


def fake_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every prompt a zero vector, so that no text encoder is loaded."""
    monkeypatch.setattr(
        Embeddings,
        "vectors",
        lambda _, prompts: {prompt: np.zeros(512, np.float32) for prompt in prompts},
    )
    monkeypatch.setattr(Embeddings, "unknown", lambda _, prompts: ())


def at_angles(degrees: Mapping[str, float]) -> dict[str, Vectors]:
    """Vectors in a plane: the cosine of two prompts is that of the angle between them."""
    vectors = {}
    for prompt, degree in degrees.items():
        vector = np.zeros(512, np.float32)
        vector[:2] = np.cos(np.radians(degree)), np.sin(np.radians(degree))
        vectors[prompt] = vector
    return vectors
