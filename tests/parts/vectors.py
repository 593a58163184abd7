"""Vectors for tests in which no real detector looks at them."""

from __future__ import annotations

import numpy as np
import pytest

from streamwatch import daemon


def fake_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every prompt a zero vector, so that no text encoder is loaded."""
    monkeypatch.setattr(
        daemon,
        "encode_prompts",
        lambda _, prompts: {prompt: np.zeros(512, np.float32) for prompt in prompts},
    )
