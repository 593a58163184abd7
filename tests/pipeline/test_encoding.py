"""The order in which prompts are encoded."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import cast

import numpy as np

from streamwatch.pipeline.encoding import Encoding
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.records import Vectors


class Held:
    """Encodes nothing before it is `released`, and remembers the order."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.released = threading.Event()
        self.encoded: list[str] = []

    def vectors(self, prompts: tuple[str, ...]) -> Mapping[str, Vectors]:
        self.begun.set()
        assert self.released.wait(30)
        self.encoded += prompts
        return {prompt: np.zeros(512, np.float32) for prompt in prompts}


def test_a_patient_order_lets_others_pass() -> None:
    held, encoding = Held(), Encoding()
    embeddings = cast(Embeddings, held)
    first = encoding.order(embeddings, ("first",), patient=True)
    assert held.begun.wait(30)
    orders = [
        encoding.order(embeddings, (prompt,), patient=prompt.startswith("look"))
        for prompt in ("look 1", "look 2", "edit 1", "edit 2")
    ]
    held.released.set()
    for order in (first, *orders):
        order.result(30)
    encoding.stop()
    assert held.encoded == ["first", "edit 1", "edit 2", "look 1", "look 2"]
