"""Vectors equal a straightforward reference, and folders that hold none are refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import layer_norm, linear

from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.errors import DetectorError
from streamwatch.models.provision import identify_encoder
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.prompts.encoders.child import load_text
from tests.parts.checkpoints import MERGES, clip_folder, clip_vocabulary

pytestmark = pytest.mark.usefixtures("encoded_here")

PROMPTS = ("red car", "Red  Truck", "dog", "a car behind the red truck and one more car")
LENGTH, HEADS, LAYERS = 16, 4, 2


@pytest.fixture(scope="module", params=[False, True], ids=["text tower", "whole CLIP"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_folder(tmp_path_factory.mktemp("clip"), whole=request.param)


def settings(folder: Path, **keys: Any) -> DetectorSettings:
    return DetectorSettings(model="mine.pt", text_encoder=str(folder), **keys)


def bpe(word: str) -> list[str]:
    """One word by the merges in their order, as Sennrich's paper has it."""
    pieces = [*word[:-1], f"{word[-1]}</w>"]
    for merge in MERGES:
        left, right = merge.split()
        for at in range(len(pieces) - 1, 0, -1):
            if (pieces[at - 1], pieces[at]) == (left, right):
                pieces[at - 1 : at + 1] = [left + right]
    return pieces


def tokens(prompt: str) -> list[int]:
    vocabulary = clip_vocabulary()
    words = [vocabulary[piece] for word in prompt.lower().split() for piece in bpe(word)]
    start, end = vocabulary["<|startoftext|>"], vocabulary["<|endoftext|>"]
    return [start, *words[: LENGTH - 2], end]


def clip_text(ids: list[int], weights: dict[str, torch.Tensor]) -> NDArray[np.float32]:
    """OpenAI's `encode_text` for one text without padding, written down from its definition."""

    def at(name: str) -> torch.Tensor:
        return weights[f"text_model.{name}"].float()

    def normed(x: torch.Tensor, name: str) -> torch.Tensor:
        return layer_norm(x, x.shape[-1:], at(f"{name}.weight"), at(f"{name}.bias"))

    def dense(x: torch.Tensor, name: str) -> torch.Tensor:
        return linear(x, at(f"{name}.weight"), at(f"{name}.bias"))

    count = len(ids)
    x = at("embeddings.token_embedding.weight")[ids]
    x = x + at("embeddings.position_embedding.weight")[:count]
    hidden_from = torch.full((count, count), -math.inf).triu(1)
    for number in range(LAYERS):
        layer = f"encoder.layers.{number}"
        y = normed(x, f"{layer}.layer_norm1")
        q, k, v = (
            dense(y, f"{layer}.self_attn.{part}_proj").view(count, HEADS, -1).transpose(0, 1)
            for part in "qkv"
        )
        scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1]) + hidden_from
        y = (scores.softmax(-1) @ v).transpose(0, 1).reshape(count, -1)
        x = x + dense(y, f"{layer}.self_attn.out_proj")
        y = dense(normed(x, f"{layer}.layer_norm2"), f"{layer}.mlp.fc1")
        x = x + dense(y * torch.sigmoid(1.702 * y), f"{layer}.mlp.fc2")
    last = normed(x, "final_layer_norm")[-1]
    vector = linear(last, weights["text_projection.weight"].float())
    unit: NDArray[np.float32] = (vector / vector.norm()).numpy()
    return unit


def test_clip_vectors_equal_a_reference(folder: Path) -> None:
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    mine = Embeddings(settings(folder)).vectors(PROMPTS)
    assert tuple(mine) == PROMPTS
    for prompt in PROMPTS:
        assert mine[prompt].shape == (512,)
        assert mine[prompt].dtype == np.float32
        np.testing.assert_allclose(mine[prompt], clip_text(tokens(prompt), weights), atol=2e-6)
    assert float(mine["red car"] @ mine["dog"]) < 0.99


def test_a_prompt_is_encoded_alike_alone_and_beside_longer_ones(folder: Path) -> None:
    encoder = load_text("clip", [folder])
    for prompt, beside_others in zip(PROMPTS, encoder.encode(PROMPTS), strict=True):
        (alone,) = encoder.encode([prompt])
        np.testing.assert_allclose(alone, beside_others, atol=1e-6)


def test_tokens_beyond_the_limit_are_counted(folder: Path) -> None:
    encoder = load_text("clip", [folder])
    assert encoder.longest == LENGTH
    long = " ".join(["truck"] * 30)
    assert encoder.lengths(["red car", long]) == [len(tokens("red car")), 32]
    read = " ".join(["truck"] * (LENGTH - 2))
    cut, whole = encoder.encode([long, read])
    np.testing.assert_allclose(cut, whole, atol=1e-6)


def test_the_encoder_of_a_named_model_may_be_in_a_folder(folder: Path) -> None:
    named = DetectorSettings(model="yolov8s-worldv2", text_encoder=str(folder), offline=True)
    vectors = Embeddings(named).vectors(["dog"])
    (alone,) = load_text("clip", [folder]).encode(["dog"])
    np.testing.assert_allclose(vectors["dog"], alone, atol=1e-6)


def test_no_prompts_need_no_encoder(tmp_path: Path) -> None:
    assert Embeddings(settings(tmp_path / "nowhere")).vectors([]) == {}


def refused(folder: Path) -> str:
    with pytest.raises(DetectorError) as caught:
        load_text(identify_encoder(settings(folder))[0], [folder])
    said = str(caught.value)
    assert "\n" not in said
    return said.replace(str(folder), "FOLDER")


def test_vectors_of_another_width_are_an_error(tmp_path: Path) -> None:
    said = "the text encoder in FOLDER gives vectors 768 wide, and YOLO-World takes 512"
    assert refused(clip_folder(tmp_path, width=768)) == said


def test_a_folder_that_is_no_text_encoder_is_an_error(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    assert refused(gone) == "detector.text_encoder: FOLDER does not exist"
    assert "FOLDER holds no text encoder" in refused(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert refused(tmp_path) == (
        "detector.text_encoder: FOLDER holds a model of type 'llama'; known are clip, "
        "clip_text_model, bert"
    )


def test_a_broken_encoder_is_one_error(tmp_path: Path) -> None:
    clip_folder(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert refused(tmp_path).startswith("the text encoder in FOLDER can't be loaded (")


def test_missing_tensors_are_an_error(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    clip_folder(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    assert refused(tmp_path) == (
        "the text encoder in FOLDER lacks 1 of its tensors, as text_projection.weight"
    )


def test_weights_that_are_a_pickle_run_no_code(tmp_path: Path) -> None:
    """The official repository has its weights as `pytorch_model.bin`: tensors alone are taken."""
    from safetensors.torch import load_file

    clip_folder(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    assert load_text("clip", [tmp_path]).encode(["dog"]).shape == (1, 512)
    torch.save({**weights, "more": Path("code")}, tmp_path / "pytorch_model.bin")
    assert refused(tmp_path).startswith("the text encoder in FOLDER can't be loaded (")


def test_the_tokenizer_of_the_tests_is_a_real_one(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(clip_folder(tmp_path), local_files_only=True)
    for prompt in PROMPTS:
        mine = tokenizer(prompt, truncation=True, max_length=LENGTH)["input_ids"]
        assert mine == tokens(prompt)
    assert json.loads((tmp_path / "vocab.json").read_text()) == clip_vocabulary()
