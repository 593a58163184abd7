"""Prompts become vectors in a process of their own, or come from disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.prompts import embeddings as embeddings_module
from streamwatch.prompts.embeddings import Embeddings, text_of
from streamwatch.prompts.encoders import child, process
from streamwatch.prompts.encoders.process import Encoded, EncoderFiles, EncoderProcess
from streamwatch.records import Vectors
from tests.parts.checkpoints import clip_folder
from tests.parts.vectors import encoding_here

pytestmark = pytest.mark.slow(seconds=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP."""
    return clip_folder(tmp_path_factory.mktemp("clip"))


def settings(folder: Path, **keys: Any) -> DetectorSettings:
    return DetectorSettings(model="mine.pt", text_encoder=str(folder), **keys)


@pytest.fixture(scope="module")
def embeddings(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Embeddings:
    """Kept, so that most tests wait for no process to start."""
    return Embeddings(settings(folder), tmp_path_factory.mktemp("cache"))


@pytest.fixture
def nothing_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(*arguments: object) -> None:
        raise AssertionError(f"encoded: {arguments}")

    monkeypatch.setattr(EncoderProcess, "encode", encode)


def reference(folder: Path, *texts: str) -> Vectors:
    return child.load("clip", [str(folder)]).encode(texts)


# --- what comes out ------------------------------------------------------------------------------


def test_new_and_known_prompts_are_equal_to_the_encoder_alone(
    embeddings: Embeddings, folder: Path
) -> None:
    prompts = ["red car", "Dog", "truck"]
    (alone,) = reference(folder, "red car")
    new = embeddings.vectors(prompts)
    known = embeddings.vectors(prompts)
    assert tuple(new) == tuple(known) == tuple(prompts)
    np.testing.assert_allclose(new["red car"], alone, atol=1e-6)
    for prompt in prompts:
        assert new[prompt].shape == (512,)
        assert new[prompt].dtype == np.float32
        assert new[prompt].flags.writeable  # torch complains about others
        np.testing.assert_array_equal(new[prompt], known[prompt])


def test_more_prompts_than_one_request_takes(embeddings: Embeddings, folder: Path) -> None:
    prompts = [f"car {number}" for number in range(process.AT_ONCE * 2 + 3)]
    vectors = embeddings.vectors(prompts)
    np.testing.assert_allclose(
        np.stack(list(vectors.values())), reference(folder, *prompts), atol=1e-6
    )


def test_prompts_that_differ_in_spelling_have_one_vector(
    embeddings: Embeddings, request: pytest.FixtureRequest
) -> None:
    (vector,) = embeddings.vectors(["red truck"]).values()
    request.getfixturevalue("nothing_is_encoded")
    spellings = ["Red  Truck", " red truck", "ｒｅｄ truck", "red tru\u00adck"]  # noqa: RUF001
    again = embeddings.vectors(spellings)
    assert list(again) == spellings
    for spelling in spellings:
        np.testing.assert_array_equal(again[spelling], vector)


def test_a_template_changes_the_encoded_text_only(embeddings: Embeddings, folder: Path) -> None:
    (within,) = reference(folder, "a photo of red car, outdoors")
    found = embeddings.encoded(["Red Car", "{}"], template="a Photo of {}, outdoors")
    assert list(found) == ["Red Car", "{}"]
    np.testing.assert_allclose(found["Red Car"].vector, within, atol=1e-6)
    bare = embeddings.vectors(["Red Car"])["Red Car"]
    assert float(bare @ found["Red Car"].vector) < 0.99


def test_text_of() -> None:
    assert text_of(" Red  Car", "a photo of {}") == "a photo of red car"
    assert text_of("{} {0}", "({})") == "({} {0})"


def test_token_counts_are_returned_and_cached(
    embeddings: Embeddings, request: pytest.FixtureRequest
) -> None:
    long = " ".join(["truck"] * 20)
    embeddings.vectors([long])
    request.getfixturevalue("nothing_is_encoded")
    (one,) = embeddings.encoded([long]).values()
    assert (one.length, one.longest) == (22, 16)


# --- the cache -----------------------------------------------------------------------------------


def test_another_template_encoder_or_content_is_encoded_anew(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def encode(_: EncoderProcess, files: EncoderFiles, texts: Sequence[str]) -> list[Encoded]:
        asked.extend(f"{files.paths[0].name}: {text}" for text in texts)
        return [Encoded(np.zeros(512, np.float32), 3, 77) for _ in texts]

    monkeypatch.setattr(EncoderProcess, "encode", encode)

    def new(encoder: Path, **keys: Any) -> list[str]:
        """What the second of two equal questions does not ask again."""
        asked.clear()
        for _ in range(2):
            Embeddings(settings(encoder, **keys), tmp_path / "cache").vectors(["dog", "Dog"])
        return list(asked)

    other = tmp_path / "other"
    shutil.copytree(folder, other)
    assert new(folder) == [f"{folder.name}: dog"]
    assert new(folder) == []
    assert new(folder, template="a photo of {}") == [f"{folder.name}: a photo of dog"]
    assert new(other) == ["other: dog"]
    assert new(folder) == new(other) == []
    # Weights of the same size, with the time of the old ones.
    weights = other / "model.safetensors"
    content, times = bytearray(weights.read_bytes()), weights.stat()
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert new(other) == ["other: dog"]
    monkeypatch.setattr(embeddings_module, "MADE_BY", 0)
    assert new(other) == ["other: dog"]


def test_corrupt_cache_files_are_encoded_again(
    embeddings: Embeddings, folder: Path, tmp_path: Path
) -> None:
    (right,) = embeddings.vectors(["corrupt"]).values()
    corrupt = tmp_path / "cache"
    shutil.copytree(embeddings._cache.folder, corrupt)
    for file in corrupt.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    with encoding_here():
        (again,) = Embeddings(settings(folder), corrupt).vectors(["corrupt"]).values()
    np.testing.assert_allclose(again, right, atol=1e-6)


def test_without_a_writable_cache_there_is_one_warning(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    embeddings = Embeddings(settings(folder), tmp_path / "file")
    with encoding_here():
        for prompt in ("dog", "car", "dog"):
            assert embeddings.vectors([prompt])[prompt].shape == (512,)
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "prompts can't be kept in" in record.getMessage()


def test_known_prompts_start_no_process(
    embeddings: Embeddings, folder: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with encoding_here():
        (made,) = Embeddings(settings(folder), tmp_path).vectors(["red car"]).values()
    embeddings.vectors(["red car"])
    request.getfixturevalue("nothing_is_encoded")
    (kept,) = Embeddings(settings(folder), tmp_path).vectors(["red car"]).values()
    np.testing.assert_array_equal(kept, made)
    embeddings.vectors(["red car"])


def test_where_the_cache_can_not_be_written_vectors_are_kept_in_memory(
    folder: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "file").touch()
    embeddings = Embeddings(settings(folder), tmp_path / "file")
    assert embeddings.unknown(["dog"]) == ("dog",)
    with encoding_here():
        embeddings.vectors(["dog"])
    request.getfixturevalue("nothing_is_encoded")
    assert embeddings.unknown(["dog", "car"]) == ("car",)
    assert embeddings.vectors(["dog"])["dog"].shape == (512,)
