"""Whether the weights that a configuration takes are here, and whole."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from streamwatch.config import Config
from streamwatch.config.catalogue import ENCODERS, Asset, Bundled, HubFolder
from streamwatch.doctor.check import Check, Installation
from streamwatch.doctor.disk import size, taken
from streamwatch.errors import DetectorError
from streamwatch.models.fetching import megabytes
from streamwatch.models.provision import Piece, choose, encoder_row
from streamwatch.models.store import Missing, Store, default_store, is_whole_archive

AREA = "weights"


def checks(case: Installation) -> Iterator[Check]:
    if case.config is None:
        return
    store = default_store()
    for subject, piece in _pieces(case.config):
        yield _piece(subject, piece, store, offline=case.config.detector.offline)


def _pieces(config: Config) -> Iterator[tuple[str, Piece]]:
    choice = choose(config.detector)
    yield Path(config.detector.model).name, choice.checkpoint
    encoder = Path(config.detector.encoder_name).name
    for piece in choice.encoder:
        yield encoder, piece
    looks = (watch.look for watch in config.watches.values() if watch.enabled)
    if any(look is not None and look.ask is None for look in looks):
        image = ENCODERS[encoder_row(config.detector)].image
        (first, *_) = choice.encoder
        if image is not None and isinstance(first.source, Asset | HubFolder):
            yield f"{encoder}, pictures", replace(first, source=image.source)


def _piece(subject: str, piece: Piece, store: Store, *, offline: bool) -> Check:
    pull = f"`streamwatch models pull {piece.pull}`"
    try:
        path = store.find(piece.source)
    except Missing as error:
        assert isinstance(piece.source, Asset | HubFolder)
        if store.is_here(piece.source):
            return Check(AREA, subject, False, str(error), f"{pull} fetches it again")
        much = megabytes(piece.source.size)
        if offline:
            said = f"is not here, and detector.offline forbids to fetch its {much}"
            return Check(AREA, subject, False, said, pull)
        said = f"is not here; the next start fetches {much}"
        return Check(AREA, subject, None, said, f"{pull} does it now")
    except DetectorError as error:
        return Check(AREA, subject, False, str(error), f"correct {piece.key}, or put it there")
    return _whole(subject, piece, path)


def _whole(subject: str, piece: Piece, path: Path) -> Check:
    """Of what `Store.find` verifies, fetched files, nothing more; of others what can be told."""
    much = size(taken(path) if path.is_dir() else path.stat().st_size)
    if isinstance(piece.source, Asset | HubFolder):
        return Check(AREA, subject, True, f"{much}, its checksum is the recorded one")
    if isinstance(piece.source, Bundled):
        do = f"install {piece.source.distribution} again"
        wrong = _unlike_recorded(piece.source.distribution, path)
        if wrong is not None:
            said = f"{wrong} is not the file that was installed: its checksum is another"
            return Check(AREA, subject, False, said, do)
    else:
        do = "copy or fetch it again"
    for file in [path] if path.is_file() else ():
        if file.suffix == ".pt" and not is_whole_archive(file):
            return Check(AREA, subject, False, f"{file} is cut off or damaged", do)
    return Check(AREA, subject, True, f"{much}, whole")


def _unlike_recorded(distribution: str, path: Path) -> Path | None:
    """A file there whose checksum is not the one that pip has recorded; of a checkout it has
    recorded none."""
    try:
        recorded = files(distribution) or []
    except PackageNotFoundError:
        return None
    for entry in recorded:
        place = Path(str(entry.locate()))
        if entry.hash is None or not (place == path or path in place.parents):
            continue
        with place.open("rb") as file:
            digest = hashlib.file_digest(file, entry.hash.mode).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != entry.hash.value:
            return place
    return None
